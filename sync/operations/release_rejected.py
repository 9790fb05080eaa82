"""Retry whatever Stripe refused, because a person who starts a run asks for it."""

from datetime import datetime

from sync.models import ReportRun, UsageReport
from sync.operations.report_request import ReportRequest
from sync.operations.resolve_report import release_report
from sync.ports import InvalidInput
from sync.queries.planning import enrolments_in


def release_rejected(request: ReportRequest, *, run: ReportRun, now: datetime) -> list[str]:
    """Every refused report of the scope is a new revision that this run sends; return why some are not."""
    rejected = UsageReport.objects.filter(
        status=UsageReport.Status.REJECTED, enrolment__in=enrolments_in(request.scope)
    )
    problems = []
    for report_id in list(rejected.values_list("pk", flat=True)):
        try:
            release_report(
                report_id=report_id, why="--retry-rejected", who=request.requested_by, run=run, now=now
            )
        except InvalidInput as error:
            problems.append(str(error))
    return problems
