"""What usage costs: by how much reports move the bills of the periods that they fall into."""

from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal

from django.db.models import Exists, F, OuterRef, Q

from sync.domain.pricing import Money, PriceTerms
from sync.domain.quantities import exact_sum
from sync.domain.statuses import BILLABLE
from sync.domain.timeline import Span
from sync.models import Enrolment, ItemPrice, Price
from sync.queries.held_units import CHUNK, Asked, held_units
from sync.queries.item_prices import price_spans, swapped_items


@dataclass(frozen=True, slots=True)
class UnitMove:
    """Stripe is told `units` more (or fewer, below zero) of an enrolment, by an event at `at`."""

    enrolment_id: int
    at: datetime
    units: Decimal


@dataclass(slots=True, eq=False)
class Bill:
    """One item's bill for one period: `units` go up with every move."""

    enrolment_id: int
    span: Span
    terms: PriceTerms
    units: Decimal = Decimal(0)

    def add(self, units: Decimal) -> Money:
        before, self.units = self.units, exact_sum([self.units, units])
        return self.terms.difference(before=before, after=self.units)


def amounts_of(moves: Sequence[UnitMove]) -> list[Sequence[Money]]:
    """Return what each move adds to the bills of the period it falls into, one amount per currency.

    By the price's tiers, on top of what Stripe holds or will hold of that period by the ledger, without
    what waits for a person, and of the moves before it in the list. Two items of the customer on one meter
    are two bills. Empty where no price is known. Estimates: taxes and discounts are Stripe's. A constant
    number of queries for every few thousand enrolments.
    """
    bills = bills_of(moves)
    found: list[Sequence[Money]] = []
    for move in moves:
        over = [bill for bill in bills[move.enrolment_id] if bill.span.start <= move.at < bill.span.end]
        found.append(total([[bill.add(move.units)] for bill in over]))
    return found


def total(amounts: Iterable[Sequence[Money]]) -> list[Money]:
    """Return the sum per currency, in the order of their names."""
    sums: dict[str, list[Decimal]] = defaultdict(list)
    for money in (one for each in amounts for one in each):
        sums[money.currency].append(money.minor)
    return [Money(exact_sum(parts), currency) for currency, parts in sorted(sums.items())]


def bills_of(
    moves: Sequence[UnitMove], *, known: dict[Asked, Decimal] | None = None
) -> dict[int, list[Bill]]:
    """Return each enrolment's bills, with the units they stand at where that changes what a unit costs.

    Who asks many times hands in what was asked before as `known`, which grows.
    """
    known = {} if known is None else known
    by_enrolment: dict[int, list[Bill]] = defaultdict(list)
    if not moves:
        return by_enrolment
    for bill in _known_bills(moves):
        by_enrolment[bill.enrolment_id].append(bill)
    below_zero = {move.enrolment_id for move in moves if move.units < 0}
    sought = [
        bill
        for enrolment_id, bills in by_enrolment.items()
        for bill in bills
        # Where every unit costs the same it does not matter how many came before, unless it goes down:
        # a bill does not go below zero.
        if enrolment_id in below_zero or not bill.terms.is_linear
    ]
    asked = {bill: Asked(bill.enrolment_id, bill.span) for bill in sought}
    new = [one for one in dict.fromkeys(asked.values()) if one not in known]
    known.update(zip(new, held_units(new), strict=True))
    for bill, one in asked.items():
        bill.units = known[one]
    return by_enrolment


def _known_bills(moves: Sequence[UnitMove]) -> list[Bill]:
    """Return the periods of all items that bill one of these enrolments at one of these times."""
    instants: dict[int, list[datetime]] = defaultdict(list)
    for move in moves:
        instants[move.enrolment_id].append(move.at)
    ids, rows = sorted(instants), list[tuple[int, int, Span]]()
    first_at, last_at = min(move.at for move in moves), max(move.at for move in moves)
    for first in range(0, len(ids), CHUNK):
        rows += _period_rows(ids[first : first + CHUNK], first_at, last_at)
    prices = Price.objects.in_bulk({row[1] for row in rows})
    terms = {pk: price.terms for pk, price in prices.items() if price.terms.is_known}
    return [
        Bill(pk, span, terms[price])
        for pk, price, span in rows
        if price in terms and any(span.start <= instant < span.end for instant in instants[pk])
    ]


def _period_rows(
    ids: Sequence[int], first_at: datetime, last_at: datetime
) -> Iterator[tuple[int, int, Span]]:
    """Yield enrolment, price and stretch: a period, cut where a price, the item or its subscription ended."""
    items = "customer__subscriptions__items"
    ended = ("subscription__ended_at", "subscription__deleted_at", "deleted_at")
    had = ItemPrice.objects.filter(
        item=OuterRef(f"{items}__pk"), price__meter=OuterRef("meter"), end__gt=first_at
    )
    # A legacy price may name a meter in its metadata, but Stripe bills no meter events on it.
    has = Q(**{f"{items}__meter": F("meter"), f"{items}__price__meter": F("meter")})
    periods = {
        "pk__in": ids,
        f"{items}__subscription__status__in": BILLABLE,
        f"{items}__periods__start__lte": last_at,
        f"{items}__periods__end__gt": first_at,
    }
    rows = list(
        Enrolment.objects.filter(has | Exists(had), **periods)
        .order_by("pk", f"{items}__pk")
        .values_list(
            "pk",
            "meter",
            f"{items}__pk",
            f"{items}__price",
            f"{items}__periods__start",
            f"{items}__periods__end",
            *(f"{items}__{name}" for name in ended),
        )
    )
    swapped = swapped_items(row[2] for row in rows)
    for pk, meter, item, price, start, *ends in rows:
        span = Span(start, min(end for end in ends if end))
        if item not in swapped:
            yield pk, price, span
            continue
        for row, held in price_spans(swapped[item]):
            if row.price.meter_id == meter and (inside := span.meet(held)):
                yield pk, row.price_id, inside
