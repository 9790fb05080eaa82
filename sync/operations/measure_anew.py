"""Measure again what was measured before more of it turned out to be billable, or by another meter.

Everything here sets marks back and is called in the transaction that stores the reason: a mark that stayed
would say that usage was measured which nobody looked for. A stored slice is never planned twice, so setting
a mark back too far costs a longer look, and nothing else.
"""

from collections.abc import Collection, Iterable, Mapping
from datetime import datetime

from django.db import transaction
from django.db.models import F, Q, QuerySet

from sync.domain.closings import OLDEST_EVENT
from sync.domain.periods import item_start
from sync.domain.timeline import DAY, HOUR, floor_to
from sync.models import Enrolment, ItemPrice, Meter, SubscriptionItem, UsageReport

BATCH = 500


def measure_anew(*meters: Meter) -> None:
    """Everything on these meters is measured again: what they measure is no longer what it was."""
    if meters:
        _forget_marks(Q(meter__in=meters))


def measure_customers_anew(customer_ids: Collection[int]) -> None:
    """Everything of these customers is measured again: past usage turned out to be theirs."""
    if customer_ids:
        _forget_marks(Q(customer__in=customer_ids))


def measure_customer_from(customer_id: int, start: datetime | None, *, now: datetime) -> None:
    """Everything of this customer from `start` on (None: that Stripe still takes) is measured again.

    Slices that are stored, too: usage under a further key adds to what was measured under the first.
    """
    oldest = floor_to(now - OLDEST_EVENT, DAY)
    mark = max(start, oldest) if start else oldest
    with transaction.atomic():
        for enrolment in _locked(Q(customer=customer_id)):
            # Without a mark only what was never stored is measured.
            is_stored = enrolment.planned_through is None and enrolment.reports.exists()
            enrolment.planned_through = oldest if is_stored else enrolment.planned_through
            enrolment.set_back(mark)
            enrolment.save(update_fields=["planned_through", "anew"])


def measure_from(starts: Mapping[int, datetime]) -> None:
    """What these items (local ids) are billed for is measured again from these instants on.

    Safe to repeat; takes the same few queries for one item as for a page of them. A plan that was made
    before is refused, even where the mark stays: it knew nothing of these items.
    """
    _set_marks_back(_marks(starts) if starts else {})


def measure_swapped(items: Mapping[int, datetime]) -> None:
    """Old and new meters of these items (local ids) are measured again from these changes of price on."""
    marks: dict[tuple[int, int], datetime] = {}
    if not items:
        return
    rows = ItemPrice.objects.filter(item__in=items, meter__isnull=False)
    for row in rows.select_related("item__subscription"):
        key = (row.item.subscription.customer_id, row.meter_id or 0)
        mark = floor_to(items[row.item_id], HOUR)
        marks[key] = min(mark, marks.get(key, mark))
    _set_marks_back(marks)


def _set_marks_back(marks: Mapping[tuple[int, int], datetime]) -> None:
    """What these customers used on these meters (local ids) is measured again from these instants on.

    Safe to repeat. A plan that was made before is refused, even where the mark stays.
    """
    if not marks:
        return
    with transaction.atomic():
        chosen = Q(customer__in={customer for customer, _ in marks}, meter__in={meter for _, meter in marks})
        changed: list[Enrolment] = []
        for enrolment in _locked(chosen):
            mark = marks.get((enrolment.customer_id, enrolment.meter_id))
            if mark:
                enrolment.set_back(mark)
                changed.append(enrolment)
        Enrolment.objects.bulk_update(changed, ["planned_through", "anew"], batch_size=500)


def measure_slices_anew(reports: Iterable[UsageReport]) -> None:
    """The slices of these reports are measured again: while they were blocked, what came in was not planned.

    To be called before the reports themselves are locked, as planners lock enrolments first, too.
    """
    marks: dict[int, datetime] = {}
    for report in reports:
        start = floor_to(report.slice_start, HOUR)
        marks[report.enrolment_id] = min(start, marks.get(report.enrolment_id, start))
    if not marks:
        return
    with transaction.atomic():
        for enrolment in _locked(Q(pk__in=marks)):
            enrolment.set_back(marks[enrolment.pk])
            enrolment.save(update_fields=["planned_through", "anew"])


def _forget_marks(chosen: Q) -> None:
    with transaction.atomic():
        ids = [enrolment.pk for enrolment in _locked(chosen)]
        for first in range(0, len(ids), BATCH):
            Enrolment.objects.filter(pk__in=ids[first : first + BATCH]).update(
                planned_through=None, anew=F("anew") + 1
            )


def _locked(chosen: Q) -> QuerySet[Enrolment]:
    """Lock enrolments in the one order that planners and workers lock them in, too."""
    return Enrolment.objects.select_for_update(no_key=True).filter(chosen).order_by("pk")


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
