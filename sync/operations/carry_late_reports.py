"""LATE_USAGE=carry_forward: late usage goes into an open period by itself, where that costs the same."""

from datetime import datetime

from sync.domain.closings import OLDEST_EVENT
from sync.models import ReportRun, UsageReport
from sync.operations.carry_report import carry_report
from sync.operations.plan_carry import CarryPlan, plan_carries
from sync.ports import InvalidInput
from sync.queries.planning import Scope, enrolments_in

MOST = 200
"""Reports that one run looks at, so that it comes to sending; the next run goes on."""
WHY = "LATE_USAGE=carry_forward, and both amounts are the same"


def carry_late_reports(*, scope: Scope, run: ReportRun, now: datetime) -> int:
    """Late reports that cost the same in an open period are carried into it; return how many.

    Those of the last five weeks, newest first. The others wait for a person, as without the setting.
    """
    late = UsageReport.objects.filter(
        status=UsageReport.Status.LATE,
        enrolment__in=enrolments_in(scope),
        created_at__gt=now - OLDEST_EVENT,
    )
    late = late.select_related("enrolment__meter", "enrolment__customer").order_by("-pk")
    plans = plan_carries(list(late[:MOST]), now=now)
    agreed = [plan for plan in plans if isinstance(plan, CarryPlan) and plan.amounts_agree]
    return sum(_try_to_carry(plan.report, run, now) for plan in agreed)


def _try_to_carry(report: UsageReport, run: ReportRun, now: datetime) -> bool:
    try:
        carry_report(report_id=report.pk, why=WHY, who="the console", run=run, now=now)
    except InvalidInput:
        return False  # somebody decides on it at this moment, or its open hour is being sent: it stays late
    return True
