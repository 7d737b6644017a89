# SPDX-License-Identifier: GPL-2.0-only
"""What scripts/lab is made of: test hosts that run in an emulator."""


class LabError(Exception):
    """The lab itself cannot go on; the text says what is wrong and what to do."""
