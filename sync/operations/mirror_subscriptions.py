"""Mirror who is billed for what: subscriptions of every status and their items."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from sync.models import Meter, Price, Subscription, SubscriptionItem
from sync.operations.mirror_catalog import CatalogMirror
from sync.operations.mirror_periods import SeenPeriod, store_periods
from sync.operations.store_rows import Row, store_rows
from sync.ports import StripeItem, StripeSubscription


@dataclass(frozen=True, slots=True)
class SubscriptionMirror:
    """Stores subscriptions with items and billing periods; `catalog` knows what they refer to."""

    catalog: CatalogMirror
    invoice_grace: timedelta

    def store(self, subscriptions: Sequence[StripeSubscription], *, fetched_at: datetime) -> None:
        """Store a page. What it refers to and nobody listed is fetched first, outside any transaction."""
        # A subscription of a v2 account has no customer: no event could name whom it is for.
        billed = [subscription for subscription in subscriptions if subscription.customer_id]
        customers = self.catalog.customer_ids(one.customer_id for one in billed)
        rows = [_subscription_row(one, customer_id=customers[one.customer_id]) for one in billed]
        stored = store_rows(Subscription, rows, fetched_at=fetched_at)
        self.catalog.tally.add("subscriptions", seen=len(subscriptions), changed=stored.changed)
        fresh = [one for one in billed if one.id not in stored.stale]
        self._store_items(fresh, stored.ids, fetched_at=fetched_at)

    def fetch(self, stripe_id: str) -> None:
        """Store one subscription as Stripe shows it now."""
        asked_at = self.catalog.clock()
        self.store([self.catalog.stripe.subscription(stripe_id)], fetched_at=asked_at)

    def _store_items(
        self, fresh: Sequence[StripeSubscription], ids: Mapping[str, int], *, fetched_at: datetime
    ) -> None:
        pairs = [(one, item) for one in fresh for item in one.items if item.price_id]
        prices = self.catalog.price_ids(item.price_id for _, item in pairs)
        meters = _meters_of(prices.values(), (item.om_meter for _, item in pairs))
        rows = [
            _item_row(item, subscription_id=ids[one.id], price_id=prices[item.price_id], meters=meters)
            for one, item in pairs
        ]
        stored = store_rows(SubscriptionItem, rows, fetched_at=fetched_at)
        # The read was complete, so an item that it does not show is no longer on its subscription.
        gone = SubscriptionItem.objects.filter(
            subscription_id__in=[ids[one.id] for one in fresh], deleted_at=None, fetched_at__lt=fetched_at
        ).exclude(stripe_id__in=stored.ids.keys())
        removed = gone.update(deleted_at=fetched_at, fetched_at=fetched_at)
        self.catalog.tally.add("items", seen=len(rows), changed=stored.changed + removed)
        periods = [
            _period(item, one, item_id=stored.ids[item.id])
            for one, item in pairs
            if item.id not in stored.stale and item.period_end > item.period_start
        ]
        changed = store_periods(periods, invoice_grace=self.invoice_grace)
        self.catalog.tally.add("periods", seen=len(periods), changed=changed)


@dataclass(frozen=True, slots=True)
class _Meters:
    """Local meter ids: by local price id, and by what an item's `om_meter_id` may say."""

    by_price: Mapping[int, int | None]
    """Of metered prices only."""
    by_openmeter: Mapping[str, int]

    def of(self, item: StripeItem, *, price_id: int) -> int | None:
        """The price's own meter, else the one that the item names, as in the original example."""
        if price_id not in self.by_price:
            return None
        return self.by_price[price_id] or self.by_openmeter.get(item.om_meter)


def _meters_of(price_ids: Iterable[int], om_meters: Iterable[str]) -> _Meters:
    metered = Price.objects.filter(pk__in=set(price_ids), usage_type="metered")
    by_price = dict(metered.values_list("pk", "meter_id"))
    wanted = set(om_meters) - {""}
    by_openmeter: dict[str, int] = {}
    if wanted:
        # The oldest meter wins where several are tied to the same OpenMeter meter.
        for pk, slug, openmeter_id in (
            Meter.objects.filter(deleted_at=None)
            .order_by("-pk")
            .values_list("pk", "openmeter_slug", "openmeter_id")
        ):
            by_openmeter |= {name: pk for name in (slug, openmeter_id) if name in wanted}
    return _Meters(by_price=by_price, by_openmeter=by_openmeter)


def _subscription_row(one: StripeSubscription, *, customer_id: int) -> Row:
    return {
        "stripe_id": one.id,
        "customer_id": customer_id,
        "status": one.status,
        "billing_mode": one.billing_mode,
        "created_at": one.created_at,
        "start_date": one.start_date,
        "trial_start": one.trial_start,
        "trial_end": one.trial_end,
        "cancel_at": one.cancel_at,
        "ended_at": one.ended_at,
    }


def _item_row(item: StripeItem, *, subscription_id: int, price_id: int, meters: _Meters) -> Row:
    return {
        "stripe_id": item.id,
        "subscription_id": subscription_id,
        "price_id": price_id,
        "meter_id": meters.of(item, price_id=price_id),
        "created_at": item.created_at,
    }


def _period(item: StripeItem, one: StripeSubscription, *, item_id: int) -> SeenPeriod:
    end = item.period_end
    if one.ended_at and item.period_start < one.ended_at < end:
        # Stripe leaves the planned end on the item of a subscription that was canceled before it.
        end = one.ended_at
    return SeenPeriod(item_id=item_id, start=item.period_start, end=end)
