"""Measure again what was measured before more of it turned out to be billable, or by another meter.

Everything here sets marks back and is called in the transaction that stores the reason: a mark that stayed
would say that usage was measured which nobody looked for. A stored slice is never planned twice, so setting
a mark back too far costs a longer look, and nothing else.
"""

from collections.abc import Collection, Mapping
from datetime import datetime

from django.db import transaction

from sync.domain.periods import item_start
from sync.domain.timeline import HOUR, floor_to
from sync.models import Enrolment, Meter, SubscriptionItem


def measure_anew(*meters: Meter) -> None:
    """Everything on these meters is measured again: what they measure is no longer what it was."""
    if meters:
        Enrolment.objects.filter(meter__in=meters).update(planned_through=None)


def measure_customers_anew(customer_ids: Collection[int]) -> None:
    """Everything of these customers is measured again: past usage turned out to be theirs."""
    if customer_ids:
        Enrolment.objects.filter(customer__in=customer_ids).update(planned_through=None)


def measure_from(starts: Mapping[int, datetime]) -> None:
    """What these items (local ids) are billed for is measured again from these instants on.

    Safe to repeat; takes the same few queries for one item as for a page of them.
    """
    marks = _marks(starts) if starts else {}
    if not marks:
        return
    with transaction.atomic():
        enrolments = (
            # Locked in one order: other syncs set marks back, too, and planners move them forward.
            Enrolment.objects.select_for_update(no_key=True)
            .filter(customer__in={customer for customer, _ in marks}, meter__in={meter for _, meter in marks})
            .filter(planned_through__isnull=False)
            .order_by("pk")
        )
        behind: list[Enrolment] = []
        for enrolment in enrolments:
            mark = marks.get((enrolment.customer_id, enrolment.meter_id))
            if mark and enrolment.planned_through and enrolment.planned_through > mark:
                enrolment.planned_through = mark
                behind.append(enrolment)
        Enrolment.objects.bulk_update(behind, ["planned_through"])


def _marks(starts: Mapping[int, datetime]) -> dict[tuple[int, int], datetime]:
    """Return (customer, meter) → the earliest hour in which an item of theirs is to be measured again."""
    marks: dict[tuple[int, int], datetime] = {}
    for item in SubscriptionItem.objects.filter(pk__in=starts).select_related("subscription"):
        if item.meter_id is None:
            continue
        began = item_start(
            created_at=item.created_at,
            subscription_created_at=item.subscription.created_at,
            start_date=item.subscription.start_date,
        )
        # Slices begin up to an hour before a boundary that is floored.
        mark = floor_to(max(starts[item.pk], began), HOUR)
        key = (item.subscription.customer_id, item.meter_id)
        marks[key] = min(mark, marks.get(key, mark))
    return marks
