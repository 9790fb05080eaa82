"""Keep which price an item had when: Stripe shows only the one that it has."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime

from django.db.models import Max

from sync.domain.swaps import PriceChange, path
from sync.domain.timeline import SECOND, floor_to
from sync.models import Finding, ItemPrice, Price, SubscriptionItem
from sync.operations.record_findings import FoundIssue, record_findings
from sync.operations.trace_prices import Changes


@dataclass(frozen=True, slots=True, kw_only=True)
class SeenPrice:
    """What a read shows of an item (local ids); `price` is Stripe's id, "" where the item is gone."""

    item_id: int
    item: str
    price: str
    price_id: int
    meter_id: int | None
    created_at: datetime
    last_seen_at: datetime | None = None
    """When it was last read before; None for a new one."""


def keep_prices(seen: Sequence[SeenPrice], *, changes: Changes, fetched_at: datetime) -> dict[int, datetime]:
    """Every item's prices are kept without a gap up to what was seen; return when those changed first.

    A change is dated by Stripe's events; where they do not lead from the stored price to the one that was
    seen, by this read, with a finding that says so. What is kept is never changed. Safe to repeat; a few
    queries for any number of items. To be called in the transaction that stores the items.
    """
    rows = ItemPrice.objects.filter(item__in=[one.item_id for one in seen], end=None)
    kept = {row.item_id: row for row in rows.select_related("price")}
    begun = _begin([one for one in seen if one.item_id not in kept and one.price], changes)
    known = [(one, kept[one.item_id]) for one in seen if one.item_id in kept]
    _correct_meters([pair for pair in known if pair[0].price == pair[1].price.stripe_id])
    swapped = [one for one, row in known if one.price != row.price.stripe_id]
    return begun | (_swap(swapped, changes, fetched_at) if swapped else {})


def _begin(seen: Sequence[SeenPrice], changes: Changes) -> dict[int, datetime]:
    """New items have their prices, and one that was taken to be gone goes on from there.

    Return since when those have another meter that had other prices before.
    """
    if not seen:
        return {}
    ended = ItemPrice.objects.filter(item__in=[one.item_id for one in seen]).order_by("item")
    ends = dict(ended.values_list("item").annotate(last=Max("end")))
    steps = {one.item_id: _first_steps(one, changes) for one in seen if one.item_id not in ends}
    prices = _prices(change for found in steps.values() for change in found)
    rows: list[ItemPrice] = []
    for one in seen:
        start, found = ends.get(one.item_id) or one.created_at, steps.get(one.item_id, [])
        first = ItemPrice(item_id=one.item_id, price_id=one.price_id, meter_id=one.meter_id, start=start)
        if found and all(change.before in prices for change in found):
            was = prices[found[0].before]
            first.price_id, first.meter_id = was.pk, was.meter_id
            rows += _follow(one, first, found, prices)
        rows.append(first)
    # Another sync may keep the same meanwhile; its rows serve as well as ours.
    ItemPrice.objects.bulk_create(rows, ignore_conflicts=True)
    return {row.item_id: row.end for row in rows if row.end}


def _first_steps(one: SeenPrice, changes: Changes) -> list[PriceChange]:
    """Return what became of a new item's first price."""
    found = sorted(changes.get(one.item, ()), key=lambda change: change.at)
    return path(found, before=found[0].before, after=one.price) if found else []


def _prices(changes: Iterable[PriceChange]) -> dict[str, Price]:
    named = {price for change in changes for price in (change.before, change.after)} - {""}
    return {row.stripe_id: row for row in Price.objects.filter(stripe_id__in=named)} if named else {}


def _correct_meters(pairs: Sequence[tuple[SeenPrice, ItemPrice]]) -> None:
    """What measures a price was not known before, or is named otherwise: no price changes its meter."""
    wrong = [row for one, row in pairs if one.meter_id != row.meter_id]
    meters = {one.item_id: one.meter_id for one, _ in pairs}
    for row in wrong:
        row.meter_id = meters[row.item_id]
    ItemPrice.objects.bulk_update(wrong, ["meter"])


def _swap(swapped: Sequence[SeenPrice], changes: Changes, fetched_at: datetime) -> dict[int, datetime]:
    """Lock first, then look: another sync may have kept these changes meanwhile."""
    locked = ItemPrice.objects.select_for_update(of=("self",)).filter(
        item__in=[one.item_id for one in swapped], end=None
    )
    rows = {row.item_id: row for row in locked.select_related("price").order_by("pk")}
    due = [(one, rows[one.item_id]) for one in swapped if one.item_id in rows]
    due = [(one, row) for one, row in due if row.price.stripe_id != one.price]
    steps = {
        one.item_id: path(changes.get(one.item, ()), before=row.price.stripe_id, after=one.price)
        for one, row in due
    }
    prices = _prices(change for found in steps.values() for change in found)
    new: list[ItemPrice] = []
    for one, old in due:
        found = steps[one.item_id]
        if not found or not all(change.after in {"", *prices} for change in found):
            found = [PriceChange(item=one.item, at=floor_to(fetched_at, SECOND), before="", after=one.price)]
            old.not_before = one.last_seen_at
        new += _follow(one, old, found, prices)
    ItemPrice.objects.bulk_update([row for _, row in due], ["end", "not_before"])
    ItemPrice.objects.bulk_create(new)
    record_findings(_undated([old for _, old in due if old.not_before]), now=fetched_at)
    return {one.item_id: row.end for one, row in due if row.end}


def _follow(
    one: SeenPrice, old: ItemPrice, steps: Sequence[PriceChange], prices: Mapping[str, Price]
) -> Iterator[ItemPrice]:
    """End a price, and yield those that followed it."""
    for change in steps:
        # Two changes in one second, or clocks that differ: none lasted shorter than a second.
        at = old.end = max(change.at, old.start + SECOND)
        if old.not_before:
            old.not_before = min(old.not_before, at)
        if change.after:
            last = change is steps[-1]
            price_id = one.price_id if last else prices[change.after].pk
            meter_id = one.meter_id if last else prices[change.after].meter_id
            old = ItemPrice(item_id=one.item_id, price_id=price_id, meter_id=meter_id, start=at)
            yield old


def _undated(rows: Sequence[ItemPrice]) -> Iterator[FoundIssue]:
    items = SubscriptionItem.objects.filter(pk__in=[row.item_id for row in rows])
    items_by_id = items.select_related("subscription__customer").in_bulk()
    for row in rows:
        item = items_by_id[row.item_id]
        if not (row.meter_id or item.meter_id) or not row.end or not row.not_before:
            continue
        yield FoundIssue(
            kind=Finding.Kind.SWAP_UNDATED,
            fingerprint=f"{item.stripe_id}:{int(row.start.timestamp())}",
            message=(
                f"The price of {item.stripe_id} of {item.subscription.customer} changed, or it was taken "
                f"off, between {_instant(row.not_before)} and {_instant(row.end)}, and Stripe's events do "
                "not say when. It is taken to be the latter: what was reported in between by the old price "
                "may be on no invoice."
            ),
            customer_id=item.subscription.customer_id,
            meter_id=row.meter_id or item.meter_id,
            item_id=item.pk,
        )


def _instant(at: datetime) -> str:
    return f"{at:%Y-%m-%d %H:%M:%S} UTC"
