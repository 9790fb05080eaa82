"""Stripe's event summaries: what a billing meter holds for a customer, as far as Stripe tells."""

from collections.abc import Sequence
from dataclasses import dataclass
from decimal import Decimal
from typing import Literal, Protocol

from sync.domain.timeline import DAY, HOUR, MINUTE, Span

Grouping = Literal["hour", "day"]

ALIGNED = {None: MINUTE, "hour": HOUR, "day": DAY}
"""Stripe refuses a stretch whose ends do not lie on such boundaries, in UTC."""


@dataclass(frozen=True, slots=True, kw_only=True)
class EventSummary:
    """The units of the events that are dated in `span`; Stripe's number, a float, is exact to 15 digits."""

    span: Span
    units: Decimal


class SummarySource(Protocol):
    """Stripe, as far as the totals of its meters are read. Raises `SyncError`s only."""

    def event_summaries(
        self, *, meter_id: str, customer_id: str, span: Span, grouping: Grouping | None = None
    ) -> Sequence[EventSummary]:
        """Return the sums in `span`, oldest first: one, or one for each UTC hour or day with usage.

        Ends lie on full minutes, or on hours or days where grouped by these. Windows without usage may be
        absent. What was sent in the last minutes may be missing: Stripe names no time until which a sum
        is whole. Whether an event dated at the very end of the stretch counts is not established.
        """
