"""Write down what becomes of reports that were set aside for closings of which more is known now."""

from collections import defaultdict
from collections.abc import Sequence
from datetime import datetime

from django.db.models import Q

from sync.models import UsageReport
from sync.operations.plan_slices import PlannedReport
from sync.operations.record_findings import end_report_findings

Status = UsageReport.Status


class StalePlanError(Exception):
    """The ledger moved on since the plan was computed; nothing of that transaction was stored."""


def store_decisions(decided: Sequence[PlannedReport], *, now: datetime) -> None:
    """Each stored report has the status that was decided; `StalePlanError` if one is not what it was.

    To be called in the transaction that stores the plan. What goes out after all is no finding any more.
    """
    groups: dict[tuple[str, str, bool, datetime], list[int]] = defaultdict(list)
    for report in decided:
        key = (report.status, report.error, report.half_closed, report.outlook.closes_at)
        groups[key].append(_row_id(report))
    waits = Q(status__in=(Status.LATE, Status.PENDING)) | Q(status=Status.HELD, half_closed=True)
    for (status, error, half_closed, closes_at), ids in groups.items():
        rows = UsageReport.objects.filter(waits, pk__in=ids, maybe_arrived=False)
        changed = rows.update(
            status=status, error=error, half_closed=half_closed, closes_at=closes_at, next_attempt_at=None
        )
        if changed != len(ids):
            raise StalePlanError
    going = [_row_id(report) for report in decided if report.status == Status.PENDING]
    end_report_findings(
        UsageReport.objects.filter(pk__in=going).select_related("enrolment__meter"),
        now=now,
        resolution="Its billing period turned out to be open still: it goes out by itself.",
    )


def _row_id(report: PlannedReport) -> int:
    assert report.stored is not None  # noqa: S101 - narrows the type for mypy
    return report.stored.id
