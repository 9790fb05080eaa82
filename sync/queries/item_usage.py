"""What subscription items come to in their current billing period: units and the amount so far."""

from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal

from django.db.models import OuterRef, Subquery

from sync.domain.pricing import Money
from sync.domain.quantities import exact_sum
from sync.domain.timeline import Span
from sync.models import BillingPeriod, Enrolment, SubscriptionItem
from sync.queries.amounts import total
from sync.queries.held_units import Asked, held_units
from sync.queries.item_prices import PricePart, price_parts


@dataclass(frozen=True, slots=True, kw_only=True)
class ItemUsage:
    """An item and its current period: the last one that began. Units and amount where it is metered."""

    item: SubscriptionItem
    period: BillingPeriod | None
    enrolment: Enrolment | None
    units: Decimal | None
    """What Stripe holds, or will hold without anybody's doing, of the period on the item's meter."""
    amount: Money | None
    """What that costs by the prices' tiers, before taxes and discounts; with what had other prices before."""

    @property
    def span(self) -> Span | None:
        """The period, as far as the item was there."""
        return span_of(self.item, self.period) if self.period else None


def items_usage(items: Sequence[SubscriptionItem], *, now: datetime) -> list[ItemUsage]:
    """Return the usage of items whose subscription and price are loaded, in the same order.

    Four queries for every few thousand.
    """
    periods = _current_periods(items, now)
    known = [item for item in items if item.pk in periods]
    parts = dict(
        zip(
            [item.pk for item in known],
            price_parts([(item, span_of(item, periods[item.pk])) for item in known]),
            strict=True,
        )
    )
    enrolments = _enrolments(items, {part.meter_id for found in parts.values() for part in found})
    metered = [
        (item, part, Asked(enrolment.pk, part.span))
        for item in known
        for part in _billed_parts(item, parts[item.pk])
        if (enrolment := enrolments.get((item.subscription.customer_id, part.meter_id)))
    ]
    held = held_units([asked for _item, _part, asked in metered])
    billed: dict[int, list[tuple[PricePart, Decimal]]] = defaultdict(list)
    for (item, part, _asked), units in zip(metered, held, strict=True):
        billed[item.pk].append((part, units))
    return [
        ItemUsage(
            item=item,
            period=periods.get(item.pk),
            enrolment=enrolments.get((item.subscription.customer_id, item.meter_id)),
            units=_units(item, billed[item.pk]),
            # The items of a subscription have one currency.
            amount=next(iter(total([[part.price.terms.amount(n)] for part, n in billed[item.pk]])), None),
        )
        for item in items
    ]


def _billed_parts(item: SubscriptionItem, parts: Sequence[PricePart]) -> Sequence[PricePart]:
    """In classic billing mode Stripe bills nothing of what was used before the price changed."""
    return parts if item.subscription.billing_mode == "flexible" else parts[-1:]


def _units(item: SubscriptionItem, billed: Sequence[tuple[PricePart, Decimal]]) -> Decimal | None:
    """Return the units of the item's own meter, None where there is none."""
    mine = [units for part, units in billed if part.meter_id == item.meter_id]
    return exact_sum(mine) if mine else None


def span_of(item: SubscriptionItem, period: BillingPeriod) -> Span:
    """Return a period, cut where the item or its subscription ended."""
    ends = (period.end, item.deleted_at, item.subscription.ended_at, item.subscription.deleted_at)
    return Span(period.start, max(period.start, min(end for end in ends if end)))


def _current_periods(items: Sequence[SubscriptionItem], now: datetime) -> dict[int, BillingPeriod]:
    begun = BillingPeriod.objects.filter(item=OuterRef("item"), start__lte=now).order_by("-start")
    rows = BillingPeriod.objects.filter(
        item__in=[item.pk for item in items], start=Subquery(begun.values("start")[:1])
    )
    return {row.item_id: row for row in rows}


def _enrolments(
    items: Sequence[SubscriptionItem], meters: Iterable[int | None]
) -> dict[tuple[int, int | None], Enrolment]:
    rows = Enrolment.objects.filter(
        customer__in={item.subscription.customer_id for item in items},
        meter__in={*meters, *(item.meter_id for item in items)} - {None},
    )
    return {(row.customer_id, row.meter_id): row for row in rows}
