"""What a page of subscriptions comes to so far."""

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from sync.domain.pricing import Money
from sync.domain.timeline import Span
from sync.models import Subscription, SubscriptionItem
from sync.queries.amounts import total
from sync.queries.item_usage import ItemUsage, items_usage


@dataclass(frozen=True, slots=True, kw_only=True)
class SubscriptionLine:
    """A subscription, its living items' usage in their current periods, and what they come to so far."""

    subscription: Subscription
    items: Sequence[ItemUsage]

    @property
    def amounts(self) -> Sequence[Money]:
        """What the current periods come to so far, per currency."""
        return total([[item.amount] for item in self.items if item.amount])

    @property
    def span(self) -> Span | None:
        """The current period; where items differ, the one that closes first."""
        return self._first.span if self._first else None

    @property
    def closes_at(self) -> datetime | None:
        """When its invoice becomes final."""
        return self._first.period.closes_at if self._first and self._first.period else None

    @property
    def _first(self) -> ItemUsage | None:
        known = [item for item in self.items if item.period]
        return min(known, key=lambda item: item.period.closes_at, default=None)  # type: ignore[union-attr]


def subscription_lines(subscriptions: Sequence[Subscription], *, now: datetime) -> list[SubscriptionLine]:
    """Return a line for each, in the same order; a constant number of queries."""
    items = (
        SubscriptionItem.objects.filter(subscription__in=[one.pk for one in subscriptions], deleted_at=None)
        .select_related("subscription", "price", "meter")
        .order_by("pk")
    )
    by_subscription: dict[int, list[ItemUsage]] = defaultdict(list)
    for usage in items_usage(list(items), now=now):
        by_subscription[usage.item.subscription_id].append(usage)
    return [SubscriptionLine(subscription=one, items=by_subscription[one.pk]) for one in subscriptions]
