"""A background worker shows that it is alive."""

from datetime import datetime, timedelta

from sync.models import Worker

REMEMBERED = timedelta(days=1)
"""Processes come and go; nobody looks for one that has been silent for so long."""


def show_worker(name: str, *, now: datetime) -> None:
    """The worker was seen now, and those that have long been silent are forgotten. Safe to repeat."""
    Worker.objects.update_or_create(name=name, defaults={"seen_at": now})
    Worker.objects.filter(seen_at__lt=now - REMEMBERED).delete()
