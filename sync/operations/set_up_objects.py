"""Each object of a set-up: how it is found, created and confirmed, and what it must be like."""

from collections.abc import Callable
from dataclasses import dataclass
from decimal import Decimal
from typing import TypeVar

from sync.domain.price_words import amount_text
from sync.operations.find_or_create import Found, find_or_create
from sync.ports import (
    BillingGateway,
    InvalidInput,
    NotFound,
    StripeCustomer,
    StripeMeter,
    StripePrice,
    StripeSubscription,
)

T = TypeVar("T")

__all__ = ["Found", "SetUpCalls", "check_meter", "check_price", "find_meter"]


@dataclass(frozen=True, slots=True)
class SetUpCalls:
    """Finds or creates; every method is safe to call twice."""

    stripe: BillingGateway

    def meter(self, *, display_name: str, event_name: str, window: str) -> Found[StripeMeter]:
        """Return the meter of this event name, an active one if there is one."""
        return find_or_create(
            kind="meter",
            params={"display_name": display_name, "event_name": event_name, "window": window},
            find=lambda: find_meter(self.stripe, event_name),
            create=lambda key: self.stripe.create_meter(
                display_name=display_name, event_name=event_name, window=window, idempotency_key=key
            ),
            confirm=lambda made: _living(lambda: self.stripe.meter(made.id)),
        )

    def product(self, *, name: str, set_up_key: str) -> Found[str]:
        """Return the id of the active product of this set-up."""
        return find_or_create(
            kind="product",
            params={"name": name, "set_up_key": set_up_key},
            find=lambda: self.stripe.find_product(set_up_key=set_up_key) or None,
            create=lambda key: self.stripe.create_product(
                name=name, set_up_key=set_up_key, idempotency_key=key
            ),
            confirm=lambda _: self.stripe.find_product(set_up_key=set_up_key) or None,
        )

    def price(
        self,
        *,
        product_id: str,
        meter_id: str,
        currency: str,
        unit_amount_decimal: Decimal,
        interval: str,
        lookup_key: str,
    ) -> Found[StripePrice]:
        """Return the active price of this lookup key."""
        return find_or_create(
            kind="price",
            params={
                "product_id": product_id,
                "meter_id": meter_id,
                "currency": currency,
                "unit_amount": format(unit_amount_decimal.normalize(), "f"),
                "interval": interval,
                "lookup_key": lookup_key,
            },
            find=lambda: self.stripe.find_price(lookup_key=lookup_key),
            create=lambda key: self.stripe.create_price(
                product_id=product_id,
                meter_id=meter_id,
                currency=currency,
                unit_amount_decimal=unit_amount_decimal.normalize(),
                interval=interval,
                lookup_key=lookup_key,
                idempotency_key=key,
            ),
            confirm=lambda _: self.stripe.find_price(lookup_key=lookup_key),
        )

    def customer(self, *, name: str, email: str, external_key: str) -> Found[StripeCustomer]:
        """Return the oldest customer of this external key."""
        return find_or_create(
            kind="customer",
            params={"name": name, "email": email, "external_key": external_key},
            find=lambda: self.stripe.find_customer(external_key=external_key),
            create=lambda key: self.stripe.create_customer(
                name=name, email=email, external_key=external_key, idempotency_key=key
            ),
            # Stripe answers for a deleted customer too; the gateway says NotFound then.
            confirm=lambda made: _living(lambda: self.stripe.customer(made.id)),
        )

    def subscription(self, *, customer_id: str, price_id: str) -> Found[StripeSubscription]:
        """Return the customer's living subscription to this price."""
        return find_or_create(
            kind="subscription",
            params={"customer_id": customer_id, "price_id": price_id},
            find=lambda: self.stripe.find_subscription(customer_id=customer_id, price_id=price_id),
            create=lambda key: self.stripe.create_subscription(
                customer_id=customer_id, price_id=price_id, idempotency_key=key
            ),
            confirm=lambda _: self.stripe.find_subscription(customer_id=customer_id, price_id=price_id),
        )


def find_meter(stripe: BillingGateway, event_name: str) -> StripeMeter | None:
    """Return the meter of this event name, an active one if there is one."""
    found = [meter for page in stripe.meters() for meter in page if meter.event_name == event_name]
    return next((meter for meter in found if meter.active), found[0] if found else None)


def check_meter(meter: StripeMeter, *, window: str) -> None:
    """Raise `InvalidInput` unless the meter adds values up, in this window, and is active."""
    if not meter.active:
        problem = "is inactive; reactivate it in the Stripe dashboard"
    elif meter.formula != "sum":
        problem = f"counts by '{meter.formula}', and only 'sum' can be reported"
    elif meter.event_time_window != window:
        problem = (
            f"has window '{meter.event_time_window or 'none'}', not '{window or 'none'}'; change --window"
        )
    else:
        return
    message = f"Stripe meter {meter.event_name} ({meter.id}) {problem}, or choose another --event-name."
    raise InvalidInput(message)


def check_price(
    price: StripePrice, *, meter_id: str, currency: str, unit_amount_decimal: Decimal, interval: str
) -> None:
    """Raise `InvalidInput` unless the price is the one asked for: Stripe cannot change a price."""
    asked = amount_text(unit_amount_decimal, currency)
    known = price.unit_amount_decimal
    pairs: list[tuple[str, str, str]] = [
        ("meter", price.meter or "none", meter_id),
        ("currency", price.currency, currency),
        # Where the currencies differ, that is said, and 1 cent of one is no 1 cent of the other.
        ("unit amount", "none" if known is None else amount_text(known, currency), asked),
        ("interval", price.interval, interval),
    ]
    differing = [f"{name} {there} instead of {asked}" for name, there, asked in pairs if there != asked]
    if differing:
        message = (
            f"Stripe price {price.id} with lookup key {price.lookup_key} has {', '.join(differing)}; "
            "choose another --lookup-key, or ask for what is there."
        )
        raise InvalidInput(message)


def _living(read: Callable[[], T]) -> T | None:
    try:
        return read()
    except NotFound:
        return None
