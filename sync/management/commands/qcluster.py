"""manage.py qcluster: the background worker, as django-q2 has it, on a steady cluster."""

from typing import Any

from django_q.management.commands import qcluster

from sync.management.steady_cluster import SteadyCluster, keep_children_close


class Command(qcluster.Command):  # type: ignore[misc]  # django-q2 has no types
    """Does what schedules and staff ask for, until it is asked to end."""

    help = (
        "Do the work in the background: what schedules and staff ask for. SIGTERM or Ctrl-C ends it in order."
    )

    def handle(self, *args: Any, **options: Any) -> None:
        """Run django-q2's command with our cluster in the place of its own."""
        keep_children_close()
        qcluster.Cluster = SteadyCluster
        super().handle(*args, **options)
