"""Let no process outlive the one that started it, however that one dies (on Linux)."""

import ctypes
import os
import signal
import sys

PR_SET_PDEATHSIG = 1
"""Of <linux/prctl.h>: the kernel sends this signal when the parent is gone."""


def die_with_parent(number: signal.Signals, *, parent: int) -> bool:
    """This process gets the signal when `parent` is gone, or at once where it is already.

    Returns whether the kernel can do that. What this process executes inherits it, what it forks does not.
    """
    if not sys.platform.startswith("linux"):
        return False
    if ctypes.CDLL(None, use_errno=True).prctl(PR_SET_PDEATHSIG, int(number), 0, 0, 0) != 0:
        return False
    if os.getppid() != parent:
        os.kill(os.getpid(), number)
    return True
