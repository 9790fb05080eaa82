"""A small business in the sandbox: meters, customers who use things, and the console reporting it."""

import json
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any, Self

import httpx

from sync.conf import Config
from sync.models import UsageReport
from sync.operations.conclude_mirror import MirrorSummary
from sync.operations.mirror_stripe import mirror_stripe
from sync.operations.report_request import ReportRequest, ReportRules
from sync.operations.report_usage import ReportResult, report_usage
from sync.sandbox.server import SandboxServer
from sync.wiring import connect
from tests.sandbox_client import NO_TLS, TEST_KEY, SandboxControl

START = datetime(2026, 3, 10, 9, 0, tzinfo=UTC)
"""When a world begins, unless the test says otherwise."""
HOUR = timedelta(hours=1)


@dataclass(frozen=True)
class Metered:
    """A meter on both sides, and a price on it."""

    slug: str
    stripe_id: str
    price: str


@dataclass(frozen=True)
class Subscriber:
    """A customer with a subscription to one metered price."""

    customer: str
    subject: str
    subscription: str
    item: str


class World:
    """One clock for the sandbox and the console; everything else goes over HTTP."""

    def __init__(self, control: SandboxControl, server: SandboxServer, config: Config) -> None:
        self.control, self.config = control, config
        self.stripe_http = httpx.Client(
            base_url=server.stripe_url,
            headers={"Authorization": f"Bearer {TEST_KEY}"},
            timeout=10,
            verify=NO_TLS,
        )
        self.openmeter_http = httpx.Client(base_url=server.openmeter_url, timeout=10, verify=NO_TLS)
        self.now = START
        self.at(START)
        self._events = 0

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.stripe_http.close()
        self.openmeter_http.close()

    # --- time ----------------------------------------------------------------------------------------------

    def at(self, now: datetime) -> None:
        """It is `now` everywhere."""
        self.now = now
        self.control.set_clock(now)

    def later(self, **delta: float) -> None:
        """Time passes."""
        self.at(self.now + timedelta(**delta))

    # --- Stripe --------------------------------------------------------------------------------------------

    def stripe(self, method: str, path: str, **form: Any) -> dict[str, Any]:
        """Ask the sandbox's Stripe, as its owner would in the dashboard."""
        answer = self.stripe_http.request(method, f"/v1{path}", data=_flat(form))
        assert answer.is_success, answer.text
        return answer.json()

    def meter(
        self,
        slug: str = "tokens",
        *,
        window: str = "",
        aggregation: str = "SUM",
        unit_amount: int = 1,
        group_by: dict[str, str] | None = None,
    ) -> Metered:
        """Create a meter in OpenMeter and in Stripe, and a monthly price on it."""
        self.measure(slug, aggregation=aggregation, group_by=group_by)
        return self.bill(slug, window=window, unit_amount=unit_amount)

    def measure(self, slug: str, *, aggregation: str = "SUM", group_by: dict[str, str] | None = None) -> None:
        """Create a meter in OpenMeter."""
        measured = {"valueProperty": "$.amount"} if aggregation != "COUNT" else {}
        answer = self.openmeter_http.post(
            "/api/v1/meters",
            json={
                "slug": slug,
                "aggregation": aggregation,
                "eventType": slug,
                "groupBy": group_by or {},
                **measured,
            },
        )
        assert answer.is_success, answer.text

    def bill(self, slug: str, *, window: str = "", unit_amount: int = 1) -> Metered:
        """Create a meter in Stripe, and a monthly price on it."""
        made = self.stripe(
            "POST",
            "/billing/meters",
            display_name=slug,
            event_name=slug,
            default_aggregation={"formula": "sum"},
            **({"event_time_window": window} if window else {}),
        )
        price = self.stripe(
            "POST",
            "/prices",
            currency="usd",
            unit_amount=unit_amount,
            product_data={"name": slug},
            recurring={"interval": "month", "usage_type": "metered", "meter": made["id"]},
        )
        return Metered(slug, made["id"], price["id"])

    def subscriber(self, metered: Metered, name: str = "ada", **params: Any) -> Subscriber:
        """Create a customer with a subscription that begins now."""
        customer = self.stripe("POST", "/customers", name=name, metadata={"external_key": name})
        return self.subscribe(customer["id"], metered, name, **params)

    def subscribe(self, customer: str, metered: Metered, subject: str, **params: Any) -> Subscriber:
        """Subscribe a customer to a meter's price."""
        made = self.stripe(
            "POST", "/subscriptions", customer=customer, items=[{"price": metered.price}], **params
        )
        return Subscriber(customer, subject, made["id"], made["items"]["data"][0]["id"])

    def billed(self, who: Subscriber, slug: str = "tokens") -> Decimal:
        """Return the units that Stripe holds for a customer."""
        return Decimal(self.control.totals().get((who.customer, slug), "0"))

    def sent(self, who: Subscriber | None = None) -> list[tuple[str, int]]:
        """Return value and Unix time of every event that Stripe took."""
        events = self.control.meter_events(**({"customer": who.customer} if who else {}))
        return [(event["value"], event["timestamp"]) for event in events]

    # --- OpenMeter -----------------------------------------------------------------------------------------

    def use(self, subject: str, amount: Any, at: datetime, slug: str = "tokens", **data: Any) -> None:
        """Record usage in OpenMeter; `data` is what the event says beside the amount."""
        self.use_many([(subject, amount, at)], slug, **data)

    def use_many(self, usage: list[tuple[str, Any, datetime]], slug: str = "tokens", **data: Any) -> None:
        """Record much usage at once."""
        events = []
        for subject, amount, at in usage:
            self._events += 1
            events.append(
                {
                    "specversion": "1.0",
                    "id": f"e{self._events}",
                    "source": "tests",
                    "type": slug,
                    "subject": subject,
                    "time": at.isoformat(),
                    "data": {"amount": str(amount), **data},
                }
            )
        answer = self.openmeter_http.post(
            "/api/v1/events",
            content=json.dumps(events),
            headers={"content-type": "application/cloudevents-batch+json"},
        )
        assert answer.status_code == 204, answer.text

    def forget(self, **chosen: str) -> None:
        """Make OpenMeter lose events."""
        self.control._ask("POST", "/openmeter/forget", chosen)

    # --- the console ---------------------------------------------------------------------------------------

    def configure(self, **changes: Any) -> None:
        """Change the console's configuration."""
        self.config = replace(self.config, **changes)

    def sync(self) -> MirrorSummary:
        """Mirror Stripe."""
        connections = connect(config=self.config)
        return mirror_stripe(
            stripe=connections.stripe,
            openmeter=connections.openmeter,
            clock=lambda: self.now,
            invoice_grace=self.config.invoice_grace,
        )

    def report(self, **request: Any) -> ReportResult:
        """Report everything that has closed."""
        connections = connect(config=self.config)
        return report_usage(
            request=ReportRequest(requested_by="tests", **request),
            stripe=connections.stripe,
            openmeter=connections.openmeter,
            rules=self.rules(),
            clock=lambda: self.now,
        )

    def rules(self) -> ReportRules:
        """Return the rules that the configuration comes to."""
        return ReportRules(
            tail=self.config.tail,
            brake_percent=self.config.brake_percent,
            carries_late=self.config.late_usage == "carry_forward",
            invoice_grace=self.config.invoice_grace,
            calls_per_second=self.config.effective_rate_limit,
        )

    @staticmethod
    def statuses() -> list[str]:
        """Return the status of every ledger row, in order."""
        return list(UsageReport.objects.order_by("pk").values_list("status", flat=True))


def _flat(form: Any, prefix: str = "") -> dict[str, str]:
    """Turn nested parameters into Stripe's bracketed form fields."""
    fields: dict[str, str] = {}
    pairs = enumerate(form) if isinstance(form, list) else form.items()
    for key, value in pairs:
        name = f"{prefix}[{key}]" if prefix else str(key)
        if isinstance(value, dict | list):
            fields |= _flat(value, name)
        else:
            fields[name] = str(value).lower() if isinstance(value, bool) else str(value)
    return fields
