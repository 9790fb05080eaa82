"""Mirror what is billed and who pays: meters, prices and customers."""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from django.db import models

from sync.models import Customer, Meter, Price
from sync.operations.store_rows import Row, store_rows
from sync.ports import BillingGateway, NotFound, StripeCustomer, StripeMeter, StripePrice

NAME_LENGTH = 512
DEFINITION = ("event_name", "formula", "event_time_window", "customer_key", "value_key")
"""What Stripe promises never to change on a meter, because what was billed hangs on it."""


@dataclass(slots=True)
class Tally:
    """How many objects of each kind were seen and how many of them were new or different."""

    seen: dict[str, int] = field(default_factory=dict)
    changed: dict[str, int] = field(default_factory=dict)

    def add(self, kind: str, *, seen: int, changed: int) -> None:
        """Count a page."""
        self.seen[kind] = self.seen.get(kind, 0) + seen
        self.changed[kind] = self.changed.get(kind, 0) + changed


@dataclass(frozen=True, slots=True)
class CatalogMirror:
    """Stores meters, prices and customers; fetches what something refers to before it was listed."""

    stripe: BillingGateway
    clock: Callable[[], datetime]
    tally: Tally
    redefined: dict[str, str] = field(default_factory=dict)
    """Stripe id of a meter → what about it is not what it was; its old definition is kept."""

    def store_meters(self, meters: Sequence[StripeMeter], *, fetched_at: datetime) -> dict[str, int]:
        """Store meters; return Stripe ids with the local ones."""
        known = Meter.objects.in_bulk([meter.id for meter in meters], field_name="stripe_id")
        rows = [self._meter_row(meter, known.get(meter.id)) for meter in meters]
        return self._store(Meter, rows, fetched_at=fetched_at)

    def store_prices(self, prices: Sequence[StripePrice], *, fetched_at: datetime) -> dict[str, int]:
        """Store prices, and before them the meters they name and nobody has listed yet."""
        meters = self.meter_ids({price.meter for price in prices if price.meter})
        rows = [price_row(price, meter_id=meters.get(price.meter)) for price in prices]
        return self._store(Price, rows, fetched_at=fetched_at)

    def store_customers(self, customers: Sequence[StripeCustomer], *, fetched_at: datetime) -> dict[str, int]:
        """Store customers."""
        rows = [customer_row(customer) for customer in customers]
        return self._store(Customer, rows, fetched_at=fetched_at)

    def meter_ids(self, stripe_ids: Iterable[str]) -> dict[str, int]:
        """Return local ids; a meter that is not known yet is fetched first."""
        return self._ids(Meter, set(stripe_ids), self.fetch_meter, gone={"formula": "", "active": False})

    def price_ids(self, stripe_ids: Iterable[str]) -> dict[str, int]:
        """Return local ids; an unknown price is fetched first."""
        return self._ids(Price, set(stripe_ids), self.fetch_price, gone={"active": False})

    def customer_ids(self, stripe_ids: Iterable[str]) -> dict[str, int]:
        """Return local ids; an unknown customer is fetched first."""
        return self._ids(Customer, set(stripe_ids), self.fetch_customer, gone={})

    def fetch_meter(self, stripe_id: str) -> None:
        """Store one meter as Stripe shows it now."""
        asked_at = self.clock()
        self.store_meters([self.stripe.meter(stripe_id)], fetched_at=asked_at)

    def fetch_price(self, stripe_id: str) -> None:
        """Store one price as Stripe shows it now."""
        asked_at = self.clock()
        self.store_prices([self.stripe.price(stripe_id)], fetched_at=asked_at)

    def fetch_customer(self, stripe_id: str) -> None:
        """Store one customer as Stripe shows it now."""
        asked_at = self.clock()
        self.store_customers([self.stripe.customer(stripe_id)], fetched_at=asked_at)

    def _ids(
        self, model: type[models.Model], wanted: set[str], fetch: Callable[[str], None], *, gone: Row
    ) -> dict[str, int]:
        table: models.Manager[Any] = model._default_manager  # noqa: SLF001 - Django's documented accessor
        rows = table.filter(stripe_id__in=wanted).values_list("stripe_id", "pk")
        known = dict(rows)
        for stripe_id in sorted(wanted - known.keys()):
            try:
                fetch(stripe_id)
            except NotFound:
                # Something still refers to it (a canceled subscription to its deleted customer).
                now = self.clock()
                table.get_or_create(
                    stripe_id=stripe_id, defaults={**gone, "deleted_at": now, "fetched_at": now}
                )
        return known if known.keys() == wanted else dict(rows.all())

    def _store(
        self, model: type[models.Model], rows: Sequence[Row], *, fetched_at: datetime
    ) -> dict[str, int]:
        stored = store_rows(model, rows, fetched_at=fetched_at)
        self.tally.add(f"{model._meta.model_name}s", seen=len(rows), changed=stored.changed)  # noqa: SLF001
        return dict(stored.ids)

    def _meter_row(self, meter: StripeMeter, known: Meter | None) -> Row:
        row = meter_row(meter)
        # A placeholder (of a meter that was gone) has no event name and so nothing to keep.
        if known and known.event_name:
            differing = [column for column in DEFINITION if getattr(known, column) != row[column]]
            if differing:
                self.redefined[meter.id] = ", ".join(name.replace("_", " ") for name in differing)
            row |= {column: getattr(known, column) for column in DEFINITION}
        return row


def meter_row(meter: StripeMeter) -> dict[str, Any]:
    """Return the columns that Stripe decides; the tie to OpenMeter is not among them."""
    return {
        "stripe_id": meter.id,
        "event_name": meter.event_name,
        "display_name": meter.display_name,
        "formula": meter.formula,
        "event_time_window": meter.event_time_window,
        "customer_key": meter.customer_key,
        "value_key": meter.value_key,
        "active": meter.active,
    }


def price_row(price: StripePrice, *, meter_id: int | None) -> Row:
    """Return a price's columns."""
    return {
        "stripe_id": price.id,
        "active": price.active,
        "lookup_key": price.lookup_key,
        "product_id": price.product_id,
        "product_name": price.product_name[:NAME_LENGTH],
        "meter_id": meter_id,
        "usage_type": price.usage_type,
        "currency": price.currency,
        "unit_amount_decimal": price.unit_amount_decimal,
        "billing_scheme": price.billing_scheme,
        "tiers_mode": price.tiers_mode,
        "tiers": [dict(tier) for tier in price.tiers],
        "transform_quantity": dict(price.transform_quantity),
        "interval": price.interval,
        "interval_count": price.interval_count,
    }


def customer_row(customer: StripeCustomer) -> Row:
    """Return a customer's columns; names longer than anybody reads are cut."""
    return {
        "stripe_id": customer.id,
        "name": customer.name[:NAME_LENGTH],
        "email": customer.email[:NAME_LENGTH],
        "external_key": customer.external_key,
    }
