"""Who is billed for usage of an OpenMeter meter, by which of Stripe's meters, and when."""

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime

from sync.domain.periods import billable_stretches
from sync.domain.timeline import Span
from sync.models import Enrolment, Meter
from sync.queries.planning import CHUNK, EnrolmentToPlan, SubjectSpan, attach_items, attach_subjects


@dataclass(slots=True)
class BilledCustomer:
    """A customer on one or more of the meters, under which keys, and when anything of theirs is billed."""

    subjects: set[SubjectSpan] = field(default_factory=set)
    spans: list[tuple[Span, int, Meter]] = field(default_factory=list)
    """Billed stretches, each with the enrolment that bills it, and its meter."""

    def enrolments_on(self, key: str, day: Span) -> dict[int, Meter]:
        """Return the enrolments that bill usage under a key on some part of a day."""
        mine = any(
            one.key == key
            and (one.valid_from is None or one.valid_from < day.end)
            and (one.valid_to is None or one.valid_to > day.start)
            for one in self.subjects
        )
        return {pk: meter for span, pk, meter in self.spans if span.overlaps(day)} if mine else {}


def billed_customers(meters: Sequence[Meter], *, since: datetime, now: datetime) -> dict[str, BilledCustomer]:
    """Return who is billed on these meters since then, by Stripe id; a few queries per meter and `CHUNK`."""
    customers: dict[str, BilledCustomer] = defaultdict(BilledCustomer)
    for meter in meters:
        rows = Enrolment.objects.filter(meter=meter).order_by("pk")
        found = {
            pk: EnrolmentToPlan(id=pk, customer_id=customer, report_from=start, planned_through=since, anew=0)
            for pk, customer, start in rows.values_list("pk", "customer__stripe_id", "report_from")
        }
        ids = list(found)
        for first in range(0, len(ids), CHUNK):
            chunk = ids[first : first + CHUNK]
            attach_subjects(found, chunk)
            attach_items(found, chunk, meter, now)
        for one in found.values():
            stretches = billable_stretches(
                one.items, report_from=one.report_from, sets_hours=meter.sets_hours
            )
            customer = customers[one.customer_id]
            customer.subjects |= set(one.subjects)
            customer.spans += [(stretch.span, one.id, meter) for stretch in stretches]
    return customers
