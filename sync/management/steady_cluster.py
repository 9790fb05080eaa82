"""django-q2's cluster, but it ends in order when asked to, and leaves nothing behind when it is killed."""

import os
import signal

from django_q.cluster import Cluster

from sync.management.parent_death import die_with_parent
from sync.stopping import ask_to_stop


class SteadyCluster(Cluster):  # type: ignore[misc]  # django-q2 has no types
    """A cluster whose tasks hear of its end, and stop soundly before it."""

    def stop(self) -> bool:
        """The cluster has stopped: the tasks under way first, as soon as they soundly can."""
        ask_to_stop()
        return bool(super().stop())


def keep_children_close() -> None:
    """Every process that this one forks from now on dies with its parent, and hears no signal meant for it.

    A supervisor, or Ctrl-C, signals a whole process group. django-q2's guard would die of that at once while
    the process above waits for it for ever: so only the first process is in the group, and it ends the
    others in order. Where the kernel cannot tell of a parent's death, everything stays as it is.
    """
    parents: list[int] = []

    def remember() -> None:
        parents[:] = [os.getpid()]

    def part() -> None:
        if die_with_parent(signal.SIGKILL, parent=parents[0]):
            os.setpgid(0, 0)

    os.register_at_fork(before=remember, after_in_child=part)
