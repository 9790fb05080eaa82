"""What tests say to a sandbox: its control API over HTTP, and a Stripe account to start from."""

import contextlib
import datetime as dt
import ssl
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Self

import httpx
import stripe

from sync.sandbox.server import SandboxServer

TEST_KEY = "sk_test_northwind_1"
NO_TLS = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
"""The sandbox speaks plain HTTP; reading the certificate authorities would take longer than most answers."""


class SandboxControl:
    """The control API of a running sandbox."""

    def __init__(self, base_url: str) -> None:
        self._http = httpx.Client(base_url=f"{base_url}/sandbox", timeout=10, verify=NO_TLS)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._http.close()

    def set_clock(self, now: dt.datetime | None, *, running: bool = False) -> dict[str, Any]:
        """The sandbox's clock is frozen at `now`, runs on from it, or is real."""
        return self._ask("PUT", "/clock", {"now": now and now.isoformat(), "running": running})

    def clock(self) -> dict[str, Any]:
        """What time the sandbox says it is."""
        return self._ask("GET", "/clock")

    def fault(self, route: str, **script: Any) -> None:
        """The next calls of the route go wrong as scripted."""
        self._ask("POST", "/faults", {"route": route} | script)

    def faults(self) -> list[dict[str, Any]]:
        """The faults still to come."""
        return self._ask("GET", "/faults")

    def clear_faults(self) -> None:
        """No fault waits."""
        self._ask("DELETE", "/faults")

    def settings(self, **changes: Any) -> dict[str, Any]:
        """The settings, after these changes."""
        return self._ask("PATCH", "/settings", changes)

    def requests(self, route: str | None = None) -> list[dict[str, Any]]:
        """The log of API calls."""
        return self._ask("GET", "/requests", params={"route": route} if route else {})["requests"]

    def clear_requests(self) -> None:
        """The log of API calls is empty."""
        self._ask("DELETE", "/requests")

    def patch_stripe(self, id_: str, **changes: Any) -> dict[str, Any]:
        """The stored Stripe object with these changes merged in."""
        return self._ask("PATCH", f"/stripe/{id_}", changes)

    def delete_stripe(self, id_: str) -> None:
        """The Stripe object is gone."""
        self._ask("DELETE", f"/stripe/{id_}")

    def meter_events(self, **filters: str) -> list[dict[str, Any]]:
        """The accepted meter events in order of receipt."""
        return self._ask("GET", "/meter_events", params=filters)

    def totals(self, **filters: str) -> dict[tuple[str, str], str]:
        """The exact total by customer and event name."""
        rows = self._ask("GET", "/totals", params=filters)
        return {(row["customer"], row["event_name"]): row["total"] for row in rows}

    def invoices(self, **filters: str) -> list[dict[str, Any]]:
        """What every invoice that is not a draft billed, oldest first."""
        return self._ask("GET", "/invoices", params=filters)

    def landings(self, **filters: str) -> list[dict[str, Any]]:
        """The accepted meter events with the invoice lines they are on, or why they are on none."""
        return self._ask("GET", "/meter_events/landings", params=filters)

    def tell(self, **endpoints: Any) -> dict[str, Any]:
        """What happens from now on is told to these webhook addresses."""
        return self._ask("PUT", "/webhooks", endpoints)

    def told(self) -> dict[str, Any]:
        """Who is told, what waits, and what was answered."""
        return self._ask("GET", "/webhooks")

    def signed(self, **script: Any) -> list[dict[str, Any]]:
        """What waits to be told, as signed requests."""
        return self._ask("POST", "/webhooks/sign", script)

    def refuse_later(self, **script: Any) -> None:
        """The next meter events are taken, and refused afterwards."""
        self._ask("POST", "/meter_events/refusals", script)

    def refuse_nothing_later(self) -> None:
        """No refusal waits for its events."""
        self._ask("DELETE", "/meter_events/refusals")

    def reset(self) -> None:
        """The sandbox is as if new."""
        self._ask("POST", "/reset")

    def _ask(self, method: str, path: str, body: Any = None, params: dict[str, str] | None = None) -> Any:
        answer = self._http.request(method, path, json=body, params=params)
        assert answer.is_success, answer.text
        return answer.json() if answer.content else None


class SandboxClient(SandboxControl):
    """The control API of a sandbox that runs in this process, with its addresses at hand."""

    def __init__(self, server: SandboxServer) -> None:
        super().__init__(server.base_url)
        self.base_url = server.base_url
        self.stripe_url = server.stripe_url
        self.openmeter_url = server.openmeter_url
        self.world = server.world


@dataclass(frozen=True)
class Subscribed:
    """A customer with a subscription to one metered price."""

    customer: str
    subscription: str
    item: str
    price: str
    meter: str
    event_name: str


@contextlib.contextmanager
def stripe_client(stripe_url: str, key: str = TEST_KEY) -> Iterator[stripe.StripeClient]:
    """The real SDK, talking to the sandbox, without retries of its own; its connections are closed after."""
    stripe.enable_telemetry = False
    http_client = stripe.RequestsClient()
    try:
        yield stripe.StripeClient(
            key, base_addresses={"api": stripe_url}, max_network_retries=0, http_client=http_client
        )
    finally:
        http_client.close()


def create_price(client: stripe.StripeClient, *, event_name: str = "tokens", **meter: Any) -> stripe.Price:
    """A metered monthly price on a new meter."""
    made = client.v1.billing.meters.create(
        {
            "display_name": event_name,
            "event_name": event_name,
            "default_aggregation": {"formula": "sum"},
            **meter,
        }
    )
    return client.v1.prices.create(
        {
            "currency": "usd",
            "product_data": {"name": "AI Tokens"},
            "unit_amount": 1,
            "recurring": {"interval": "month", "usage_type": "metered", "meter": made.id},
        }
    )


def subscribe(client: stripe.StripeClient, price: stripe.Price | None = None, **params: Any) -> Subscribed:
    """A new customer, subscribed to the price or to a new one."""
    price = price or create_price(client)
    customer = client.v1.customers.create({"name": "Ada", "email": "ada@example.com"})
    made = client.v1.subscriptions.create({"customer": customer.id, "items": [{"price": price.id}], **params})
    assert price.recurring is not None
    assert price.recurring.meter is not None
    return Subscribed(
        customer=customer.id,
        subscription=made.id,
        item=made["items"].data[0].id,
        price=price.id,
        meter=price.recurring.meter,
        event_name=client.v1.billing.meters.retrieve(price.recurring.meter).event_name,
    )


def send_event(
    client: stripe.StripeClient, to: Subscribed, value: str = "1", *, key: str | None = None, **params: Any
) -> stripe.billing.MeterEvent:
    """A meter event for the customer, under the idempotency key if there is one."""
    payload = {"stripe_customer_id": to.customer, "value": value}
    body = {"event_name": to.event_name, "payload": payload, **params}
    return client.v1.billing.meter_events.create(body, {"idempotency_key": key} if key else {})


def unix(text: str) -> int:
    """The Unix seconds of a UTC instant such as "2026-01-31T10:30"."""
    return int(dt.datetime.fromisoformat(f"{text}+00:00").timestamp())
