"""What Stripe's events tell of subscriptions that were paused."""

from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any

from sync.clients.stripe_calls import Body, StripeCalls
from sync.domain.pauses import PauseBegun

PAUSED = "customer.subscription.paused"
"""Sent when the status becomes `paused`, not for `pause_collection`.

Source: https://docs.stripe.com/api/events/types
"""


class StripePauses:
    """Implements `domain.pauses.PauseSource` over the calls of a gateway."""

    _api: Any
    _calls: StripeCalls

    def pauses_begun(self, *, since: datetime) -> Iterator[list[PauseBegun]]:
        """Yield which subscriptions were paused from `since` on, newest first; Stripe keeps 30 days."""
        asked: Any = {"created": {"gte": int(since.timestamp())}, "types": [PAUSED]}
        yield from self._calls.pages(self._api.events.list, parse_pause, asked)


def parse_pause(body: Body) -> PauseBegun:
    """Return what an event of a paused subscription says."""
    at = datetime.fromtimestamp(int(body["created"]), UTC)
    return PauseBegun(subscription=str(body["data"]["object"]["id"]), at=at)
