"""What was reported of the time before an item's price changed, and what Stripe makes of it."""

from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from decimal import Decimal
from enum import StrEnum
from typing import Any

from django.db.models import BooleanField, Case, Exists, F, OuterRef, Q, When

from sync.domain.periods import Period
from sync.domain.quantities import exact_sum
from sync.domain.swaps import EVER, FOR_EVER, PriceStretch, cut_at_swaps
from sync.domain.timeline import HOUR, MINUTE, SECOND, Span, floor_to
from sync.models import BillingPeriod, DeliveryAttempt, Enrolment, ItemPrice, UsageReport
from sync.queries.held_units import ASIDE

Status = UsageReport.Status
CHUNK = 100
"""How many stretches are asked for at once, each with conditions of its own."""


class Fate(StrEnum):
    """What Stripe makes of usage from before a change that was reported."""

    NOT_BILLED = "not billed"
    REPRICED = "repriced"
    """It has the price that came after."""
    AFTER_THE_END = "after the end"
    """It is on no invoice: it reached Stripe after the end of a period in which the price had changed."""


@dataclass(slots=True, kw_only=True)
class SwappedUsage:
    """Units of a stretch at the end of which the price changed, or the item was taken off."""

    old: ItemPrice
    new: ItemPrice | None
    """What came after; of an item that was taken off, the price of one that took its place on the meter."""
    fate: Fate
    enrolment_id: int
    span: Span
    arrived: Span
    """When what is meant reached Stripe."""
    parts: dict[datetime, list["_Row"]] = field(default_factory=lambda: defaultdict(list))

    @property
    def units(self) -> Decimal:
        """What reports come to that reached Stripe then."""
        return exact_sum([self._of_slice(rows) for rows in self.parts.values()])

    @property
    def sets_hours(self) -> bool:
        """Whether Stripe keeps one value an hour."""
        return bool(self.old.price.meter and self.old.price.meter.sets_hours)

    def _of_slice(self, rows: Sequence["_Row"]) -> Decimal:
        own = [row for row in rows if not row.is_aside]
        aside = [row.value for row in rows if row.is_aside and self._is_meant(row)]
        return exact_sum([*aside[-1:], self._of_own(own)])

    def _of_own(self, rows: Sequence["_Row"]) -> Decimal:
        mine = [row.value for row in rows if self._is_meant(row)]
        if not mine:
            return Decimal(0)
        if self.sets_hours:
            before = [row.value for row in rows if row.arrived_at and row.arrived_at < self.arrived.start]
            return mine[-1] - (before[-1] if before else Decimal(0))
        # A slice that reaches beyond the change was measured anew up to there: what it lost was not meant.
        beyond = [row.value for row in rows if not row.arrived_at and row.value < 0 and self._is_cut(row)]
        return exact_sum([*mine, *beyond])

    def _is_cut(self, row: "_Row") -> bool:
        return not self.stays and row.end > self.span.end

    @property
    def stays(self) -> bool:
        """Whether the same meter goes on: slices are cut where the price changed, if that was known."""
        return bool(self.new and self.new.price.meter_id == self.old.price.meter_id)

    @property
    def is_rough(self) -> bool:
        """Whether a slice reaches over the change, so that not all of it was used before."""
        return self.stays and any(row.end > self.span.end for rows in self.parts.values() for row in rows)

    def holds(self, *, slice_start: datetime, event_at: datetime) -> bool:
        """Whether a report is of the time that is meant.

        Where a meter goes on, what lies behind the last full minute (or hour) was put to the new price: of a
        minute nobody is told. In classic billing mode Stripe looks at the event's time only.
        """
        if event_at < self.span.start:
            return False
        by_event = self.fate is Fate.AFTER_THE_END or (self.fate is Fate.NOT_BILLED and self.stays)
        edge = self.span.end
        if self.stays and not (self.sets_hours and self.fate is Fate.REPRICED):
            edge = floor_to(edge, HOUR if self.sets_hours else MINUTE)
        return (event_at if by_event else slice_start) < edge

    def _is_meant(self, row: "_Row") -> bool:
        at = row.arrived_at
        return at is not None and self.arrived.start <= at < self.arrived.end


@dataclass(frozen=True, slots=True, kw_only=True)
class _Row:
    end: datetime
    value: Decimal
    arrived_at: datetime | None
    """None for what waits, or was written off."""
    is_aside: bool = False
    """Stripe has it in another hour of the slice. As late as it can be billed: nobody knows since when."""


def swapped_usage(*, since: datetime) -> list[SwappedUsage]:
    """Return what was reported of prices that ended after `since`, where Stripe bills it otherwise.

    A few queries for a hundred of them.
    """
    ended = ItemPrice.objects.filter(end__gt=since, price__meter__isnull=False)
    related = ("item__subscription__customer", "price__meter")
    rows = ItemPrice.objects.filter(item__in=ended.values("item")).select_related(*related)
    prices: dict[int, list[ItemPrice]] = defaultdict(list)
    for row in rows.order_by("item", "start"):
        prices[row.item_id].append(row)
    heirs = _heirs(prices.values())
    periods = _periods({*prices, *(heir.item_id for heir in heirs.values())}, since=since)
    enrolments = _enrolments(prices.values())
    asked = [
        one
        for item, mine in prices.items()
        for one in _stretches(mine, periods, enrolments, heirs)
        if one.span.end > since
    ]
    for first in range(0, len(asked), CHUNK):
        _read(asked[first : first + CHUNK])
    return [one for one in asked if one.parts]


def _periods(items: Iterable[int], *, since: datetime) -> Mapping[int, list[Period]]:
    found: dict[int, list[Period]] = defaultdict(list)
    rows = BillingPeriod.objects.filter(item__in=items, end__gt=since).order_by("start")
    for item, start, end, closes_at in rows.values_list("item", "start", "end", "closes_at"):
        found[item].append(Period(span=Span(start, end), closes_at=closes_at))
    return found


def _enrolments(prices: Iterable[Sequence[ItemPrice]]) -> Mapping[tuple[int, int], int]:
    customers = {mine[0].item.subscription.customer_id for mine in prices}
    rows = Enrolment.objects.filter(customer__in=customers)
    return {(customer, meter): pk for pk, customer, meter in rows.values_list("pk", "customer", "meter")}


def _heirs(prices: Iterable[Sequence[ItemPrice]]) -> Mapping[int, ItemPrice]:
    """Return for prices of items that were taken off (local ids) that of an item that took its place, if any.

    One query where there are any.
    """
    gone = [mine[-1] for mine in prices if mine[-1].end]
    if not gone:
        return {}
    others: dict[tuple[int, int | None], list[ItemPrice]] = defaultdict(list)
    rows = ItemPrice.objects.filter(
        item__subscription__customer__in={one.item.subscription.customer_id for one in gone},
        price__meter__in={one.price.meter_id for one in gone if one.price.meter_id},
    ).select_related("item__subscription", "price__meter")
    for row in rows.order_by("start"):
        others[row.item.subscription.customer_id, row.price.meter_id].append(row)
    found: dict[int, ItemPrice] = {}
    for one in gone:
        for other in others[one.item.subscription.customer_id, one.price.meter_id]:
            if other.item_id != one.item_id and _took_its_place(one, other):
                found[one.pk] = other
    return found


def _took_its_place(gone: ItemPrice, other: ItemPrice) -> bool:
    at = gone.end or FOR_EVER
    return other.start - MINUTE <= at < (other.end or FOR_EVER)


def _stretches(
    prices: Sequence[ItemPrice],
    periods: Mapping[int, Sequence[Period]],
    enrolments: Mapping[tuple[int, int], int],
    heirs: Mapping[int, ItemPrice],
) -> Iterator[SwappedUsage]:
    subscription = prices[0].item.subscription
    stretches = [PriceStretch(meter=one.price.meter_id, start=one.start, end=one.end) for one in prices]
    following = [*prices[1:], heirs.get(prices[-1].pk)]
    changed = [one.end for one in prices if one.end]
    for old, new in zip(prices, following, strict=True):
        meter = old.price.meter
        enrolment = enrolments.get((subscription.customer_id, old.price.meter_id or 0))
        if meter is None or enrolment is None:
            continue
        flexible = subscription.billing_mode == "flexible"
        for period in periods.get(old.item_id, ()):
            if not any(period.span.start <= at < period.span.end for at in changed):
                continue
            for part in cut_at_swaps([period], stretches, keeps_usage=flexible):
                if part.span.end == old.end != period.span.end:
                    yield from _fates(part, _too_late(part, period, old, new, periods), old, new, enrolment)
                elif part.span.end == period.span.end and old.start < period.span.end and _has(old, period):
                    yield _fate(Fate.AFTER_THE_END, part, old, None, enrolment, Span(part.span.end, FOR_EVER))


def _has(price: ItemPrice, period: Period) -> bool:
    """Whether an item still has the price when the period ends."""
    return price.end is None or price.end >= period.span.end


def _too_late(
    part: Period,
    period: Period,
    old: ItemPrice,
    new: ItemPrice | None,
    periods: Mapping[int, Sequence[Period]],
) -> datetime:
    """Return from when on what arrives of a part is on no invoice.

    Where the meter goes on, it has the price that came: on the same item until the period ends, on one that
    took its place until that one's invoice is final.
    """
    if new is None or new.price.meter_id != old.price.meter_id:
        return part.closes_at
    if new.item_id == old.item_id:
        return max(part.closes_at, period.span.end)
    follow = (one.closes_at for one in periods.get(new.item_id, ()) if one.span.end > part.span.end)
    return max(part.closes_at, next(follow, period.closes_at))


def _fates(
    part: Period, too_late: datetime, old: ItemPrice, new: ItemPrice | None, enrolment: int
) -> Iterator[SwappedUsage]:
    at = part.span.end
    if old.item.subscription.billing_mode != "flexible":
        yield _fate(Fate.NOT_BILLED, part, old, new, enrolment, Span(EVER, FOR_EVER))
        return
    yield _fate(Fate.NOT_BILLED, part, old, new, enrolment, Span(too_late, FOR_EVER))
    if at < too_late:
        yield _fate(Fate.REPRICED, part, old, new, enrolment, Span(at, too_late))


def _fate(
    fate: Fate, part: Period, old: ItemPrice, new: ItemPrice | None, enrolment: int, arrived: Span
) -> SwappedUsage:
    return SwappedUsage(old=old, new=new, fate=fate, enrolment_id=enrolment, span=part.span, arrived=arrived)


def _read(asked: Sequence[SwappedUsage]) -> None:
    """Give each stretch the reports that it needs."""
    wanted = Q()
    for one in asked:
        wanted |= Q(enrolment=one.enrolment_id, event_at__gte=one.span.start, slice_start__lt=one.span.end)
    by_enrolment: dict[int, list[SwappedUsage]] = defaultdict(list)
    for one in asked:
        by_enrolment[one.enrolment_id].append(one)
    too_late = Q(status__in=(Status.LATE, Status.HELD)) | Q(status=Status.DISMISSED, written_off=True)
    rows = (
        UsageReport.objects.filter(Q(status=Status.DELIVERED) | too_late)
        .filter(wanted)
        .annotate(
            # Known only afterwards: by the name that Stripe had already, or by its totals.
            had_arrived=Exists(
                DeliveryAttempt.objects.filter(report=OuterRef("pk"), outcome="DuplicateIdentifier")
            )
            | Q(compared_at__gt=F("first_sent_at")),
            is_aside=Case(When(ASIDE, then=True), default=False, output_field=BooleanField()),
        )
        .order_by("enrolment", "slice_start", "revision")
        .only(
            "enrolment_id",
            "slice_start",
            "slice_end",
            "event_at",
            "closes_at",
            "value",
            "first_sent_at",
            "delivered_at",
            "created_at",
        )
    )
    for row in rows.iterator(chunk_size=2000):
        _place(row, by_enrolment[row.enrolment_id])


def _place(row: Any, asked: Sequence[SwappedUsage]) -> None:
    arrived_at = (row.first_sent_at if row.had_arrived else row.delivered_at) if row.delivered_at else None
    if row.is_aside:
        arrived_at = min(row.created_at, row.closes_at - SECOND)
    kept = _Row(end=row.slice_end, value=row.value, arrived_at=arrived_at, is_aside=row.is_aside)
    for one in asked:
        if one.holds(slice_start=row.slice_start, event_at=row.event_at):
            one.parts[row.slice_start].append(kept)
