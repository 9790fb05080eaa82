"""The subscription items that bill a meter, now or before their price changed, and when they do."""

from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from datetime import datetime
from typing import Any

from django.db.models import F, Q

from sync.domain.periods import BilledItem, Period, item_start
from sync.domain.swaps import FOR_EVER, PriceStretch, cut_at_swaps, other_meters
from sync.domain.timeline import SECOND, Span, floor_to
from sync.models import BillingPeriod, ItemPrice, Meter, SubscriptionItem, SubscriptionPause

_ITEM_COLUMNS = (
    *("pk", "stripe_id", "created_at", "deleted_at", "subscription_id"),
    *(f"subscription__{name}" for name in ("status", "billing_mode", "created_at", "start_date")),
    *(f"subscription__{name}" for name in ("trial_start", "trial_end", "cancel_at", "ended_at")),
    "subscription__deleted_at",
)
"""What decides when an item is billed; whole objects of thousands take twice the time."""


def billed_items(ids: Sequence[int], meter: Meter, *, since: datetime) -> Iterator[tuple[int, BilledItem]]:
    """Yield enrolments (local ids) with each item that bills them on the meter, or did so in these periods.

    Periods are those that end after `since`, cut where a price changed. A constant number of queries.
    """
    # A legacy price may name a meter in its metadata, but Stripe bills no meter events on it.
    left = ItemPrice.objects.filter(end__gt=since, meter=meter, price__meter=meter)
    items = list(
        SubscriptionItem.objects.filter(Q(meter=meter, price__meter=meter) | Q(pk__in=left.values("item")))
        .filter(subscription__customer__enrolments__in=ids)
        .order_by("pk")
        .values_list("subscription__customer__enrolments__pk", *_ITEM_COLUMNS, named=True)
    )
    pks = {item.pk for item in items}
    periods, pauses = _periods(pks, since=since), _pauses(items)
    prices = swapped_prices(pks, since=since)
    for item in items:
        yield item[0], _billed(item, periods[item.pk], pauses[item.subscription_id], prices[item.pk], meter)


def swapped_prices(items: Iterable[int], *, since: datetime) -> Mapping[int, list[PriceStretch]]:
    """Return the prices of items (local ids) one of whose prices ended after `since`, in order."""
    ended = ItemPrice.objects.filter(item__in=items, end__gt=since)
    rows = ItemPrice.objects.filter(item__in=ended.values("item")).order_by("item", "start")
    # Stripe bills by the price's own meter.
    named = rows.values_list("item_id", F("price__meter"), "start", "end")
    found: dict[int, list[PriceStretch]] = defaultdict(list)
    for item, meter, start, end in named:
        found[item].append(PriceStretch(meter=meter, start=start, end=end))
    return found


def keeps_usage(meter: Meter, billing_mode: str) -> bool:
    """Whether usage from before a change of price can be reported after it, where the meter stays.

    In classic billing mode Stripe drops it. Where it keeps one value an hour, it is not established whether
    the whole value of an hour that was billed before is billed again.
    """
    return billing_mode == "flexible" and not meter.sets_hours


def _periods(items: Iterable[int], *, since: datetime) -> Mapping[int, list[Period]]:
    rows = BillingPeriod.objects.filter(item__in=items, end__gt=since).order_by("start")
    periods: dict[int, list[Period]] = defaultdict(list)
    for item_id, start, end, closes_at in rows.values_list("item_id", "start", "end", "closes_at"):
        periods[item_id].append(Period(span=Span(start, end), closes_at=closes_at))
    return periods


def _pauses(items: Iterable[Any]) -> Mapping[int, list[Span]]:
    # What Stripe does not date is dated by when it was seen, and OpenMeter knows whole seconds only.
    subscriptions = {item.subscription_id for item in items}
    rows = SubscriptionPause.objects.filter(subscription__in=subscriptions).order_by()
    pauses: dict[int, list[Span]] = defaultdict(list)
    for subscription_id, start, end in rows.values_list("subscription_id", "start", "end"):
        pauses[subscription_id].append(Span(floor_to(start, SECOND), floor_to(end or FOR_EVER, SECOND)))
    return pauses


def _billed(
    item: Any, periods: Sequence[Period], pauses: Sequence[Span], prices: Sequence[PriceStretch], meter: Meter
) -> BilledItem:
    ends = (
        item.subscription__ended_at,
        item.deleted_at,
        item.subscription__deleted_at,
        item.subscription__cancel_at,
    )
    unbilled = list(pauses)
    if item.subscription__trial_end:
        began = item.subscription__trial_start or item.subscription__start_date
        unbilled.append(Span(began, item.subscription__trial_end))
    if prices:
        keeps = keeps_usage(meter, item.subscription__billing_mode)
        periods = list(cut_at_swaps(periods, prices, keeps_usage=keeps))
        unbilled += other_meters(prices, meter.pk)
    return BilledItem(
        id=item.stripe_id,
        status=item.subscription__status,
        periods=periods,
        starts_at=item_start(
            created_at=item.created_at,
            subscription_created_at=item.subscription__created_at,
            start_date=item.subscription__start_date,
        ),
        ends_at=min((floor_to(end, SECOND) for end in ends if end), default=None),
        unbilled=unbilled,
    )
