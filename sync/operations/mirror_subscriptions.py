"""Mirror who is billed for what: subscriptions of every status and their items."""

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta

from django.db import transaction

from sync.domain.cycles import Cycle
from sync.domain.periods import item_start
from sync.domain.statuses import BILLABLE, PAUSED
from sync.models import Meter, Price, Subscription, SubscriptionItem
from sync.operations.keep_prices import SeenPrice, keep_prices
from sync.operations.measure_anew import measure_from, measure_swapped
from sync.operations.mirror_catalog import CatalogMirror
from sync.operations.mirror_pauses import resumed_at, store_pauses
from sync.operations.mirror_periods import Beginning, SeenPeriod, store_periods
from sync.operations.store_rows import Row, store_rows
from sync.operations.trace_pauses import PauseTrace
from sync.operations.trace_prices import Changes, PriceTrace, came_and_went
from sync.ports import StripeItem, StripeSubscription

EVER = datetime.min.replace(tzinfo=UTC)


@dataclass(frozen=True, slots=True, kw_only=True)
class SubscriptionMirror:
    """Stores subscriptions with items and billing periods; `catalog` knows what they refer to."""

    catalog: CatalogMirror
    invoice_grace: timedelta
    pinned_at: datetime
    """When this database first met its account: what began later is ours from its beginning."""
    trace: PriceTrace = field(default_factory=PriceTrace)
    pauses: PauseTrace = field(default_factory=PauseTrace)

    def store(self, subscriptions: Sequence[StripeSubscription], *, fetched_at: datetime) -> None:
        """Store a page, all of it or nothing: what a change makes billable is seen only in the change itself.

        What it refers to and nobody listed is fetched first, outside any transaction.
        """
        # A subscription of a v2 account has no customer: no event could name whom it is for.
        billed = [subscription for subscription in subscriptions if subscription.customer_id]
        customers = self.catalog.customer_ids(one.customer_id for one in billed)
        changes = self.trace.changes(billed, stripe=self.catalog.stripe, pinned_at=self.pinned_at)
        begun_at = self.pauses.begun(billed, stripe=self.catalog.stripe, fetched_at=fetched_at)
        prices = self.catalog.price_ids(
            price
            for price in (
                *(item.price_id for one in billed for item in one.items),
                *(price for found in changes.values() for one in found for price in (one.before, one.after)),
            )
            if price
        )
        with transaction.atomic():
            before = Subscription.objects.in_bulk([one.id for one in billed], field_name="stripe_id")
            rows = [_subscription_row(one, customer_id=customers[one.customer_id]) for one in billed]
            stored = store_rows(Subscription, rows, fetched_at=fetched_at)
            fresh = [
                _Fresh(shown=one, id=stored.ids[one.id], before=before.get(one.id), fetched_at=fetched_at)
                for one in billed
                if one.id not in stored.stale
            ]
            store_pauses(
                [one.shown for one in fresh],
                ids=stored.ids,
                before=before,
                begun_at=begun_at,
                fetched_at=fetched_at,
            )
            self._store_items(fresh, prices, changes, fetched_at=fetched_at)
        self.catalog.tally.add("subscriptions", seen=len(subscriptions), changed=stored.changed)

    def fetch(self, stripe_id: str) -> None:
        """Store one subscription as Stripe shows it now."""
        asked_at = self.catalog.clock()
        self.store([self.catalog.stripe.subscription(stripe_id)], fetched_at=asked_at)

    def _store_items(
        self, fresh: Sequence["_Fresh"], prices: Mapping[str, int], changes: Changes, *, fetched_at: datetime
    ) -> None:
        pairs = [(one, item) for one in fresh for item in one.shown.items if item.price_id]
        lost = self._lost_items(fresh, changes)
        pairs += lost
        terms = _terms_of(prices.values(), {item.om_meter for _, item in pairs})
        rows = [
            _item_row(item, subscription_id=one.id, price_id=prices[item.price_id], terms=terms)
            for one, item in pairs
        ]
        before = SubscriptionItem.objects.in_bulk([item.id for _, item in pairs], field_name="stripe_id")
        stored = store_rows(SubscriptionItem, rows, fetched_at=fetched_at)
        # The read was complete, so an item that it does not show is no longer on its subscription.
        gone = SubscriptionItem.objects.filter(
            subscription_id__in=[one.id for one in fresh], deleted_at=None, fetched_at__lt=fetched_at
        ).exclude(stripe_id__in=stored.ids.keys())
        removed = [
            *gone,
            *SubscriptionItem.objects.filter(stripe_id__in=[item.id for _, item in lost]).order_by("pk"),
        ]
        self.catalog.tally.add("items", seen=len(rows), changed=stored.changed + len(removed))
        shown = [
            _seen_price(row, item_id=stored.ids[item.id], price=item.price_id, before=before.get(item.id))
            for (_, item), row in zip(pairs, rows, strict=True)
            if item.id not in stored.stale
        ]
        swapped = keep_prices(shown, changes=changes, fetched_at=fetched_at)
        if removed:
            swapped |= keep_prices([_gone(item) for item in removed], changes=changes, fetched_at=fetched_at)
        for item in removed:
            item.deleted_at, item.fetched_at = swapped.get(item.pk, fetched_at), fetched_at
        SubscriptionItem.objects.bulk_update(removed, ["deleted_at", "fetched_at"])
        instants = {
            stored.ids[item.id]: [*one.changes(), *_item_changes(row, before.get(item.id))]
            for (one, item), row in zip(pairs, rows, strict=True)
            if item.id not in stored.stale
        }
        measure_from({item_id: min(found) for item_id, found in instants.items() if found})
        measure_swapped(swapped)
        periods = [
            self._period(
                item, one.shown, item_id=stored.ids[item.id], cycle=terms.cycles[prices[item.price_id]]
            )
            for one, item in pairs
            if item.id not in stored.stale and item.period_end > item.period_start
        ]
        # Of an item that is gone its last period may never have been read; events show it.
        removed_ids = {item.stripe_id: item.pk for item in removed}
        periods += [
            self._period(
                item, one.shown, item_id=removed_ids[item.id], cycle=terms.cycles[prices[item.price_id]]
            )
            for one in fresh
            for item in came_and_went(one.shown, changes)
            if item.id in removed_ids and item.id not in stored.ids and item.price_id in prices
        ]
        changed = store_periods(periods, invoice_grace=self.invoice_grace)
        self.catalog.tally.add("periods", seen=len(periods), changed=changed)

    def _lost_items(self, fresh: Sequence["_Fresh"], changes: Changes) -> list[tuple["_Fresh", StripeItem]]:
        """Return items that came and went between two reads, as events show them: they were billed, too."""
        found = [(one, item) for one in fresh for item in came_and_went(one.shown, changes)]
        known = SubscriptionItem.objects.filter(stripe_id__in=[item.id for _, item in found])
        stored = set(known.values_list("stripe_id", flat=True)) if found else set()
        return [
            (one, item) for one, item in found if item.id not in stored and item.created_at >= self.pinned_at
        ]

    def _period(self, item: StripeItem, one: StripeSubscription, *, item_id: int, cycle: Cycle) -> SeenPeriod:
        end = item.period_end
        # Stripe leaves the planned end on the item of a subscription that was canceled before it, or will be.
        cut_short = one.ended_at or one.cancel_at
        if cut_short and item.period_start < cut_short < end:
            end = cut_short
        starts_at = item_start(
            created_at=item.created_at, subscription_created_at=one.created_at, start_date=one.start_date
        )
        beginning = Beginning(
            starts_at=starts_at,
            created_at=item.created_at,
            # Flexible billing puts the past of a backdated subscription on its first invoice.
            past_is_billed_next=one.billing_mode == "classic",
        )
        return SeenPeriod(
            item_id=item_id,
            start=item.period_start,
            end=end,
            cycle=cycle,
            beginning=beginning if item.created_at >= self.pinned_at else None,
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class _Fresh:
    """A subscription as a read at `fetched_at` shows it, its local id, and the row as it was before."""

    shown: StripeSubscription
    id: int
    before: Subscription | None
    fetched_at: datetime

    def changes(self) -> list[datetime]:
        """Return instants from which on it may be billed as it was not known to be before."""
        now, before = self.shown, self.before
        if now.status not in BILLABLE:
            return []
        if before is None or before.status not in BILLABLE:
            return [EVER]
        limits = (
            (before.trial_start, now.trial_start),
            (before.trial_end, now.trial_end),
            (before.cancel_at, now.cancel_at),
            (before.ended_at, now.ended_at),
            (before.deleted_at, None),
        )
        moved = [instant for old, new in limits if old != new for instant in (old, new) if instant]
        if before.status == PAUSED != now.status:
            moved.append(resumed_at(before, fetched_at=self.fetched_at))
        return moved


def _item_changes(row: Row, before: SubscriptionItem | None) -> list[datetime]:
    # With another price it has another meter from then on only.
    if before is None or (before.meter_id != row["meter_id"] and before.price_id == row["price_id"]):
        return [EVER]
    return [before.deleted_at] if before.deleted_at else []


def _seen_price(row: Row, *, item_id: int, price: str, before: SubscriptionItem | None) -> SeenPrice:
    return SeenPrice(
        item_id=item_id,
        item=row["stripe_id"],
        price=price,
        price_id=row["price_id"],
        meter_id=row["meter_id"],
        created_at=row["created_at"],
        last_seen_at=before.fetched_at if before else None,
    )


def _gone(item: SubscriptionItem) -> SeenPrice:
    return SeenPrice(
        item_id=item.pk,
        item=item.stripe_id,
        price="",
        price_id=item.price_id,
        meter_id=item.meter_id,
        created_at=item.created_at,
        last_seen_at=item.fetched_at,
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class _Terms:
    """What prices say of their items, by local price id, and the meters that an item's metadata may name."""

    cycles: Mapping[int, Cycle]
    by_price: Mapping[int, int | None]
    """Local meter ids, of metered prices only."""
    by_openmeter: Mapping[str, int]

    def meter_of(self, item: StripeItem, *, price_id: int) -> int | None:
        """The price's own meter, else the one that the item names, as in the original example."""
        if price_id not in self.by_price:
            return None
        return self.by_price[price_id] or self.by_openmeter.get(item.om_meter)


def _terms_of(price_ids: Iterable[int], om_meters: Collection[str]) -> _Terms:
    prices = Price.objects.in_bulk(list(set(price_ids)))
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
    return _Terms(
        cycles={pk: Cycle(price.interval, price.interval_count) for pk, price in prices.items()},
        by_price={pk: price.meter_id for pk, price in prices.items() if price.usage_type == "metered"},
        by_openmeter=by_openmeter,
    )


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


def _item_row(item: StripeItem, *, subscription_id: int, price_id: int, terms: _Terms) -> Row:
    return {
        "stripe_id": item.id,
        "subscription_id": subscription_id,
        "price_id": price_id,
        "meter_id": terms.meter_of(item, price_id=price_id),
        "created_at": item.created_at,
    }
