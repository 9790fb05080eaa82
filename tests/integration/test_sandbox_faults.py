"""Scripted faults and cut connections in the sandbox."""

import socket
import time

import httpx
import pytest
import stripe

from tests.integration.sandbox_fixtures import *  # noqa: F403 - fixtures are found by name
from tests.sandbox_client import TEST_KEY, SandboxControl, send_event, subscribe

EVENTS = "POST /v1/billing/meter_events"


def identifiers(control: SandboxControl) -> list[str]:
    return [row["identifier"] for row in control.meter_events()]


class TestCuts:
    def test_before_leaves_nothing_behind(self, client, control):
        to = subscribe(client)
        control.fault(EVENTS, cut="before")
        with pytest.raises(stripe.APIConnectionError):
            send_event(client, to, identifier="a", key="k")
        assert identifiers(control) == []
        send_event(client, to, identifier="a", key="k")
        assert identifiers(control) == ["a"]

    def test_after_leaves_the_event_behind(self, client, control):
        to = subscribe(client)
        control.fault(EVENTS, cut="after")
        with pytest.raises(stripe.APIConnectionError):
            send_event(client, to, identifier="a", key="k")
        assert identifiers(control) == ["a"]
        assert (
            send_event(client, to, identifier="a", key="k").last_response.headers["idempotent-replayed"]
            == "true"
        )
        with pytest.raises(stripe.InvalidRequestError, match="already exists"):
            send_event(client, to, identifier="a", key="k2")

    @pytest.mark.parametrize("cut", ["before", "after"])
    def test_drop_the_connection_without_a_byte(self, sandbox, control, cut):
        control.fault("GET /v1/account", cut=cut)
        host, port = sandbox.base_url.removeprefix("http://").split(":")
        with socket.create_connection((host, int(port)), timeout=5) as connection:
            request = (
                f"GET /stripe/v1/account HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {TEST_KEY}\r\n\r\n"
            )
            connection.sendall(request.encode())
            assert connection.recv(1000) == b""
        assert control.requests()[-1]["status"] is None


class TestFaults:
    def test_answer_so_many_times_in_order(self, client, control):
        to = subscribe(client)
        control.fault(EVENTS, status=503, times=2)
        control.fault(EVENTS, status=429)
        statuses = []
        for number in range(4):
            try:
                send_event(client, to, identifier=str(number))
            except stripe.StripeError as error:
                statuses.append(error.http_status)
        assert statuses == [503, 503, 429]
        assert control.faults() == []
        assert identifiers(control) == ["3"]

    @pytest.mark.parametrize(
        ("status", "kind", "code"),
        [
            (400, stripe.InvalidRequestError, None),
            (401, stripe.AuthenticationError, None),
            (403, stripe.PermissionError, "more_permissions_required_for_application"),
            (404, stripe.InvalidRequestError, "resource_missing"),
            (409, stripe.APIError, "too_many_concurrent_requests"),
            (429, stripe.RateLimitError, "rate_limit"),
            (500, stripe.APIError, None),
            (503, stripe.APIError, None),
        ],
    )
    def test_look_like_stripes_own_errors(self, client, control, status, kind, code):
        control.fault("stripe", status=status)
        with pytest.raises(kind) as failure:
            client.v1.customers.list()
        assert failure.value.http_status == status
        assert (failure.value.error.code if "code" in failure.value.error else None) == code
        if status == 429:
            assert failure.value.headers["stripe-rate-limited-reason"] == "global-rate"

    def test_can_store_and_still_answer_with_an_error(self, client, control):
        to = subscribe(client)
        control.fault(EVENTS, status=500, store=True)
        with pytest.raises(stripe.APIError):
            send_event(client, to, identifier="a", key="k")
        assert identifiers(control) == ["a"]
        with pytest.raises(stripe.APIError) as again:
            send_event(client, to, identifier="a", key="k")
        assert again.value.headers["idempotent-replayed"] == "true"

    def test_concern_the_calls_that_match(self, client, control):
        first, second = subscribe(client), None
        price = client.v1.prices.retrieve(first.price)
        second = subscribe(client, price)
        control.fault(EVENTS, status=400, match=second.customer)
        send_event(client, first, identifier="a")
        with pytest.raises(stripe.InvalidRequestError):
            send_event(client, second, identifier="b")
        control.fault("GET /v1/subscriptions", status=500, match="status=all")
        client.v1.subscriptions.list()
        with pytest.raises(stripe.APIError):
            client.v1.subscriptions.list({"status": "all"})

    def test_name_routes_by_any_placeholder(self, client, control):
        to = subscribe(client)
        control.fault("GET /v1/subscriptions/{id}", status=500)
        with pytest.raises(stripe.APIError):
            client.v1.subscriptions.retrieve(to.subscription)
        client.v1.subscriptions.retrieve(to.subscription)

    def test_take_bodies_headers_and_delays(self, sandbox, control):
        headers = {"Authorization": f"Bearer {TEST_KEY}"}
        control.fault("stripe", status=502, body="<h1>Bad gateway</h1>", headers={"Retry-After": "7"})
        control.fault("stripe", status=400, body={"error": {"message": "own"}})
        control.fault("stripe", delay_ms=200)
        url = f"{sandbox.stripe_url}/v1/account"
        page = httpx.get(url, headers=headers)
        assert (page.status_code, page.headers["content-type"]) == (502, "text/html")
        assert (page.text, page.headers["retry-after"]) == ("<h1>Bad gateway</h1>", "7")
        assert httpx.get(url, headers=headers).json() == {"error": {"message": "own"}}
        began = time.monotonic()
        assert httpx.get(url, headers=headers).status_code == 200
        assert time.monotonic() - began >= 0.2

    def test_reach_openmeter(self, sandbox, control):
        control.fault("GET /api/v1/meters/{id}/query", status=500)
        control.fault("openmeter", status=503)
        query = f"{sandbox.openmeter_url}/api/v1/meters/tokens/query"
        first = httpx.get(query)
        assert (first.status_code, first.headers["content-type"]) == (500, "application/problem+json")
        assert "detail" not in first.json()
        assert httpx.get(f"{sandbox.openmeter_url}/api/v1/meters").status_code == 503
        assert httpx.get(query).status_code == 404

    @pytest.mark.parametrize(
        "script",
        [
            {},
            {"route": "stripe", "cut": "now"},
            {"route": "stripe", "times": 0},
            {"route": "stripe", "x": 1},
            {"route": 1},
        ],
    )
    def test_are_refused_when_they_make_no_sense(self, sandbox, script):
        answer = httpx.post(f"{sandbox.base_url}/sandbox/faults", json=script)
        assert answer.status_code == 400
        assert answer.json()["error"]

    def test_can_be_cleared(self, client, control):
        control.fault("stripe", status=500)
        control.clear_faults()
        client.v1.customers.list()
