# SPDX-License-Identifier: GPL-2.0-only
"""Reading the Test Anything Protocol, and adding it up."""

import re

POINT = re.compile(r"^(not )?ok\b\s*(\d+)?\s*(?:-\s*)?(.*?)(?:\s*#\s*(skip|todo)\b\S*\s*(.*))?$", re.I)
PLAN = re.compile(r"^1\.\.(\d+)(?:\s*#\s*skip\S*\s*(.*))?$", re.I)
KSFT_SKIP = 4  # kselftest: the whole test was skipped


class Tally:
    """What passed, failed and was skipped, with the names of the latter two."""

    def __init__(self):
        self.passed = 0
        self.failures = []
        self.skips = []

    def fail(self, name):
        self.failures.append(name)

    def skip(self, name):
        self.skips.append(name)

    def add(self, other):
        self.passed += other.passed
        self.failures += other.failures
        self.skips += other.skips

    def summary(self):
        text = f"{self.passed} passed, {len(self.failures)} failed"
        return text + (f", {len(self.skips)} skipped" if self.skips else "")


class Reader:
    """One test program's output, a line at a time; then its exit status."""

    def __init__(self, name):
        self.name = name
        self.tally = Tally()
        self.plan = None
        self.points = 0

    def feed(self, line):
        plan = PLAN.match(line)
        if plan:
            # A stream of several programs has several plans.
            self.plan = (self.plan or 0) + int(plan[1])
            if plan[1] == "0":
                self.tally.skip(f"{self.name}: {plan[2] or 'no reason given'}")
            return
        point = POINT.match(line)
        if not point:
            return
        self.points += 1
        label = f"{self.name}: {point[3] or point[2] or self.points}"
        if point[4] and point[4].lower() == "skip":
            self.tally.skip(f"{label}: {point[5] or 'no reason given'}")
        elif point[1]:
            self.tally.fail(label)
        else:
            self.tally.passed += 1

    def end(self, status, limit=None):
        """
        The program is done; return its tally. What the points do not tell fails too: a status that is not 0, a
        plan that was not kept, output with no point at all.
        """
        if limit is not None and status in (124, 137, 143):
            self.tally.fail(f"{self.name}: not done after {limit} s")
        elif status == KSFT_SKIP and not self.tally.failures:
            if not self.tally.skips:
                self.tally.skip(f"{self.name}: no reason given")
        elif status and not self.tally.failures:
            self.tally.fail(f"{self.name}: exit status {status}")
        elif self.plan is not None and self.plan != self.points:
            self.tally.fail(f"{self.name}: planned {self.plan} points, made {self.points}")
        elif self.points == 0 and self.plan is None:
            self.tally.fail(f"{self.name}: no results")
        return self.tally
