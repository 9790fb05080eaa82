"""When subscriptions were paused, as far as Stripe's events tell it."""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime
from typing import Protocol


@dataclass(frozen=True, slots=True, kw_only=True)
class PauseBegun:
    """At this instant a subscription (Stripe's id) was paused."""

    subscription: str
    at: datetime


class PauseSource(Protocol):
    """Stripe, as far as it tells when pauses began. Raises `SyncError`s only."""

    def pauses_begun(self, *, since: datetime) -> Iterator[list[PauseBegun]]:
        """Yield which subscriptions were paused from `since` on, newest first; Stripe keeps 30 days."""
