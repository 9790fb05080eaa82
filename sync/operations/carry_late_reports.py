"""LATE_USAGE=carry_forward: late usage goes into an open period by itself, where that costs the same."""

from collections.abc import Callable
from datetime import datetime

from sync.domain.closings import OLDEST_EVENT
from sync.domain.summaries import SummarySource
from sync.models import ReportRun, UsageReport
from sync.operations.carry_report import carry_report
from sync.operations.check_first_deliveries import compare_late
from sync.operations.plan_carry import CarryPlan, plan_carries
from sync.ports import InvalidInput
from sync.queries.planning import Scope, enrolments_in

MOST = 200
"""Reports that one run looks at, so that it comes to sending; the next run goes on."""
WHY = "LATE_USAGE=carry_forward, and both amounts are the same"


def carry_late_reports(
    scope: Scope, run: ReportRun, *, source: SummarySource, clock: Callable[[], datetime]
) -> int:
    """Late reports that cost the same in an open period are carried into it; return how many.

    Those of the last five weeks, newest first, after one more look at what Stripe holds. The others wait for
    a person, as without the setting.
    """
    now = clock()
    late = UsageReport.objects.filter(
        status=UsageReport.Status.LATE,
        enrolment__in=enrolments_in(scope),
        created_at__gt=now - OLDEST_EVENT,
    )
    late = late.select_related("enrolment__meter", "enrolment__customer").order_by("-pk")
    plans = plan_carries(list(late[:MOST]), now=now)
    agreed = [plan.report for plan in plans if isinstance(plan, CarryPlan) and plan.amounts_agree]
    try:
        compare_late([report.pk for report in agreed], source=source, clock=clock)
    except InvalidInput:
        return 0  # the run says itself that Stripe does not answer
    return sum(_try_to_carry(report, run, clock()) for report in agreed)


def _try_to_carry(report: UsageReport, run: ReportRun, now: datetime) -> bool:
    try:
        carry_report(report_id=report.pk, why=WHY, who="the console", run=run, now=now)
    except InvalidInput:
        return False  # somebody decides on it at this moment, or its open hour is being sent: it stays late
    return True
