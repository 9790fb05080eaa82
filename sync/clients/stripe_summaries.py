"""How a meter's event summaries are read from Stripe: all pages of them, as exact as Stripe tells."""

from datetime import UTC, datetime
from decimal import Decimal, InvalidOperation
from typing import Any

from sync.clients.stripe_calls import Body, StripeCalls
from sync.domain.summaries import EventSummary, Grouping
from sync.domain.timeline import Span


class StripeSummaries:
    """Implements `domain.summaries.SummarySource` over the calls of a gateway."""

    _api: Any
    _calls: StripeCalls

    def event_summaries(
        self, *, meter_id: str, customer_id: str, span: Span, grouping: Grouping | None = None
    ) -> list[EventSummary]:
        """Return the sums in `span`, oldest first, page by page: Stripe gives ten unless asked for more."""
        listing = self._api.billing.meters.event_summaries.list
        asked: dict[str, object] = {
            "customer": customer_id,
            "start_time": int(span.start.timestamp()),
            "end_time": int(span.end.timestamp()),
        }
        if grouping:
            asked["value_grouping_window"] = grouping
        pages = self._calls.pages(lambda cursor: listing(meter_id, cursor), parse_summary, asked)
        return sorted((one for page in pages for one in page), key=lambda one: one.span.start)


def parse_summary(body: Body) -> EventSummary:
    """Return one window's sum. The SDK has read a float; its shortest text is what Stripe wrote."""
    span = Span(_instant(body["start_time"]), _instant(body["end_time"]))
    try:
        units = Decimal(str(body["aggregated_value"]))
    except InvalidOperation:
        units = Decimal("NaN")
    if not units.is_finite():
        message = "a sum of units is a number"
        raise ValueError(message)
    return EventSummary(span=span, units=units)


def _instant(value: Any) -> datetime:
    return datetime.fromtimestamp(int(value), UTC)
