"""The record of a run: begun before anything else, alive while it works, ended whatever happens."""

import time
from collections.abc import Callable, Mapping
from datetime import datetime, timedelta

from sync.models import ReportRun

HEARTBEAT_SECONDS = 5.0
LAPSE = timedelta(minutes=2)
"""A run whose heart has not beaten for this long was killed."""

Status = ReportRun.Status


def interrupt_lapsed_runs(*, now: datetime) -> int:
    """Runs that were killed are marked interrupted; return how many."""
    return ReportRun.objects.filter(status=Status.RUNNING, heartbeat_at__lt=now - LAPSE).update(
        status=Status.INTERRUPTED,
        finished_at=now,
        error="The process that did this run ended without a word; the next run completes its work.",
    )


def begin_run(run: ReportRun, *, now: datetime) -> None:
    """The run is stored as running."""
    run.status = Status.RUNNING
    run.started_at = run.heartbeat_at = now
    run.queued_at = run.queued_at or now
    run.save()


def end_run(
    run: ReportRun, *, status: ReportRun.Status, counters: Mapping[str, int], error: str, now: datetime
) -> None:
    """The run is stored with its end, its counters and its error."""
    run.status, run.counters, run.error = status, dict(counters), error
    run.finished_at = run.heartbeat_at = now
    run.save(update_fields=["status", "counters", "error", "finished_at", "heartbeat_at"])


class Heartbeat:
    """Tells the database every few seconds that the run is alive."""

    def __init__(self, run: ReportRun, clock: Callable[[], datetime]) -> None:
        """Begin with a fresh heart: `begin_run` has just stored one."""
        self._run, self._clock = run, clock
        self._latest = time.monotonic()

    def beat(self) -> None:
        """The stored heartbeat is at most `HEARTBEAT_SECONDS` old. Cheap to call often."""
        if time.monotonic() - self._latest < HEARTBEAT_SECONDS:
            return
        self._latest = time.monotonic()
        ReportRun.objects.filter(pk=self._run.pk).update(heartbeat_at=self._clock())
