"""Fill an empty sandbox with the demo's world, over HTTP like anybody else would."""

import datetime as dt
import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import islice
from typing import Any, TypeVar

import httpx

from sync.sandbox.demo_customers import CUSTOMERS, PRODUCTS, DemoCustomer, Product
from sync.sandbox.demo_usage import Habit, events_of

T = TypeVar("T")
KEY = "sk_test_demo_0000"
EVENTS_PER_CALL = 2000
"""A body of half a megabyte: few calls, and far below what OpenMeter takes."""
BEFORE_ANYBODY = dt.timedelta(days=300)
"""How long ago the products were made: before the oldest subscription to them."""
TIMEOUT_SECONDS = 30


@dataclass(frozen=True, slots=True)
class Filled:
    """What was put into the sandbox."""

    customers: int
    subscriptions: int
    events: int


def fill(base_url: str, *, days: int, now: dt.datetime) -> Filled:
    """The empty sandbox holds the demo's world, with usage of the `days` before `now`, in real time."""
    with httpx.Client(base_url=base_url, timeout=TIMEOUT_SECONDS, trust_env=False) as http:
        sandbox = _Sandbox(http)
        prices = _sell(sandbox, now - BEFORE_ANYBODY)
        subscriptions = {
            one.key: _subscribe(sandbox, one, prices, now)
            for one in sorted(CUSTOMERS, key=lambda one: one.subscribed_at(now))
        }
        _change_afterwards(sandbox, subscriptions, now)
        sandbox.set_clock(None)
        events = sum(map(sandbox.ingest, _batches(events_of(_habits(now), days=days, now=now))))
    return Filled(len(CUSTOMERS), len(subscriptions), events)


class _Sandbox:
    """What is asked of a sandbox; every refusal raises."""

    def __init__(self, http: httpx.Client) -> None:
        self._http = http

    def set_clock(self, now: dt.datetime | None) -> None:
        """The sandbox's time stands still at `now`, or is real again."""
        body = {"now": now and now.isoformat()}
        self._http.put("/sandbox/clock", json=body).raise_for_status()

    def patch(self, id_: str, changes: Mapping[str, Any]) -> None:
        """A Stripe object is changed in a way that no API call could."""
        self._http.patch(f"/sandbox/stripe/{id_}", json=changes).raise_for_status()

    def stripe(self, method: str, path: str, **params: Any) -> dict[str, Any]:
        """Stripe's answer."""
        answer = self._http.request(
            method, f"/stripe/v1{path}", data=_form(params), headers={"Authorization": f"Bearer {KEY}"}
        )
        answer.raise_for_status()
        body: dict[str, Any] = answer.json()
        return body

    def openmeter(self, path: str, body: object, *, content_type: str = "application/json") -> None:
        """OpenMeter has taken the body."""
        answer = self._http.post(
            f"/openmeter/api/v1{path}", content=json.dumps(body), headers={"Content-Type": content_type}
        )
        answer.raise_for_status()

    def ingest(self, events: Sequence[Mapping[str, Any]]) -> int:
        """OpenMeter has taken the events; answers how many they are."""
        self.openmeter("/events", events, content_type="application/cloudevents-batch+json")
        return len(events)


def _sell(sandbox: _Sandbox, at: dt.datetime) -> dict[str, str]:
    """Meters and products are there on both sides; answers the price by OpenMeter slug."""
    sandbox.set_clock(at)
    return {product.measure.slug: _sell_one(sandbox, product) for product in PRODUCTS}


def _sell_one(sandbox: _Sandbox, product: Product) -> str:
    measure = product.measure
    sandbox.openmeter(
        "/meters",
        {
            "slug": measure.slug,
            "name": product.name,
            "aggregation": "SUM",
            "eventType": measure.event_type,
            "valueProperty": f"$.{measure.value}",
            "groupBy": {key: f"$.{key}" for key in measure.groups},
        },
    )
    meter = sandbox.stripe(
        "POST",
        "/billing/meters",
        display_name=product.name,
        event_name=product.event_name,
        default_aggregation={"formula": "sum"},
    )
    price = sandbox.stripe(
        "POST",
        "/prices",
        currency="usd",
        unit_amount_decimal=product.unit_amount,
        lookup_key=product.lookup_key,
        product_data={"name": product.name},
        recurring={"interval": "month", "usage_type": "metered", "meter": meter["id"]},
    )
    return str(price["id"])


def _subscribe(sandbox: _Sandbox, one: DemoCustomer, prices: Mapping[str, str], now: dt.datetime) -> str:
    """The customer is there and subscribed since its own day; answers the subscription's id."""
    sandbox.set_clock(one.subscribed_at(now))
    customer = sandbox.stripe(
        "POST", "/customers", name=one.name, email=one.email, metadata={"external_key": one.key}
    )
    trial = {"trial_period_days": one.trial_days} if one.trial_days else {}
    subscription = sandbox.stripe(
        "POST",
        "/subscriptions",
        customer=customer["id"],
        items=[{"price": prices[measure.slug]} for measure in one.measures],
        **trial,
    )
    return str(subscription["id"])


def _change_afterwards(sandbox: _Sandbox, subscriptions: Mapping[str, str], now: dt.datetime) -> None:
    for one in CUSTOMERS:
        if one.status:
            sandbox.patch(subscriptions[one.key], {"status": one.status})
        if ended_at := _ended_at(one, now):
            sandbox.set_clock(ended_at)
            sandbox.stripe("DELETE", f"/subscriptions/{subscriptions[one.key]}")


def _habits(now: dt.datetime) -> list[Habit]:
    return [
        Habit(key, measure, one.size, one.utc_offset, end=_ended_at(one, now))
        for one in CUSTOMERS
        if not one.silent
        for key in filter(None, (one.key, one.second_key))
        for measure in one.measures
    ]


def _ended_at(one: DemoCustomer, now: dt.datetime) -> dt.datetime | None:
    return now - dt.timedelta(minutes=one.ended_minutes_ago) if one.ended_minutes_ago else None


def _batches(events: Iterable[T]) -> Iterator[list[T]]:
    waiting = iter(events)
    while batch := list(islice(waiting, EVENTS_PER_CALL)):
        yield batch


def _form(value: Any, prefix: str = "") -> dict[str, str]:
    """Nested parameters as Stripe's bracketed form fields."""
    if not isinstance(value, dict | list):
        return {prefix: str(value)}
    fields: dict[str, str] = {}
    for key, inner in value.items() if isinstance(value, dict) else enumerate(value):
        fields |= _form(inner, f"{prefix}[{key}]" if prefix else str(key))
    return fields
