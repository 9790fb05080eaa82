"""How the tasks of a worker learn that the worker is asked to end."""

import mmap

# Shared with every process that is forked later, and without a lock that a killed process could keep.
_asked = mmap.mmap(-1, 1)


def ask_to_stop() -> None:
    """Tasks of this process and of its children stop as soon as they soundly can."""
    _asked[0] = 1


def is_asked_to_stop() -> bool:
    """Return whether the worker is asked to end."""
    return _asked[0] == 1
