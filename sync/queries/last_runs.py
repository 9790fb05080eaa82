"""The runs that did something lately."""

from sync.models import ReportRun

LOOKED_AT = 60
"""How many of the newest runs are looked at: five hours of idle ones in a row say that nothing was used."""


def last_runs(count: int) -> list[ReportRun]:
    """Return the newest run, and before it the newest that were not idle; at most `count`. One query."""
    newest = list(ReportRun.objects.order_by("-queued_at", "-pk")[:LOOKED_AT])
    return [run for number, run in enumerate(newest) if number == 0 or not is_idle(run)][:count]


def is_idle(run: ReportRun) -> bool:
    """Whether the schedule ran and found nothing to do."""
    by_schedule = run.trigger == ReportRun.Trigger.SCHEDULE and run.kind != ReportRun.Kind.SYNC
    return by_schedule and run.status == ReportRun.Status.SUCCEEDED and not any(run.counters.values())
