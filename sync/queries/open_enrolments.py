"""Since when the billing periods of customers are open, meter by meter."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from sync.domain.open_periods import OpenPeriods, open_periods
from sync.domain.periods import Stretch, billable_stretches
from sync.models import Customer, Enrolment
from sync.queries.planning import EnrolmentToPlan, attach_items, attach_subjects


@dataclass(frozen=True, slots=True, kw_only=True)
class OpenEnrolment:
    """One customer on one meter: what bills it, and since when all of that is open."""

    enrolment: Enrolment
    to_plan: EnrolmentToPlan
    """As planning knows it, with subjects and items, without rows of the ledger."""
    periods: OpenPeriods
    stretches: Sequence[Stretch]

    def billed_after(self, at: datetime) -> list[Stretch]:
        """Return the stretches that are billed after an instant; none where nothing is."""
        return [stretch for stretch in self.stretches if stretch.span.end > at]


def open_enrolments(customers: Sequence[Customer], *, now: datetime) -> list[OpenEnrolment]:
    """Return the customers' enrolments by the names of their meters; a few queries for each meter."""
    rows = list(
        Enrolment.objects.filter(customer__in=customers)
        .select_related("customer", "meter")
        .order_by("meter__event_name", "meter", "pk")
    )
    found = {
        row.pk: EnrolmentToPlan(
            id=row.pk,
            customer_id=row.customer.stripe_id,
            report_from=row.report_from,
            planned_through=row.planned_through,
            anew=row.anew,
        )
        for row in rows
    }
    attach_subjects(found, list(found))
    for meter in dict.fromkeys(row.meter for row in rows):
        attach_items(found, [row.pk for row in rows if row.meter_id == meter.pk], meter, now)
    return [_opened(row, found[row.pk], now) for row in rows]


def _opened(row: Enrolment, to_plan: EnrolmentToPlan, now: datetime) -> OpenEnrolment:
    return OpenEnrolment(
        enrolment=row,
        to_plan=to_plan,
        periods=open_periods(to_plan.items, report_from=row.report_from, now=now),
        stretches=billable_stretches(
            to_plan.items, report_from=row.report_from, sets_hours=row.meter.sets_hours
        ),
    )
