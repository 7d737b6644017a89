# SPDX-License-Identifier: GPL-2.0-only
"""What a healthy kernel never logs."""

import re

TROUBLE = re.compile(
    "|".join(
        (
            r"\bBUG: ",
            r"\bkernel BUG at ",
            r"\bBUG [\w-]+ \(",  # SLUB's object reports
            r"\bOops[: ]",
            r"(?<!RETBleed: )\bWARNING: (?!See )",  # WARN(), lockdep; not what the kernel says of mitigations
            r"\bKernel panic",
            r"\bdouble fault\b",
            r"\bunable to handle ",
            r"(?<!traps: )\bgeneral protection fault(,|:)",
            r"\bstack segment: |\binvalid opcode: |\bdivide error: ",
            r"\bKASAN: |\bUBSAN: |\bKFENCE: |\bKMSAN: |\bKCSAN: ",
            r"\bINFO: task .* blocked for more than",
            r"\brcu.*detected stall|\brcu.*self-detected|\brcu.*kthread (starved|timer wakeup)",
            r"\bsoft lockup\b|\bhard LOCKUP\b",
            r"\bINFO: (trying to register|possible|lockdep is turned off)",
            r"\bpossible (circular|recursive|irq lock inversion|unsafe)",
            r"\bsleeping function called from invalid context",
            r"\bscheduling while atomic",
            r"\bBad (page|rss-counter) ",
            r"\bpage dumped because",
            r"\bnon-zero pgtables_bytes",
            r"\bCPU: \d+ PID: \d+ Comm:",  # a stack dump, whatever its first line was
            r"\bCall Trace:",
            r"\brefcount_t: ",
            r"\blist_(add|del) corruption",
            r"\bObjects remaining in |\bSlab cache still has objects",
            r"\bODEBUG: ",
            r"\bunchecked MSR access error",
            r"\bkmemleak: [1-9]\d* new suspected|^unreferenced object ",
            r"\bOut of memory: |\binvoked oom-killer",
            r"\bleaked? (page|memory|reference)",
        )
    )
)


# The kernel tells of memory that it did not get, and the test of that name sees to it that it does not.
REFUSED = re.compile(r"\bfault_injection: vmalloc error: ")
REFUSED_STACK = re.compile(r"\bCPU: \d+ PID: \d+ Comm: fault_injection |\bCall Trace:")
REFUSED_END = re.compile(r"\bMem-Info:")


class Scanner:
    """Fed with the lines of a kernel log as they come; keeps the bad ones."""

    def __init__(self, allow=()):
        self.allow = [re.compile(pattern) for pattern in allow]
        self.trouble = []
        self.refused = False

    def feed(self, line):
        """True when the line is trouble."""
        if REFUSED.search(line):
            self.refused = True
        elif REFUSED_END.search(line):
            self.refused = False
        if self.refused and REFUSED_STACK.search(line):
            return False
        if not TROUBLE.search(line) or any(pattern.search(line) for pattern in self.allow):
            return False
        self.trouble.append(line)
        return True
