"""Prices of a subscription item that follow each other, and what a change does to a billing period."""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from itertools import pairwise
from typing import Protocol

from sync.domain.periods import Period
from sync.domain.timeline import Span

EVER, FOR_EVER = datetime.min.replace(tzinfo=UTC), datetime.max.replace(tzinfo=UTC)


@dataclass(frozen=True, slots=True, kw_only=True)
class PriceChange:
    """At this instant an item got another price; `after` is "" where it was taken off its subscription."""

    item: str
    at: datetime
    before: str
    after: str
    subscription: str = ""
    created_at: datetime | None = None
    """When the item came to be."""
    period: Span | None = None
    """Its billing period before the change."""


class SwapSource(Protocol):
    """Stripe, as far as it tells of what happened to items. Raises `SyncError`s only."""

    def price_changes(self, *, since: datetime) -> Iterator[list[PriceChange]]:
        """Yield which items got other prices from `since` on, newest first; Stripe keeps 30 days."""


@dataclass(frozen=True, slots=True, kw_only=True)
class PriceStretch:
    """How long an item had a price: `end` is None while it has it, `meter` where none measures it.

    Of several in order the first one counts from ever.
    """

    meter: int | None
    start: datetime
    end: datetime | None


def path(changes: Iterable[PriceChange], *, before: str, after: str) -> list[PriceChange]:
    """Return the changes, in order, that lead from one price to the other; none where none get there."""
    found: list[PriceChange] = []
    price, arrived = before, 0
    for change in sorted(changes, key=lambda one: one.at):
        if change.before == price != change.after:
            price = change.after
            found.append(change)
            arrived = len(found) if price == after else arrived
    return found[:arrived]


def cut_at_swaps(
    periods: Iterable[Period], prices: Sequence[PriceStretch], *, keeps_usage: bool
) -> Iterator[Period]:
    """Yield the periods cut where the price changed, each part with the instant after which it is too late.

    With `keeps_usage` (flexible billing, and a meter that adds up) usage from before a change to another
    price of the same meter can still be reported after it: it has the new price then. Otherwise a part is
    over with its price. What comes in after the end of a period whose price changed is on no invoice.
    Source: https://docs.stripe.com/billing/subscriptions/usage-based/manage-billing
    """
    for period in periods:
        yield from _parts(period, prices, keeps_usage=keeps_usage)


def _parts(period: Period, prices: Sequence[PriceStretch], *, keeps_usage: bool) -> list[Period]:
    """Cut a period from its end on: a part may close when the one after it does."""
    swaps = [one for one in pairwise(prices) if _is_in(period, one[0].end)]
    closes_at = min(period.closes_at, period.span.end) if swaps else period.closes_at
    part = replace(period, closes_at=closes_at)
    last = prices[-1].end
    if last and period.span.start < last < period.span.end:
        # Taken off: what was not reported by then is on no invoice, nor what is used from then on.
        part = replace(part, span=Span(period.span.start, last), closes_at=last, price_ended=True)
    parts: list[Period] = []
    for old, new in reversed(swaps):
        at = old.end
        if at is None or not period.span.start < at < part.span.end:
            continue
        parts.append(replace(part, span=Span(at, part.span.end)))
        part = replace(part, span=Span(period.span.start, at))
        if keeps_usage and old.meter == new.meter:
            part = replace(part, price_changed_later=True)
        else:
            part = replace(part, closes_at=at, price_ended=True, price_changed_later=False)
    return [part, *reversed(parts)]


def other_meters(prices: Sequence[PriceStretch], meter: int) -> list[Span]:
    """Return when an item had prices of other meters."""
    starts = [one.start if number else EVER for number, one in enumerate(prices)]
    return [
        Span(start, one.end or FOR_EVER)
        for start, one in zip(starts, prices, strict=True)
        if one.meter != meter
    ]


def _is_in(period: Period, at: datetime | None) -> bool:
    return at is not None and period.span.start <= at < period.span.end
