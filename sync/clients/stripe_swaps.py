"""What Stripe's events tell of items that got other prices."""

from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any

from sync.clients.stripe_calls import Body, StripeCalls
from sync.domain.swaps import PriceChange

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
    before = _prices((data.get("previous_attributes") or {}).get("items") or {})
    after = _prices(listed)
    at = datetime.fromtimestamp(int(body["created"]), UTC)
    return [
        PriceChange(item=item, at=at, before=price, after=after.get(item, ""))
        for item, price in before.items()
        if after.get(item, "") != price and (item in after or not listed.get("has_more"))
    ]


def _prices(items: Body) -> dict[str, str]:
    """Return the price of each item, by their ids."""
    found: dict[str, str] = {}
    for item in items.get("data") or []:
        price = item.get("price") or ""
        found[str(item["id"])] = price if isinstance(price, str) else str(price["id"])
    return found
