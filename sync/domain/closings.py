"""Which billing periods a slice falls into, and whether Stripe would still bill it in them."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta


@dataclass(frozen=True, slots=True, order=True)
class Closing:
    """When the period of one item closes; `item` is the item's id in Stripe."""

    closes_at: datetime
    item: str = ""
    price_ended: bool = False
    """It closes with the price, which was changed or taken off, not with the invoice."""
    price_changed_later: bool = False
    """Its price changed since and its meter did not: what is sent now is billed at the price that came."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Outlook:
    """What becomes of an event that is sent now.

    `closes_at` is when the next of its periods that is still open closes, or the last one closed.
    """

    closes_at: datetime
    is_late: bool
    """Stripe would bill it in no period."""
    closed: Sequence[Closing] = ()
    """Periods that would miss it although others bill it."""

    @property
    def is_half_closed(self) -> bool:
        """Whether some of its periods are closed and others are open."""
        return bool(self.closed)


def outlook(closings: Sequence[Closing], *, event_at: datetime, now: datetime) -> Outlook:
    """Return what becomes of an event at `event_at` that falls into these periods, at least one."""
    closed = sorted(c for c in closings if is_late(closes_at=c.closes_at, event_at=event_at, now=now))
    still_open = sorted(set(closings) - set(closed))
    if not still_open:
        return Outlook(closes_at=closed[-1].closes_at, is_late=True)
    return Outlook(closes_at=still_open[0].closes_at, is_late=False, closed=closed)


def late_sentence(closings: Sequence[Closing], seen: Outlook) -> str:
    """Say why Stripe would bill a slice in no period."""
    ended = "The price that it was used at ended" if all(c.price_ended for c in closings) else ""
    return (
        f"{ended or 'Its billing period closed'} at {seen.closes_at:%Y-%m-%d %H:%M} UTC; Stripe would put "
        "this on no invoice."
    )


LOWERED_LATE = (
    "The price changed after this was used: sent now, it would be taken off at the price that came, and not "
    "at all where less was used since."
)


def price_changed_later(closings: Sequence[Closing]) -> bool:
    """Whether what is sent of a slice now has another price than what was sent of it before."""
    return any(closing.price_changed_later for closing in closings)


def half_closed_sentence(closings: Sequence[Closing], seen: Outlook) -> str:
    """Say which periods of a slice are closed and which are open."""
    still_open = sorted(set(closings) - set(seen.closed))
    return (
        f"Several items bill this usage, and not all still can: {_listed(seen.closed, 'closed at')}; "
        f"{_listed(still_open, 'is open until')}. Sent now, it is billed by what is open only."
    )


def _listed(closings: Sequence[Closing], verb: str) -> str:
    return " and ".join(
        f"the period of {c.item or 'an item'} {verb} {c.closes_at:%Y-%m-%d %H:%M} UTC" for c in closings
    )


def is_late(*, closes_at: datetime, event_at: datetime, now: datetime) -> bool:
    """Whether Stripe would no longer bill an event: its invoice may be final, or it is too old.

    Two minutes' margin, for clocks and for the way; Stripe refuses timestamps older than 35 days.
    Source: https://docs.stripe.com/billing/subscriptions/usage-based/recording-usage-api
    """
    return closes_at - LATE_MARGIN <= now or event_at <= now - OLDEST_EVENT


LATE_MARGIN = timedelta(minutes=2)
OLDEST_EVENT = timedelta(days=34)
"""A day less than Stripe's 35, so that a report planned now can still be retried for a day."""
