"""The record of a run: begun before anything else, alive while it works, ended whatever happens."""

import time
from collections.abc import Callable, Mapping, Sequence
from datetime import datetime
from typing import Any

from django.db import IntegrityError, transaction

from sync.models import ReportRun
from sync.queries.reporting_health import HEART_STOPS

HEARTBEAT_SECONDS = 5.0
PROGRESS_SECONDS = 1.0
"""How often progress is written down while it moves: often enough to watch, too seldom to slow the work."""
LAPSE = HEART_STOPS
"""A run whose heart has not beaten for this long was killed."""

Status = ReportRun.Status


class RunIsTaken(Exception):
    """Somebody else carries this run out, or it is over; nothing was changed."""


def interrupt_lapsed_runs(*, now: datetime) -> int:
    """Runs that were killed are marked interrupted; return how many."""
    return ReportRun.objects.filter(status=Status.RUNNING, heartbeat_at__lt=now - LAPSE).update(
        status=Status.INTERRUPTED,
        finished_at=now,
        error="The process that did this run ended without a word; the next run completes its work.",
    )


def begin_run(run: ReportRun, *, now: datetime) -> None:
    """The run is stored as running.

    Raises `RunIsTaken` for a queued run that was begun or cancelled before, so that a task which is handed
    out twice is carried out once; and for a scheduled one while another of its kind goes on.
    """
    began = {"status": Status.RUNNING, "started_at": now, "heartbeat_at": now}
    if run.pk:
        if not ReportRun.objects.filter(pk=run.pk, status=Status.QUEUED).update(**began):
            raise RunIsTaken
        run.refresh_from_db()
        return
    for name, value in began.items():
        setattr(run, name, value)
    run.queued_at = run.queued_at or now
    try:
        with transaction.atomic():
            run.save()
    except IntegrityError as error:
        run.pk = None
        raise RunIsTaken from error


def fail_queued_run(run: ReportRun, *, error: str, now: datetime) -> None:
    """A queued run that nobody can begin, because of a setting for example, has failed and says why.

    One that was begun, or that is not stored, stays as it is.
    """
    ReportRun.objects.filter(pk=run.pk, status=Status.QUEUED).update(
        status=Status.FAILED, error=error, finished_at=now
    )


def end_run(
    run: ReportRun,
    *,
    status: ReportRun.Status,
    now: datetime,
    counters: Mapping[str, int] | None = None,
    error: str = "",
    notes: Sequence[str] = (),
    is_full: bool = False,
) -> None:
    """The run is stored with its end, its counters, its error and what people should know."""
    run.status, run.counters, run.error = status, dict(counters or {}), error
    run.is_full = is_full
    run.notes = "\n".join(notes)
    run.finished_at = run.heartbeat_at = now
    for step in run.steps[-1:]:
        step["finished_at"] = step["finished_at"] or now.isoformat()
    run.save(
        update_fields=[
            "status",
            "counters",
            "error",
            "notes",
            "is_full",
            "steps",
            "finished_at",
            "heartbeat_at",
        ],
    )


class Heartbeat:
    """Tells the database every few seconds that the run is alive and how far it is."""

    def __init__(self, run: ReportRun, clock: Callable[[], datetime]) -> None:
        """Begin with a fresh heart: `begin_run` has just stored one."""
        self._run, self._clock = run, clock
        self._written = time.monotonic()
        self._asked = 0.0
        self._cancelled = False

    def beat(self) -> None:
        """The stored heartbeat is at most `HEARTBEAT_SECONDS` old. Cheap to call often."""
        if time.monotonic() - self._written >= HEARTBEAT_SECONDS:
            self._write()

    def progress(self, name: str, done: int, total: int) -> None:
        """The run is at this step, `done` of `total` (0 if unknown); a new name ends the step before."""
        steps: list[dict[str, Any]] = self._run.steps
        is_new = not steps or steps[-1]["name"] != name
        if is_new:
            now = self._clock().isoformat()
            for step in steps[-1:]:
                step["finished_at"] = now
            steps.append({"name": name, "started_at": now, "finished_at": None})
        steps[-1] |= {"done": done, "total": total}
        if is_new or time.monotonic() - self._written >= PROGRESS_SECONDS:
            self._write()

    def cancelled(self) -> bool:
        """Return whether somebody asked the run to stop; the database is asked once a second at most."""
        if not self._cancelled and time.monotonic() - self._asked >= PROGRESS_SECONDS:
            self._asked = time.monotonic()
            asked = ReportRun.objects.filter(pk=self._run.pk, cancel_asked_at__isnull=False)
            self._cancelled = asked.exists()
        return self._cancelled

    def _write(self) -> None:
        self._written = time.monotonic()
        self._run.heartbeat_at = self._clock()
        ReportRun.objects.filter(pk=self._run.pk).update(
            heartbeat_at=self._run.heartbeat_at, steps=self._run.steps
        )
