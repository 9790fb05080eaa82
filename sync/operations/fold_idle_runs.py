"""Keep one row a day of the scheduled runs that found nothing to do."""

from collections import defaultdict
from collections.abc import Sequence
from datetime import UTC, date, datetime, timedelta

from django.db import transaction
from django.db.models import Exists, OuterRef

from sync.models import DeliveryAttempt, ReportRun, UsageReport

KEPT = timedelta(days=1)
"""So long every run can be looked at one by one."""
FOLDED = (ReportRun.Kind.REPORT, ReportRun.Kind.CHANGES)
"""Kinds that run many times a day; a full sync is always something to see."""


def fold_idle_runs(*, now: datetime) -> int:
    """Of each UTC day and kind, one idle run older than a day stays and counts the others.

    Returns how many rows went. Idle is a scheduled run that succeeded without a word: no report, no call
    to Stripe, no error, no note, nothing counted. Safe to repeat and to run twice at once.
    """
    folded = 0
    with transaction.atomic():
        idle: dict[tuple[str, date], list[ReportRun]] = defaultdict(list)
        for run in _candidates(now):
            if not any(run.counters.values()):
                idle[run.kind, run.queued_at.astimezone(UTC).date()].append(run)
        for runs in idle.values():
            folded += _fold(runs)
    return folded


def _candidates(now: datetime) -> Sequence[ReportRun]:
    """Return idle runs, oldest first; on PostgreSQL nobody else can fold them meanwhile."""
    mine = {"run": OuterRef("pk")}
    runs = (
        ReportRun.objects.select_for_update()
        .filter(
            kind__in=FOLDED,
            trigger=ReportRun.Trigger.SCHEDULE,
            status=ReportRun.Status.SUCCEEDED,
            finished_at__lt=now - KEPT,
            error="",
            notes="",
        )
        .filter(~Exists(UsageReport.objects.filter(**mine)), ~Exists(DeliveryAttempt.objects.filter(**mine)))
    )
    return list(runs.order_by("queued_at", "pk"))


def _fold(runs: Sequence[ReportRun]) -> int:
    kept = max(runs, key=lambda run: run.idle_runs)  # the oldest one, where none stands for others yet
    others = [run for run in runs if run.pk != kept.pk]
    if others:
        kept.idle_runs += sum(1 + run.idle_runs for run in others)
        kept.save(update_fields=["idle_runs"])
        ReportRun.objects.filter(pk__in=[run.pk for run in others]).delete()
    return len(others)
