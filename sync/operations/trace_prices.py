"""Find out from Stripe's events since when items have the prices that they have, and which came and went."""

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta

from sync.domain.swaps import PriceChange, SwapSource, path
from sync.models import Subscription, SubscriptionItem
from sync.ports import Misconfigured, StripeItem, StripeSubscription

OVERLAP = timedelta(minutes=5)
"""Events are read from so long before the last look at an item: for clocks that differ."""
Changes = Mapping[str, Sequence[PriceChange]]
"""Stripe's id of an item → what its events say of its price, in any order."""


@dataclass(slots=True)
class PriceTrace:
    """What events say to one sync; they are listed once, and again where that does not explain a read."""

    _since: datetime | None = None
    _found: dict[str, list[PriceChange]] = field(default_factory=lambda: defaultdict(list))
    _is_refused: bool = False

    def changes(
        self, shown: Sequence[StripeSubscription], *, stripe: SwapSource, pinned_at: datetime
    ) -> Changes:
        """Return what Stripe's events say of these subscriptions' items, if anything is new in them.

        An item that is gone, or has another price than is stored, is new; and one that is not stored but
        came after this database did (`pinned_at`): its price may have changed, or it took another's place.
        Two queries. Nothing is found where the key may not read events.
        """
        now = {item.id: item.price_id for one in shown for item in one.items}
        stored = SubscriptionItem.objects.filter(
            subscription__stripe_id__in=[one.id for one in shown], deleted_at=None
        ).values_list("stripe_id", "price__stripe_id", "fetched_at")
        rows = {item: (price, seen_at) for item, price, seen_at in stored}
        changed = {item: price for item, (price, _) in rows.items() if now.get(item, "") != price}
        begun = [seen_at for item, (_, seen_at) in rows.items() if item in changed] + self._begun(
            shown, rows, pinned_at
        )
        if not begun or self._is_refused:
            return {}
        self._read(min(begun) - OVERLAP, stripe)
        if any(
            not path(self._found[item], before=changed[item], after=now.get(item, "")) for item in changed
        ):
            self._since = None
            self._read(min(begun) - OVERLAP, stripe)
        ids = {one.id for one in shown}
        return {
            item: found
            for item, found in self._found.items()
            if item in changed or (item not in rows and found and found[0].subscription in ids)
        }

    def _begun(
        self, shown: Sequence[StripeSubscription], rows: Mapping[str, object], pinned_at: datetime
    ) -> list[datetime]:
        """Return since when events may tell something of subscriptions with items that are not stored."""
        new = [one for one in shown if any(item.id not in rows for item in one.items)]
        seen_at = dict(
            Subscription.objects.filter(stripe_id__in=[one.id for one in new]).values_list(
                "stripe_id", "fetched_at"
            )
        )
        return [
            seen_at.get(one.id, one.created_at)
            for one in new
            if one.id in seen_at or one.created_at >= pinned_at
        ]

    def _read(self, since: datetime, stripe: SwapSource) -> None:
        if self._since is not None and since >= self._since:
            return
        self._found.clear()
        try:
            for page in stripe.price_changes(since=since):
                for change in page:
                    self._found[change.item].append(change)
        except Misconfigured:
            # A key that may not read events: the read itself dates what it shows.
            self._found.clear()
            self._is_refused = True
        self._since = since


def came_and_went(one: StripeSubscription, changes: Changes) -> list[StripeItem]:
    """Return the subscription's items that are gone, as events show them; some may be known."""
    shown = {item.id for item in one.items}
    last = [max(found, key=lambda change: change.at) for found in changes.values()]
    return [
        StripeItem(
            id=change.item,
            price_id=change.before,
            om_meter="",
            created_at=change.created_at,
            period_start=change.period.start,
            period_end=change.period.end,
        )
        for change in last
        if change.subscription == one.id and not change.after and change.item not in shown
        if change.created_at and change.period
    ]
