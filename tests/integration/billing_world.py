"""A customer of the sandbox whose life the billing tests tell: prices, usage, and what was billed."""

import datetime as dt
import itertools
from collections.abc import Iterator
from typing import Any, Self

import httpx

from sync.sandbox.server import SandboxServer
from tests.integration.sandbox_fixtures import NOW
from tests.sandbox_client import NO_TLS, TEST_KEY, SandboxControl

HOUR = dt.timedelta(hours=1)
DAY = 24 * HOUR
END = dt.datetime(2026, 2, 28, 10, 30, tzinfo=dt.UTC)
"""When the first monthly period ends of what was subscribed to at NOW."""


def at(text: str) -> dt.datetime:
    """Return the instant of for example "02-03 10:30", in 2026 and UTC."""
    month_and_day, _, time = text.partition(" ")
    return dt.datetime.fromisoformat(f"2026-{month_and_day}T{time or '00:00'}+00:00")


def seconds(instant: dt.datetime) -> int:
    return int(instant.timestamp())


class Life:
    """One customer, whose clock only goes on; everything goes over HTTP."""

    def __init__(self, server: SandboxServer) -> None:
        self.control = SandboxControl(server.base_url)
        self._http = httpx.Client(
            base_url=f"{server.stripe_url}/v1",
            headers={"Authorization": f"Bearer {TEST_KEY}"},
            timeout=10,
            verify=NO_TLS,
        )
        self._numbers = itertools.count(1)
        self.customer = self.post("/customers")["id"]
        self.now = NOW

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._http.close()
        self.control.__exit__()

    def at(self, when: str | dt.datetime) -> None:
        """It is then."""
        self.now = at(when) if isinstance(when, str) else when
        self.control.set_clock(self.now)

    # --- Stripe --------------------------------------------------------------------------------------------

    def get(self, path: str, **params: Any) -> dict[str, Any]:
        return self._checked(self._http.get(path, params=params))

    def post(self, path: str, form: dict[str, Any] | None = None, **more: Any) -> dict[str, Any]:
        return self._checked(self._http.post(path, data=(form or {}) | more))

    def delete(self, path: str, **form: Any) -> dict[str, Any]:
        return self._checked(self._http.request("DELETE", path, data=form))

    def meter(self, name: str = "tokens", *, window: str = "", formula: str = "sum") -> str:
        """Return the id of a new meter."""
        form = {"display_name": name, "event_name": name, "default_aggregation[formula]": formula}
        if window:
            form["event_time_window"] = window
        return str(self.post("/billing/meters", form)["id"])

    def price(self, meter: str | None, *, interval: str = "month", **form: Any) -> str:
        """Return the id of a new price, of ten cents a unit if nothing else is said."""
        base = {"currency": "usd", "product_data[name]": "x", "recurring[interval]": interval}
        if meter:
            base |= {"recurring[usage_type]": "metered", "recurring[meter]": meter}
        return str(self.post("/prices", base | (form or {"unit_amount": 10}))["id"])

    def subscribe(self, *prices: str, **form: Any) -> dict[str, Any]:
        """Return a new subscription to these prices."""
        items = {f"items[{n}][price]": price for n, price in enumerate(prices)}
        return self.post("/subscriptions", items | {"customer": self.customer} | form)

    def use(self, value: str | int, when: str | dt.datetime | None = None, *, meter: str = "tokens") -> str:
        """An event of so many units, dated then or now, arrives now; return its identifier."""
        dated = self.now if when is None else at(when) if isinstance(when, str) else when
        identifier = f"event-{next(self._numbers)}"
        form = {
            "event_name": meter,
            "identifier": identifier,
            "payload[stripe_customer_id]": self.customer,
            "payload[value]": str(value),
            "timestamp": seconds(dated),
        }
        self.post("/billing/meter_events", form)
        return identifier

    # --- what came of it -----------------------------------------------------------------------------------

    def billed(self) -> list[list[tuple[str, int]]]:
        """Return the quantity and the cents of each line of each final invoice, oldest first."""
        return [
            [(line["quantity"], line["amount"]) for line in invoice["lines"]]
            for invoice in self.control.invoices()
        ]

    def drafts(self) -> list[dict[str, Any]]:
        """Return the invoices that are drafts, newest first."""
        return list(self.get("/invoices", status="draft", limit=100)["data"])

    def why(self, identifier: str) -> str | None:
        """Return why an event is on no final invoice."""
        rows = {row["identifier"]: row for row in self.control.landings()}
        assert (rows[identifier]["why"] is None) == any(
            line["status"] != "draft" for line in rows[identifier]["lines"]
        )
        return rows[identifier]["why"]

    def events(self, *names: str) -> Iterator[tuple[str, int]]:
        """Yield the type and time of what happened to invoices, oldest first."""
        for event in self.get("/events", limit=100)["data"][::-1]:
            if event["type"].startswith("invoice.") or event["type"] in names:
                yield event["type"], event["created"]

    def _checked(self, answer: httpx.Response) -> dict[str, Any]:
        assert answer.is_success, answer.text
        body: dict[str, Any] = answer.json()
        return body
