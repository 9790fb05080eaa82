"""Whether a report would take units off at another price than they were billed at."""

from datetime import datetime

from sync.domain.accounts import account_of
from sync.domain.closings import price_changed_later
from sync.domain.periods import billable_stretches
from sync.models import UsageReport
from sync.queries.planning import Scope, enrolments_to_plan


def is_lowered_late(report: UsageReport, *, now: datetime) -> bool:
    """Whether it lowers its slice, and the price has changed since that was used.

    The report is loaded with enrolment and meter. A few queries, and none more for what raises a slice.
    """
    meter = report.enrolment.meter
    if not _lowers(report, sets_hours=meter.sets_hours):
        return False
    scope, mine = Scope(meter=meter.stripe_id), {report.enrolment_id}
    for one in enrolments_to_plan(meter, scope=scope, since=now, now=now, paused_too=True, only=mine):
        stretches = billable_stretches(one.items, report_from=one.report_from, sets_hours=meter.sets_hours)
        return any(
            price_changed_later(stretch.closings)
            for stretch in stretches
            if stretch.span.start <= report.event_at < stretch.span.end
        )
    return False


def _lowers(report: UsageReport, *, sets_hours: bool) -> bool:
    if not sets_hours:
        return report.value < 0
    before = UsageReport.objects.filter(
        enrolment=report.enrolment, slice_start=report.slice_start, revision__lt=report.revision
    ).exclude(status__in=UsageReport.WITHDRAWN)
    return report.value < account_of(list(before.order_by("revision")), sets_hours=True).accounted
