"""What Stripe's events tell of items that got other prices."""

from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any

from sync.clients.stripe_calls import Body, StripeCalls
from sync.domain.swaps import PriceChange
from sync.domain.timeline import Span

UPDATED = "customer.subscription.updated"
"""A change of an item is one of its subscription."""


class StripePriceChanges:
    """Implements `domain.swaps.SwapSource` over the calls of a gateway."""

    _api: Any
    _calls: StripeCalls

    def price_changes(self, *, since: datetime) -> Iterator[list[PriceChange]]:
        """Yield which items got other prices from `since` on, newest first; Stripe keeps 30 days."""
        asked: Any = {"created": {"gte": int(since.timestamp())}, "types": [UPDATED]}
        for page in self._calls.pages(self._api.events.list, parse_price_changes, asked):
            yield [change for changes in page for change in changes]


def parse_price_changes(body: Body) -> list[PriceChange]:
    """Return what an event of a changed subscription says of its items' prices.

    An event shows the first items only: of others it does not say that they are gone.
    Source: https://docs.stripe.com/api/events/object, `data.previous_attributes`
    """
    data = body["data"]
    listed = (data["object"].get("items")) or {}
    before = {str(item["id"]): item for item in _items(data.get("previous_attributes") or {})}
    after = {str(item["id"]): _price(item) for item in listed.get("data") or []}
    at = _instant(body["created"])
    return [
        PriceChange(
            item=item,
            at=at,
            before=_price(old),
            after=after.get(item, ""),
            subscription=str(data["object"]["id"]),
            created_at=_instant(old["created"]) if old.get("created") else None,
            period=_period(old),
        )
        for item, old in before.items()
        if after.get(item, "") != _price(old) and (item in after or not listed.get("has_more"))
    ]


def _items(previous: Body) -> list[Body]:
    return list((previous.get("items") or {}).get("data") or [])


def _price(item: Body) -> str:
    price = item.get("price") or ""
    return price if isinstance(price, str) else str(price["id"])


def _period(item: Body) -> Span | None:
    start, end = item.get("current_period_start"), item.get("current_period_end")
    return Span(_instant(start), _instant(end)) if start and end and start < end else None


def _instant(seconds: Any) -> datetime:
    return datetime.fromtimestamp(int(seconds), UTC)
