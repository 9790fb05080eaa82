"""Which prices items had in stretches of their time."""

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime

from sync.domain.swaps import EVER, FOR_EVER
from sync.domain.timeline import Span
from sync.models import ItemPrice, Price, SubscriptionItem


@dataclass(frozen=True, slots=True, kw_only=True)
class PricePart:
    """A stretch in which an item had a price. `meter_id` is null where it is not billed by meter events."""

    price: Price
    meter_id: int | None
    span: Span


def price_parts(asked: Sequence[tuple[SubscriptionItem, Span]]) -> list[list[PricePart]]:
    """Return the prices of each item in each stretch, in order; of most that is one.

    Items are loaded with their price. One query for any number of them.
    """
    kept = swapped_items(item.pk for item, _span in asked)
    return [_parts(item, span, kept.get(item.pk, ())) for item, span in asked]


def swapped_items(items: Iterable[int]) -> Mapping[int, list[ItemPrice]]:
    """Return all prices, in order, of those items (local ids) that had another one before; one query."""
    ended = ItemPrice.objects.filter(item__in=set(items), end__isnull=False)
    rows = ItemPrice.objects.filter(item__in=ended.values("item")).select_related("price__meter", "meter")
    found: dict[int, list[ItemPrice]] = defaultdict(list)
    for row in rows.order_by("item", "start"):
        found[row.item_id].append(row)
    return {item: mine for item, mine in found.items() if len(mine) > 1}


def price_spans(kept: Sequence[ItemPrice]) -> list[tuple[ItemPrice, Span]]:
    """Return an item's prices, in order, with how long it had each; the first one counts from ever."""
    starts = [row.start if number else EVER for number, row in enumerate(kept)]
    return [(row, Span(start, row.end or FOR_EVER)) for start, row in zip(starts, kept, strict=True)]


def span_at(at: datetime, period: Span, kept: Sequence[ItemPrice]) -> Span:
    """Return the part of a period in which an item had the price of this instant."""
    inside = (period.meet(span) for _row, span in price_spans(kept) if span.start <= at < span.end)
    return next(inside, None) or period


def _parts(item: SubscriptionItem, span: Span, kept: Sequence[ItemPrice]) -> list[PricePart]:
    if not kept:
        # A legacy price may name a meter in its metadata, but Stripe bills no meter events on it.
        meter_id = item.meter_id if item.meter_id == item.price.meter_id else None
        return [PricePart(price=item.price, meter_id=meter_id, span=span)]
    return [
        PricePart(price=row.price, meter_id=row.price.meter_id, span=inside)
        for row, held in price_spans(kept)
        if (inside := span.meet(held))
    ]
