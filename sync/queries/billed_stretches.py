"""When a customer's usage is billed, meter by meter."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from sync.domain.periods import Stretch, billable_stretches
from sync.models import Customer, Enrolment
from sync.queries.planning import EnrolmentToPlan, attach_items


@dataclass(frozen=True, slots=True, kw_only=True)
class BilledStretches:
    """One enrolment and the stretches of the last five weeks in which its usage is billed, in order."""

    enrolment: Enrolment
    stretches: Sequence[Stretch]


def billed_stretches(customer: Customer, *, now: datetime) -> list[BilledStretches]:
    """Return when the customer is billed, for each meter; a few queries per meter."""
    found: list[BilledStretches] = []
    rows = Enrolment.objects.filter(customer=customer).select_related("meter", "customer")
    for enrolment in rows.order_by("meter__event_name", "pk"):
        plan = EnrolmentToPlan(
            id=enrolment.pk,
            customer_id=customer.stripe_id,
            report_from=enrolment.report_from,
            planned_through=now,  # what nobody has measured yet is not asked for here
            anew=enrolment.anew,
        )
        attach_items({enrolment.pk: plan}, [enrolment.pk], enrolment.meter, now)
        stretches = billable_stretches(
            plan.items, report_from=enrolment.report_from, sets_hours=enrolment.meter.sets_hours
        )
        found.append(BilledStretches(enrolment=enrolment, stretches=stretches))
    return found


def open_periods_begin(found: Sequence[BilledStretches], *, now: datetime) -> datetime | None:
    """Return when the earliest of the stretches began that Stripe still bills, None where there is none."""
    begins = (
        stretch.span.start
        for one in found
        for stretch in one.stretches
        if stretch.closings[-1].closes_at > now
    )
    return min(begins, default=None)
