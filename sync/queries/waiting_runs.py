"""Runs that somebody asked for and that nobody has begun."""

from datetime import datetime, timedelta

from sync.models import ReportRun

FORGOTTEN = timedelta(minutes=10)
"""A worker gets to a queued run within seconds; so much later its task was lost, with Redis or a worker."""


def forgotten_run(*, now: datetime) -> ReportRun | None:
    """Return the oldest queued run that waits for longer than a queue should take, if there is one."""
    waiting = ReportRun.objects.filter(status=ReportRun.Status.QUEUED, queued_at__lt=now - FORGOTTEN)
    return waiting.order_by("queued_at", "pk").first()
