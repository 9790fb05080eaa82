"""Stripe through its SDK: one gateway serves all threads."""

from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime
from decimal import Decimal
from typing import Any

import stripe

from sync.clients.stripe_calls import Body, StripeCalls
from sync.clients.stripe_errors import Peer
from sync.clients.stripe_invoices import StripeInvoices
from sync.clients.stripe_notices import StripeErrorReports
from sync.clients.stripe_parsing import (
    parse_customer,
    parse_event,
    parse_meter,
    parse_price,
    parse_subscription,
)
from sync.clients.stripe_pauses import StripePauses
from sync.clients.stripe_session import stripe_session
from sync.clients.stripe_summaries import StripeSummaries
from sync.clients.stripe_swaps import StripePriceChanges
from sync.domain.changes import StripeEvent
from sync.domain.notices import REFUSALS
from sync.domain.statuses import ENDED
from sync.ports import (
    Account,
    MeterEvent,
    StripeCustomer,
    StripeMeter,
    StripePrice,
    StripeSubscription,
)

API_VERSION = "2026-10-28.endive"
"""What this module was written against; every request says so, whatever the account's default is."""
TOLD_OF = (
    *(f"customer.{verb}" for verb in ("created", "updated", "deleted")),
    *(f"customer.subscription.{verb}" for verb in ("created", "updated", "deleted", "paused", "resumed")),
    "customer.subscription.pending_update_applied",
    *(f"price.{verb}" for verb in ("created", "updated", "deleted")),
    *(f"product.{verb}" for verb in ("updated", "deleted")),
    *(f"billing.meter.{verb}" for verb in ("created", "updated", "deactivated", "reactivated")),
    *(f"invoice.{verb}" for verb in ("finalized", "voided")),
)
"""Types of events about what is mirrored; Stripe takes 20 at most. Drafts are few, and listed instead."""
CONNECT_SECONDS, READ_SECONDS = 3.05, 10.0
NOBODY = "console_probe_of_nothing"
"""An id that no object of Stripe's can have."""
BRIEFLY = (2.0, 4.0)
"""For somebody who waits before a page."""


class StripeGateway(StripeInvoices, StripeErrorReports, StripeSummaries, StripePriceChanges, StripePauses):
    """Implements `ports.BillingGateway`. Raises `SyncError`s only."""

    call_timeout_seconds = 15.0
    """Connect plus read timeout, rounded up. An answer that keeps dripping could outlast it."""

    def __init__(
        self,
        *,
        key: str,
        base: str,
        livemode: bool,
        retry_pause_seconds: float = 0.5,
        timeout: tuple[float, float] = (CONNECT_SECONDS, READ_SECONDS),
    ) -> None:
        """Open no connection yet."""
        stripe.enable_telemetry = False
        self._livemode = livemode
        peer = Peer(base=base, key_tail=f"…{key[-4:]}")
        self._calls = StripeCalls(peer=peer, retry_pause_seconds=retry_pause_seconds)
        self._client = stripe.StripeClient(
            key,
            stripe_version=API_VERSION,
            base_addresses={"api": base},
            # Each attempt at delivery is a row of the ledger, so the SDK must not repeat by itself.
            max_network_retries=0,
            http_client=stripe.RequestsClient(timeout=timeout, session=stripe_session(base)),
        )
        self._api = self._client.v1

    def send_meter_event(self, event: MeterEvent) -> str:
        """Send one event, once, and return Stripe's request id."""
        return self._calls.event(
            lambda: self._api.billing.meter_events.create(
                {
                    "event_name": event.event_name,
                    "payload": {event.customer_key: event.customer_id, event.value_key: event.value},
                    "identifier": event.identifier,
                    "timestamp": int(event.timestamp.timestamp()),
                },
                {"idempotency_key": event.idempotency_key},
            ),
            identifier=event.identifier,
        )

    # --- reads

    def account(self) -> Account:
        """Return the account of the key; the mode is the key's own, the account object names none."""
        account_id = self._calls.read(self._api.accounts.retrieve_current, lambda body: str(body["id"]))
        return Account(id=account_id, livemode=self._livemode)

    def meters(self) -> Iterator[list[StripeMeter]]:
        """Yield every meter, a page at a time."""
        return self._calls.pages(self._api.billing.meters.list, parse_meter)

    def prices(self, *, after: str = "") -> Iterator[list[StripePrice]]:
        """Yield every price, archived ones too, with product name and tiers."""
        asked = {"expand": ["data.product", "data.tiers"]} | _after(after)
        return self._calls.pages(self._api.prices.list, parse_price, asked)

    def customers(self, *, after: str = "") -> Iterator[list[StripeCustomer]]:
        """Yield every customer; Stripe leaves those on a test clock out of this list."""
        return self._calls.pages(self._api.customers.list, parse_customer, _after(after))

    def subscriptions(self, *, after: str = "") -> Iterator[list[StripeSubscription]]:
        """Yield subscriptions of every status; Stripe leaves those on a test clock out of this list."""
        return self._subscription_pages({"status": "all"} | _after(after))

    def events(self, *, since: datetime) -> Iterator[list[StripeEvent]]:
        """Yield what happened to mirrored objects from `since` on, newest first."""
        asked = {"created": {"gte": int(since.timestamp())}, "types": list(TOLD_OF)}
        return self._calls.pages(self._api.events.list, parse_event, asked)

    def meter(self, stripe_id: str) -> StripeMeter:
        """Return one meter."""
        return self._calls.read_living(lambda: self._api.billing.meters.retrieve(stripe_id), parse_meter)

    def customer(self, stripe_id: str) -> StripeCustomer:
        """Return one customer."""
        return self._calls.read_living(lambda: self._api.customers.retrieve(stripe_id), parse_customer)

    def price(self, stripe_id: str) -> StripePrice:
        """Return one price with product name and tiers."""
        return self._calls.read_living(
            lambda: self._api.prices.retrieve(stripe_id, {"expand": ["product", "tiers"]}), parse_price
        )

    def subscription(self, stripe_id: str) -> StripeSubscription:
        """Return one subscription with all its items."""
        return self._with_items(
            self._calls.read_living(lambda: self._api.subscriptions.retrieve(stripe_id), dict)
        )

    def probe(self, read: str) -> str:
        """Ask for one object of a kind, once; return its id where that says more than that it may be read.

        A read is account, or the plural name of what is mirrored. Raises what the answer means.
        """
        if read == "account":
            return self._calls.read_once(self._api.accounts.retrieve_current, lambda body: str(body["id"]))
        probes: dict[str, tuple[Any, Mapping[str, object]]] = {
            "meters": (self._api.billing.meters.list, {}),
            "prices": (self._api.prices.list, {"expand": ["data.product", "data.tiers"]}),
            "customers": (self._api.customers.list, {}),
            "subscriptions": (self._api.subscriptions.list, {"status": "all"}),
            "events": (self._api.events.list, {}),
            "invoices": (self._api.invoices.list, {}),
            "refusals": (self._client.v2.core.events.list, {"types": sorted(REFUSALS)}),
        }
        listed, asked = probes[read]
        self._calls.read_once(lambda: listed({"limit": 1, **asked}), lambda body: len(body["data"]))
        return ""

    def probe_write(self, kind: str) -> None:
        """Ask, once, to change an object that does not exist: nothing can come of it.

        Raises `NotFound`, or what else the answer means; a kind is the plural name of what set-up creates.
        """
        updates: dict[str, Any] = {
            "meters": self._api.billing.meters.update,
            "products": self._api.products.update,
            "prices": self._api.prices.update,
            "customers": self._api.customers.update,
            "subscriptions": self._api.subscriptions.update,
        }
        self._calls.read_once(lambda: updates[kind](NOBODY), lambda _body: None)

    # --- set-up: find, else create

    def create_meter(
        self, *, display_name: str, event_name: str, window: str, idempotency_key: str
    ) -> StripeMeter:
        """Create a `sum` meter with Stripe's default payload keys."""
        params: Any = {
            "display_name": display_name,
            "event_name": event_name,
            "default_aggregation": {"formula": "sum"},
        } | ({"event_time_window": window} if window else {})
        create, options = self._api.billing.meters.create, _under(idempotency_key)
        return self._calls.write(lambda: create(params, options), parse_meter)

    def find_product(self, *, set_up_key: str) -> str:
        """Return the oldest active product with this mark; it lists, because the search API lags."""
        listed = self._calls.pages(self._api.products.list, dict, {"active": True})
        marked = [
            str(body["id"])
            for page in listed
            for body in page
            if (body.get("metadata") or {}).get("billing_console") == set_up_key
        ]
        return marked[-1] if marked else ""

    def create_product(self, *, name: str, set_up_key: str, idempotency_key: str) -> str:
        """Create a product that `find_product` finds again."""
        params: Any = {"name": name, "metadata": {"billing_console": set_up_key}}
        create, options = self._api.products.create, _under(idempotency_key)
        return self._calls.write(lambda: create(params, options), lambda body: str(body["id"]))

    def find_price(self, *, lookup_key: str) -> StripePrice | None:
        """Return the active price with this lookup key; Stripe keeps a lookup key unique."""
        asked = {"lookup_keys": [lookup_key], "active": True, "expand": ["data.product"]}
        pages = self._calls.pages(self._api.prices.list, parse_price, asked)
        return next((price for page in pages for price in page if price.lookup_key == lookup_key), None)

    def create_price(
        self,
        *,
        product_id: str,
        meter_id: str,
        currency: str,
        unit_amount_decimal: Decimal,
        interval: str,
        lookup_key: str,
        idempotency_key: str,
    ) -> StripePrice:
        """Create a metered per-unit price."""
        params: Any = {
            "product": product_id,
            "currency": currency,
            "unit_amount_decimal": format(unit_amount_decimal, "f"),
            "recurring": {"interval": interval, "usage_type": "metered", "meter": meter_id},
            "lookup_key": lookup_key,
        }
        create, options = self._api.prices.create, _under(idempotency_key)
        return self._calls.write(lambda: create(params, options), parse_price)

    def find_customer(self, *, external_key: str) -> StripeCustomer | None:
        """Return the oldest customer of this key; lists come newest first, so the last one found."""
        found = None
        for page in self.customers():
            found = next((known for known in reversed(page) if known.external_key == external_key), found)
        return found

    def create_customer(
        self, *, name: str, email: str, external_key: str, idempotency_key: str
    ) -> StripeCustomer:
        """Create a customer; without an e-mail address none is sent."""
        params: Any = {"name": name, "metadata": {"external_key": external_key}}
        if email:
            params["email"] = email
        create, options = self._api.customers.create, _under(idempotency_key)
        return self._calls.write(lambda: create(params, options), parse_customer)

    def find_subscription(self, *, customer_id: str, price_id: str) -> StripeSubscription | None:
        """Return the customer's living subscription with an item of this price."""
        for page in self._subscription_pages({"status": "all", "customer": customer_id}):
            for found in page:
                if found.status not in ENDED and any(item.price_id == price_id for item in found.items):
                    return found
        return None

    def create_subscription(
        self, *, customer_id: str, price_id: str, idempotency_key: str
    ) -> StripeSubscription:
        """Create a subscription with one metered item, which takes no quantity."""
        params: Any = {"customer": customer_id, "items": [{"price": price_id}]}
        create, options = self._api.subscriptions.create, _under(idempotency_key)
        return self._with_items(self._calls.write(lambda: create(params, options), dict))

    def _subscription_pages(self, asked: Mapping[str, Any]) -> Iterator[list[StripeSubscription]]:
        for page in self._calls.pages(self._api.subscriptions.list, dict, asked):
            yield [self._with_items(body) for body in page]

    def _with_items(self, body: Body) -> StripeSubscription:
        """Complete the embedded items, which are one page only, by listing them all where there are more."""
        embedded = body.get("items") or {}
        items: Sequence[Body] = embedded.get("data") or []
        if embedded.get("has_more", True):
            asked = {"subscription": body["id"]}
            listed = self._calls.pages(self._api.subscription_items.list, dict, asked)
            items = [item for page in listed for item in page]
        return self._calls.read_answer(body, lambda whole: parse_subscription(whole, items=items))


def _after(stripe_id: str) -> dict[str, Any]:
    """Return what lets a list go on after an object."""
    return {"starting_after": stripe_id} if stripe_id else {}


def _under(idempotency_key: str) -> stripe.RequestOptions:
    return {"idempotency_key": idempotency_key}
