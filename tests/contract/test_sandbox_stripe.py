"""The sandbox's Stripe against the published shape of the API: parameters taken, answers given."""

import datetime as dt
import json
import os
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import httpx
import pytest
from openapi_schema_validator import OAS30Validator
from referencing import Registry
from referencing.jsonschema import DRAFT4

from sync.sandbox.server import SandboxServer
from sync.sandbox.stripe import OPERATIONS as ALL_OPERATIONS
from sync.sandbox.stripe.operations import Operation
from sync.sandbox.stripe.shapes import Amount, Choice, Flag, ListOf, Range, Shape, StringMap, Text, Whole
from tests.sandbox_client import NO_TLS, TEST_KEY, SandboxControl

SPECS = Path(os.environ.get("CONTRACT_SPECS", Path(__file__).parents[3] / "shared" / "specs"))
SPEC = SPECS / "stripe.json"
NOW = dt.datetime(2026, 1, 31, 10, 30, tzinfo=dt.UTC)

OPERATIONS = [operation for operation in ALL_OPERATIONS if operation.path.startswith("/v1/")]
"""The spec says nothing of v2."""

pytestmark = [
    pytest.mark.contract,
    pytest.mark.skipif(not SPEC.exists(), reason=f"the published specs are not at {SPECS}"),
]

STRICTER = {"POST /v1/subscriptions": {"customer", "items"}}
"""Parameters that the spec leaves optional because an alternative exists that the sandbox does not model."""


@pytest.fixture(scope="module")
def spec() -> dict[str, Any]:
    document: dict[str, Any] = json.loads(SPEC.read_text(), object_hook=with_null)
    # Read to the letter, an event would hold an object all of whose fields are objects.
    for part in document["components"]["schemas"]["event__Data"]["properties"].values():
        part.pop("additionalProperties")
    return document


def with_null(schema: dict[str, Any]) -> dict[str, Any]:
    """`nullable` means null too beside `anyOf` and `enum`; the validator honours it beside `type` only."""
    if schema.get("nullable") is True:
        schema.get("anyOf", []).append({"enum": [None], "nullable": True})
        schema.get("enum", []).append(None)
    return schema


def spec_of(spec: Mapping[str, Any], operation: Operation) -> dict[str, Any]:
    found: dict[str, Any] = spec["paths"][operation.path][operation.method.lower()]
    return found


def parameters_of(spec: Mapping[str, Any], operation: Operation) -> dict[str, Any]:
    """The schema of the parameters, whether they travel in the query or in the body."""
    described = spec_of(spec, operation)
    if "requestBody" in described:
        schema: dict[str, Any] = described["requestBody"]["content"]["application/x-www-form-urlencoded"][
            "schema"
        ]
        return schema
    query = [parameter for parameter in described.get("parameters", []) if parameter["in"] == "query"]
    return {
        "type": "object",
        "properties": {parameter["name"]: parameter["schema"] for parameter in query},
        "required": [parameter["name"] for parameter in query if parameter["required"]],
    }


def variants(schema: Mapping[str, Any]) -> list[Mapping[str, Any]]:
    return list(schema.get("anyOf", [schema]))


def differences(kind: Any, schema: Mapping[str, Any], name: str) -> Iterator[str]:
    """Where a parameter takes what the spec does not."""
    types = {variant.get("type") for variant in variants(schema)}
    expected = {
        Text: "string",
        Amount: "string",
        Choice: "string",
        Whole: "integer",
        Flag: "boolean",
        StringMap: "object",
        Shape: "object",
        ListOf: "array",
        Range: "object",
    }[type(kind)]
    if expected not in types:
        yield f"{name}: {type(kind).__name__}, but the spec says {types}"
        return
    match = next(variant for variant in variants(schema) if variant.get("type") == expected)
    if isinstance(kind, Shape):
        yield from shape_differences(kind, match, name)
    elif isinstance(kind, ListOf):
        yield from differences(kind.inner, match["items"], f"{name}[]")
    elif isinstance(kind, Range):
        yield from shape_differences(kind.bounds, match, name)
    elif isinstance(kind, Choice | Whole):
        words = set(kind.words)
        known = {word for variant in variants(schema) for word in variant.get("enum", [])}
        if not words <= known:
            yield f"{name}: takes {sorted(words - known)}, which the spec does not name"
    elif isinstance(kind, Text) and kind.longest > match.get("maxLength", 5000):
        yield f"{name}: longer than {match['maxLength']}"


def shape_differences(shape: Shape, schema: Mapping[str, Any], name: str = "") -> Iterator[str]:
    properties = schema.get("properties", {})
    for field, kind in shape.fields.items():
        if field not in properties:
            yield f"{name}.{field}: not in the spec"
        else:
            yield from differences(kind, properties[field], f"{name}.{field}")
    modelled = set(schema.get("required", [])) & set(shape.fields)
    if modelled - shape.required:
        yield f"{name}: does not insist on {sorted(modelled - shape.required)}"
    if set(schema.get("required", [])) - set(shape.fields):
        yield f"{name}: does not know {sorted(set(schema['required']) - set(shape.fields))}"


@pytest.mark.parametrize("operation", OPERATIONS, ids=lambda operation: operation.key)
class TestParameters:
    def test_are_those_of_the_spec(self, spec, operation):
        assert list(shape_differences(operation.params, parameters_of(spec, operation))) == []

    def test_are_required_where_the_spec_requires_them(self, spec, operation):
        required = set(parameters_of(spec, operation).get("required", []))
        assert operation.params.required - STRICTER.get(operation.key, set()) == required


class Caller:
    """Makes calls, and checks each answer against the response schema of its route."""

    def __init__(self, server: SandboxServer, spec: Mapping[str, Any]) -> None:
        self._http = httpx.Client(
            base_url=server.stripe_url,
            headers={"Authorization": f"Bearer {TEST_KEY}"},
            timeout=10,
            verify=NO_TLS,
        )
        self._base_url = server.base_url
        self._spec = spec
        self._registry = Registry().with_resource("urn:stripe", DRAFT4.create_resource(spec))
        self.told: set[str] = set()

    def close(self) -> None:
        self._http.close()

    def set_clock(self, now: dt.datetime) -> None:
        with SandboxControl(self._base_url) as control:
            control.set_clock(now)

    def __call__(self, route: str, path: str = "", **form: str) -> dict[str, Any]:
        method, _, template = route.partition(" ")
        names = {"params": form} if method == "GET" else {"data": form}
        answer = self._http.request(method, path or template, **names)
        assert answer.status_code == 200, answer.text
        body: dict[str, Any] = answer.json()
        pointer = template.replace("~", "~0").replace("/", "~1")
        schema = (
            f"urn:stripe#/paths/{pointer}/{method.lower()}/responses/200/content/application~1json/schema"
        )
        errors = OAS30Validator({"$ref": schema}, registry=self._registry).iter_errors(body)
        assert [f"{error.json_path}: {error.message}" for error in errors] == []
        assert list(self.invented(body)) == []
        self.told.add(route)
        return body

    def invented(self, value: Any, path: str = "$") -> Iterator[str]:
        """Fields that no schema of the object has."""
        if isinstance(value, list):
            for index, entry in enumerate(value):
                yield from self.invented(entry, f"{path}[{index}]")
        if not isinstance(value, dict):
            return
        kind = value.get("object")
        schema = self._spec["components"]["schemas"].get(kind) if isinstance(kind, str) else None
        if schema and not value.get("deleted"):
            yield from (f"{path}.{name}" for name in value if name not in schema["properties"])
        for name, inner in value.items():
            yield from self.invented(inner, f"{path}.{name}")


@pytest.fixture
def call(spec) -> Iterator[Caller]:
    with SandboxServer() as server:
        with SandboxControl(server.base_url) as control:
            control.set_clock(NOW)
        caller = Caller(server, spec)
        yield caller
        caller.close()


def tell_meters_and_prices(call: Caller) -> tuple[str, str]:
    meter = call(
        "POST /v1/billing/meters",
        **{"display_name": "Tokens", "event_name": "tokens", "default_aggregation[formula]": "sum"},
        event_time_window="hour",
    )["id"]
    call("GET /v1/billing/meters", status="active")
    one = f"/v1/billing/meters/{meter}"
    call("GET /v1/billing/meters/{id}", one)
    call("POST /v1/billing/meters/{id}", one, display_name="AI Tokens")
    call("POST /v1/billing/meters/{id}/deactivate", f"{one}/deactivate")
    call("POST /v1/billing/meters/{id}/reactivate", f"{one}/reactivate")
    product = call("POST /v1/products", name="AI", **{"metadata[a]": "b"})["id"]
    call("GET /v1/products", active="true")
    call("GET /v1/products/{id}", f"/v1/products/{product}")
    call("POST /v1/products/{id}", f"/v1/products/{product}", description="x")
    metered = {
        "currency": "usd",
        "product": product,
        "recurring[interval]": "month",
        "recurring[usage_type]": "metered",
        "recurring[meter]": meter,
    }
    tiers = {
        "billing_scheme": "tiered",
        "tiers_mode": "graduated",
        "tiers[0][up_to]": "10",
        "tiers[0][unit_amount]": "5",
        "tiers[1][up_to]": "inf",
        "tiers[1][unit_amount_decimal]": "0.25",
        "expand[]": "tiers",
    }
    call("POST /v1/prices", **metered, **tiers)
    divided = {"transform_quantity[divide_by]": "1000", "transform_quantity[round]": "up"}
    price = call("POST /v1/prices", **metered, **divided, unit_amount_decimal="1.5", lookup_key="tokens")[
        "id"
    ]
    call("GET /v1/prices", **{"lookup_keys[0]": "tokens", "expand[]": "data.product"})
    call("GET /v1/prices/{price}", f"/v1/prices/{price}", **{"expand[]": "product"})
    call("POST /v1/prices/{price}", f"/v1/prices/{price}", nickname="n")
    unused = call("POST /v1/products", name="Unused")["id"]
    call("DELETE /v1/products/{id}", f"/v1/products/{unused}")
    return meter, price


def tell_subscriptions(call: Caller, customer: str, price: str) -> None:
    once = call("POST /v1/subscriptions", customer=customer, **{"items[0][price]": price})
    subscription = call(
        "POST /v1/subscriptions", customer=customer, trial_period_days="7", **{"items[0][price]": price}
    )["id"]
    one, template = f"/v1/subscriptions/{subscription}", "/v1/subscriptions/{subscription_exposed_id}"
    call("GET /v1/subscriptions", status="all", **{"expand[]": "data.customer"})
    call(f"GET {template}", one, **{"expand[]": "items.data.price.product"})
    call(f"POST {template}", one, cancel_at_period_end="true")
    licensed = call(
        "POST /v1/prices",
        currency="usd",
        unit_amount="500",
        **{"product_data[name]": "Seat", "recurring[interval]": "year"},
    )["id"]
    item = call("POST /v1/subscription_items", subscription=subscription, price=licensed, quantity="2")["id"]
    call("GET /v1/subscription_items", subscription=subscription)
    call("GET /v1/subscription_items/{item}", f"/v1/subscription_items/{item}")
    call("POST /v1/subscription_items/{item}", f"/v1/subscription_items/{item}", quantity="3")
    call("DELETE /v1/subscription_items/{item}", f"/v1/subscription_items/{item}")
    call(f"DELETE {template}", f"/v1/subscriptions/{once['id']}", invoice_now="true")


def tell_invoices(call: Caller, price: str) -> None:
    """A period ends, in which an item was removed; its invoice is held, seen and made final."""
    customer = call("POST /v1/customers", name="Bob")["id"]
    other = call("POST /v1/prices", **metered_by(call, "calls"), unit_amount_decimal="0.5")["id"]
    items = {"items[0][price]": price, "items[1][price]": other}
    made = call("POST /v1/subscriptions", customer=customer, **items)
    event = {"payload[stripe_customer_id]": customer, "payload[value]": "2.5"}
    for name, identifier in (("tokens", "a"), ("calls", "b"), ("calls", "c")):
        call("POST /v1/billing/meter_events", event_name=name, identifier=identifier, **event)
    call(
        "POST /v1/billing/meter_event_adjustments",
        event_name="calls",
        type="cancel",
        **{"cancel[identifier]": "c"},
    )
    gone = made["items"]["data"][1]["id"]
    call("DELETE /v1/subscription_items/{item}", f"/v1/subscription_items/{gone}")
    waiting = call("GET /v1/invoiceitems", customer=customer, pending="true")["data"][0]["id"]
    call("GET /v1/invoiceitems/{invoiceitem}", f"/v1/invoiceitems/{waiting}")
    call("POST /v1/invoices/create_preview", subscription=made["id"])
    call.set_clock(NOW + dt.timedelta(days=28))
    listed = call("GET /v1/invoices", subscription=made["id"], status="draft")["data"]
    one, template = f"/v1/invoices/{listed[0]['id']}", "/v1/invoices/{invoice}"
    call(f"POST {template}", one, auto_advance="false", **{"metadata[a]": "b"})
    lines = call(f"GET {template}/lines", f"{one}/lines")["data"]
    assert [line["quantity_decimal"] for line in lines] == ["2.5", "2.5"]
    assert call(f"POST {template}/finalize", f"{one}/finalize")["status"] == "paid"
    call(f"GET {template}", one, **{"expand[]": "customer"})


def metered_by(call: Caller, event_name: str) -> dict[str, str]:
    meter = call(
        "POST /v1/billing/meters",
        **{"display_name": event_name, "event_name": event_name, "default_aggregation[formula]": "sum"},
    )["id"]
    return {
        "currency": "usd",
        "product_data[name]": event_name,
        "recurring[interval]": "month",
        "recurring[usage_type]": "metered",
        "recurring[meter]": meter,
    }


class TestAnswers:
    def test_fit_the_spec_on_every_route(self, call):
        meter, price = tell_meters_and_prices(call)
        customer = call(
            "POST /v1/customers", name="Ada", email="ada@example.com", **{"address[city]": "London"}
        )["id"]
        call("GET /v1/customers", email="ada@example.com")
        call("GET /v1/customers/{customer}", f"/v1/customers/{customer}")
        call("POST /v1/customers/{customer}", f"/v1/customers/{customer}", phone="1")
        event = {"payload[stripe_customer_id]": customer, "payload[value]": "2.5"}
        call("POST /v1/billing/meter_events", event_name="tokens", **event)
        midnight = int(NOW.replace(hour=0, minute=0).timestamp())
        bounds = {"start_time": str(midnight), "end_time": str(midnight + 86_400)}
        summaries = f"/v1/billing/meters/{meter}/event_summaries"
        for grouping in ({}, {"value_grouping_window": "hour"}):
            call(
                "GET /v1/billing/meters/{id}/event_summaries",
                summaries,
                customer=customer,
                **bounds,
                **grouping,
            )
        tell_subscriptions(call, customer, price)
        call("DELETE /v1/customers/{customer}", f"/v1/customers/{customer}")
        call("GET /v1/account")
        tell_invoices(call, price)
        happened = call("GET /v1/events", limit="100", **{"created[gte]": str(midnight)})["data"]
        assert {event["type"] for event in happened} >= {
            "billing.meter.deactivated",
            "customer.deleted",
            "customer.subscription.deleted",
            "customer.subscription.updated",
            "invoice.created",
            "invoice.finalized",
            "invoice.paid",
            "invoice.updated",
            "invoiceitem.created",
            "price.created",
            "product.deleted",
        }
        for event in happened:
            call("GET /v1/events/{id}", f"/v1/events/{event['id']}")
        assert call.told == {operation.key for operation in OPERATIONS}
