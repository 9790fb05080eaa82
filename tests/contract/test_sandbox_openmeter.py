"""The sandbox's OpenMeter against OpenMeter's published spec, and where the two are known to differ.

The spec was reduced from the server's repository. Where the server's code does something else the
sandbox follows the code; each such place is a test of `TestKnownDifferences`.
"""

import asyncio
import datetime as dt
import json
import os
from pathlib import Path
from typing import Any

import httpx
import pytest
from openapi_schema_validator import OAS30Validator, oas30_format_checker
from referencing import Registry, Resource
from referencing.jsonschema import DRAFT202012
from starlette.applications import Starlette

from sync.sandbox import openmeter
from sync.sandbox.clock import Clock
from sync.sandbox.openmeter import meters
from sync.sandbox.store import Store
from sync.sandbox.world import Settings, World

DEFAULT_FOLDER = Path(__file__).parents[2].parent / "shared" / "specs"
SPEC_FILE = Path(os.environ.get("CONTRACT_SPECS", DEFAULT_FOLDER)) / "openmeter.json"
NOW = dt.datetime(2026, 3, 10, 12, 34, 56, 789000, tzinfo=dt.UTC)

METER, QUERY = "/api/v1/meters/{meterIdOrSlug}", "/api/v1/meters/{meterIdOrSlug}/query"
CUSTOMER = "/api/v1/customers/{customerIdOrKey}"
STRIPE = "/api/v1/customers/{customerIdOrKey}/stripe"
UNKNOWN_ID = "01G65Z755AFWAKHE12NY0CQ9FH"

DIFFERENT_STATUS = {("post", "/api/v1/meters", 200): "201"}
"""Answers that the spec describes under another status than the server's handler gives."""

pytestmark = [
    pytest.mark.contract,
    pytest.mark.skipif(not SPEC_FILE.exists(), reason=f"the published specs are not at {SPEC_FILE.parent}"),
]


class Contract:
    """The spec, and the operations that were compared with it so far."""

    def __init__(self, spec) -> None:
        self.spec = spec
        self.compared = set()
        resource = Resource.from_contents(spec, default_specification=DRAFT202012)
        self.registry = Registry().with_resource("spec", resource)

    def operations(self):
        return {(method, path) for path, item in self.spec["paths"].items() for method in item}

    def parameter(self, method, path, name):
        components = self.spec["components"]["parameters"]
        for parameter in self.spec["paths"][path][method]["parameters"]:
            resolved = components[parameter["$ref"].rpartition("/")[2]] if "$ref" in parameter else parameter
            if resolved["name"] == name:
                return resolved
        message = f"the spec has no parameter {name}"
        raise LookupError(message)

    def check(self, method, path, answer):
        """The answer is one that the spec describes for this operation, status and content type."""
        self.compared.add((method, path))
        described = self.spec["paths"][path][method]["responses"]
        status = DIFFERENT_STATUS.get((method, path, answer.status_code), str(answer.status_code))
        content = (described.get(status) or described["default"]).get("content", {})
        if not content:
            assert answer.content == b""
            return
        content_type = answer.headers["content-type"].partition(";")[0]
        assert content_type in content, f"{method} {path} {status}: {content_type}"
        document = answer.json() if content_type.endswith("json") else answer.text
        self.validate(document, content[content_type]["schema"])

    def validate(self, document, schema):
        absolute = json.loads(json.dumps(schema).replace('"#/', '"spec#/'))
        OAS30Validator(
            absolute, registry=self.registry, format_checker=oas30_format_checker
        ).validate(document)  # fmt: skip


@pytest.fixture(scope="module")
def contract():
    return Contract(json.loads(SPEC_FILE.read_text()))


class Api:
    """Calls the app in this process; every answer is compared with the contract."""

    def __init__(self, contract) -> None:
        self.contract = contract
        self.world = World(Clock(), Store(), Settings())
        self.world.clock.set(NOW, running=False)
        self.app = Starlette(routes=openmeter.routes(self.world))

    def send(self, method, path, **request: Any):
        async def respond():
            # As a server does, a fault is answered and not raised into the caller.
            transport = httpx.ASGITransport(self.app, raise_app_exceptions=False)
            async with httpx.AsyncClient(transport=transport, base_url="http://openmeter") as client:
                return await client.request(method, path, **request)

        return asyncio.run(respond())

    def call(self, method, path, expect, *, on="", **request: Any):
        """The checked answer of this operation, `on` filling the placeholder of its path."""
        answer = self.send(
            method, path.replace("{meterIdOrSlug}", on).replace("{customerIdOrKey}", on), **request
        )
        assert answer.status_code == expect, answer.text
        self.contract.check(method, path, answer)
        return answer


@pytest.fixture
def api(contract):
    return Api(contract)


def meter_body(**fields: Any):
    body = {"slug": "tokens", "aggregation": "SUM", "eventType": "call", "valueProperty": "$.n"}
    return (
        body | {"groupBy": {"model": "$.model"}, "description": "All tokens", "metadata": {"a": "b"}} | fields
    )


def event_body(number=1, **fields: Any):
    body = {"specversion": "1.0", "id": f"e{number}", "source": "test", "type": "call", "subject": "anna"}
    return body | {"time": "2026-03-10T10:00:00Z", "data": {"n": number, "model": "x"}} | fields


def customer_body(**fields: Any):
    address = {"country": "HU", "city": "Budapest"}
    optional = {"primaryEmail": "anna@example.org", "currency": "EUR", "billingAddress": address}
    attribution = {"usageAttribution": {"subjectKeys": ["device"]}}
    return {"name": "Anna", "key": "anna", "metadata": {"a": "b"}} | attribution | optional | fields


class TestAnswers:
    """All of it on one contract, so that the last test can tell which operations were left out."""

    def test_of_meters(self, api):
        created = api.call(
            "post", "/api/v1/meters", 200, json=meter_body(eventFrom="2026-01-01T00:00:00Z")
        ).json()
        api.call("post", "/api/v1/meters", 400, json=meter_body(slug="No"))
        api.call("post", "/api/v1/meters", 409, json=meter_body())
        api.call("get", METER, 200, on="tokens")
        api.call("get", METER, 404, on="nothing")
        api.call("put", METER, 200, on="tokens", json={"name": "Tokens"})
        api.call("put", METER, 404, on="nothing", json={})
        api.call("delete", METER, 204, on="tokens")
        api.call("delete", METER, 404, on="tokens")
        api.call("get", METER, 200, on=created["id"])
        api.call("get", "/api/v1/meters", 200, params={"includeDeleted": "true"})
        api.call("get", "/api/v1/meters", 400, params={"page": "0"})

    def test_of_events(self, api):
        api.call("post", "/api/v1/meters", 200, json=meter_body())
        api.call("post", "/api/v1/customers", 201, json=customer_body())
        events = [
            event_body(1, dataschema="urn:schema"),
            event_body(2, data=None),
            event_body(3, type="stray"),
        ]
        api.call("post", "/api/v1/events", 204, json=events)
        api.call("post", "/api/v1/events", 400, json=event_body(4, subject=""))
        listed = api.call("get", "/api/v1/events", 200).json()
        assert len(listed) == 3
        api.call("get", "/api/v1/events", 400, params={"limit": 0})
        api.call("get", "/api/v1/debug/metrics", 200)
        subjects = "/api/v1/meters/{meterIdOrSlug}/subjects"
        api.call("get", subjects, 200, on="tokens")
        api.call("get", subjects, 404, on="nothing")

    def test_of_queries(self, api):
        api.call("post", "/api/v1/meters", 200, json=meter_body())
        customer = api.call("post", "/api/v1/customers", 201, json=customer_body()).json()
        api.call("post", "/api/v1/events", 204, json=[event_body(1), event_body(10**22)])
        asked = {
            "from": "2026-03-10T00:00:00Z",
            "to": "2026-03-11T00:00:00.5+01:00",
            "windowSize": "HOUR",
            "windowTimeZone": "Asia/Kolkata",
            "groupBy": ["subject", "model"],
            "filterCustomerId": [customer["id"]],
        }
        by_params = api.call("get", QUERY, 200, on="tokens", params=asked).json()
        assert api.call("post", QUERY, 200, on="tokens", json=asked).json() == by_params
        assert by_params["data"][0]["customerId"] == customer["id"]
        api.call("get", QUERY, 200, on="tokens")
        api.call("get", QUERY, 200, on="tokens", headers={"accept": "text/csv"})
        for method in ("get", "post"):
            api.call(method, QUERY, 404, on="nothing", json={})
        api.call("post", QUERY, 400, on="tokens", json={"windowSize": "SECOND"})
        api.call("get", QUERY, 400, on="tokens", params={"groupBy": "colour"})
        api.call("get", QUERY, 404, on="tokens", params={"filterCustomerId": UNKNOWN_ID})

    def test_of_customers_and_subjects(self, api):
        created = api.call("post", "/api/v1/customers", 201, json=customer_body()).json()
        api.call("post", "/api/v1/customers", 400, json={"name": "No key"})
        api.call("post", "/api/v1/customers", 409, json=customer_body())
        api.call("put", CUSTOMER, 200, on="anna", json=customer_body(description="changed"))
        api.call("get", CUSTOMER, 200, on="anna")
        api.call("get", CUSTOMER, 404, on="bert")
        api.call("get", STRIPE, 412, on="anna")
        link = {"stripeCustomerId": "cus_1", "stripeDefaultPaymentMethodId": "pm_1"}
        api.call("put", STRIPE, 200, on="anna", json=link)
        api.call("get", STRIPE, 200, on=created["id"])
        api.call("get", STRIPE, 404, on="bert")
        api.call("delete", CUSTOMER, 204, on="anna")
        api.call("delete", CUSTOMER, 412, on=created["id"])
        api.call("get", "/api/v1/customers", 200, params={"includeDeleted": "true"})
        subjects = [{"key": "anna", "displayName": "Anna", "metadata": {"n": 1}, "stripeCustomerId": "cus_1"}]
        api.call("post", "/api/v1/subjects", 200, json=subjects)
        api.call("get", "/api/v1/subjects", 200)

    def test_of_a_refused_caller(self, api):
        api.world.settings.openmeter_token = "secret"
        api.call("get", "/api/v1/meters", 401)

    def test_cover_every_operation(self, contract):
        for part in ("meters", "events", "queries", "customers_and_subjects"):
            getattr(self, f"test_of_{part}")(Api(contract))
        assert contract.compared == contract.operations()


class TestKnownDifferences:
    """Section 11 of the fact sheet: what the spec says, and what the code, and so the sandbox, does."""

    def test_to_is_exclusive(self, api, contract):
        assert "Inclusive" in contract.parameter("get", QUERY, "to")["description"]
        api.send("post", "/api/v1/meters", json=meter_body())
        api.send("post", "/api/v1/events", json=event_body())
        answer = api.call("get", QUERY, 200, on="tokens", params={"to": "2026-03-10T10:00:00Z"})
        assert answer.json()["data"] == []

    def test_pages_of_meters_are_ignored(self, api, contract):
        assert contract.parameter("get", "/api/v1/meters", "pageSize")["schema"]["default"] == 100
        for slug in ("a", "b"):
            api.send("post", "/api/v1/meters", json=meter_body(slug=slug))
        answer = api.call("get", "/api/v1/meters", 200, params={"page": 2, "pageSize": 1})
        assert len(answer.json()) == 2

    def test_create_meter_answers_200(self, api, contract):
        assert "200" not in contract.spec["paths"]["/api/v1/meters"]["post"]["responses"]
        assert api.send("post", "/api/v1/meters", json=meter_body()).status_code == 200

    def test_customer_id_may_be_grouped_by(self, api, contract):
        assert "customer_id" not in contract.parameter("get", QUERY, "groupBy")["description"]
        api.send("post", "/api/v1/meters", json=meter_body())
        customer = api.send("post", "/api/v1/customers", json=customer_body()).json()
        params = {"groupBy": "customer_id", "filterCustomerId": customer["id"]}
        api.call("get", QUERY, 200, on="tokens", params=params)

    def test_a_problem_may_lack_its_detail(self, api, contract, monkeypatch):
        assert "detail" in contract.spec["components"]["schemas"]["UnexpectedProblemResponse"]["required"]

        def fail(*_args: Any, **_options: Any):
            message = "a fault of the server"
            raise RuntimeError(message)

        monkeypatch.setattr(meters, "list_meters", fail)
        answer = api.send("get", "/api/v1/meters")
        assert answer.status_code == 500
        problem = answer.json()
        assert "detail" not in problem
        contract.validate(
            problem | {"detail": ""}, {"$ref": "#/components/schemas/UnexpectedProblemResponse"}
        )

    def test_a_content_type_must_match_exactly(self, api, contract):
        assert (
            "application/json" in contract.spec["paths"]["/api/v1/events"]["post"]["requestBody"]["content"]
        )
        headers = {"content-type": "application/json; charset=utf-8"}
        api.call("post", "/api/v1/events", 400, content=json.dumps(event_body()), headers=headers)
