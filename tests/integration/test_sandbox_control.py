"""The sandbox's control: the clock, the log, objects, the page, its memory and its process."""

import datetime as dt
import os
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

import httpx
import pytest
import stripe

from sync.sandbox import server as sandbox_server
from sync.sandbox.clock import Clock
from sync.sandbox.server import PortTaken, SandboxServer
from sync.sandbox.store import Store
from tests.integration.sandbox_fixtures import *  # noqa: F403 - fixtures are found by name
from tests.integration.sandbox_fixtures import NOW
from tests.sandbox_client import SandboxControl, send_event, stripe_client, subscribe

EVENTS = "POST /v1/billing/meter_events"
RUN_SERVER = """
import pathlib, sys
from sync.sandbox.server import serve
serve(port=int(sys.argv[1]), state=pathlib.Path(sys.argv[2]))
"""


class TestRequestLog:
    def test_tells_route_key_and_status(self, client, control):
        to = subscribe(client)
        control.clear_requests()
        send_event(client, to, identifier="a", key="k")
        client.v1.subscriptions.retrieve(to.subscription)
        first, second = control.requests()
        assert first == {
            "method": "POST",
            "path": "/v1/billing/meter_events",
            "route": EVENTS,
            "idempotency_key": "k",
            "status": 200,
            "at": NOW.isoformat(),
        }
        assert second["path"] == f"/v1/subscriptions/{to.subscription}"
        assert control.requests("GET /v1/subscriptions/{id}") == [second]
        assert control.requests("GET /v1/prices") == []


class TestControl:
    def test_sets_the_clock(self, control):
        assert control.set_clock(NOW) == {"now": NOW.isoformat(), "mode": "frozen"}
        assert control.set_clock(NOW, running=True)["mode"] == "running"
        assert dt.datetime.fromisoformat(control.clock()["now"]) > NOW
        assert control.set_clock(None)["mode"] == "real"

    def test_refuses_a_naive_time(self, sandbox):
        for text in ("2026-01-31T10:30:00", "noon"):
            answer = httpx.put(f"{sandbox.base_url}/sandbox/clock", json={"now": text, "running": False})
            assert answer.status_code == 400

    @pytest.mark.parametrize(
        "wrong", [{"speed": 1}, {"summary_lag_seconds": "5"}, {"summary_lag_seconds": True}]
    )
    def test_refuses_settings_that_cannot_be(self, sandbox, wrong):
        answer = httpx.patch(f"{sandbox.base_url}/sandbox/settings", json=wrong)
        assert answer.status_code == 400

    def test_changes_stripe_objects_beyond_the_api(self, client, control):
        to = subscribe(client)
        control.patch_stripe(to.subscription, status="past_due")
        assert client.v1.subscriptions.retrieve(to.subscription).status == "past_due"
        control.patch_stripe(to.meter, default_aggregation={"formula": "count"}, event_name="renamed")
        meter = client.v1.billing.meters.retrieve(to.meter)
        assert (meter.default_aggregation.formula, meter.event_name) == ("count", "renamed")
        with pytest.raises(stripe.InvalidRequestError, match="No active meter"):
            send_event(client, to, identifier="a")
        control.delete_stripe(to.subscription)
        with pytest.raises(stripe.InvalidRequestError, match="No such subscription"):
            client.v1.subscriptions.retrieve(to.subscription)

    def test_resets_to_nothing(self, client, control):
        to = subscribe(client)
        send_event(client, to, identifier="a", key="k")
        control.settings(summary_lag_seconds=5)
        control.reset()
        assert (control.meter_events(), control.totals(), control.requests()) == ([], {}, [])
        assert control.settings()["summary_lag_seconds"] == 0
        assert client.v1.customers.list().data == []
        again = subscribe(client)
        assert send_event(client, again, identifier="a", key="k").identifier == "a"


class TestPage:
    def test_says_what_to_do_while_it_is_empty(self, sandbox):
        page = httpx.get(sandbox.base_url)
        assert page.headers["content-type"].startswith("text/html")
        assert "Nothing was reported to Stripe yet" in page.text

    def test_shows_usage_and_escapes_names(self, client, sandbox):
        to = subscribe(client)
        client.v1.customers.update(to.customer, {"name": "<script>alert(1)</script>"})
        send_event(client, to, identifier="a")
        page = httpx.get(sandbox.base_url).text
        assert "<script>" not in page
        assert "&lt;script&gt;" in page
        assert to.customer in page

    def test_shows_what_openmeter_measured_until_the_reset(self, sandbox, control):
        api = f"{sandbox.openmeter_url}/api/v1"
        meter = {
            "slug": "tokens_total",
            "eventType": "prompt",
            "aggregation": "SUM",
            "valueProperty": "$.tokens",
        }
        event = {
            "specversion": "1.0",
            "id": "1",
            "source": "test",
            "type": "prompt",
            "subject": "northwind",
            "time": NOW.isoformat(),
            "data": {"tokens": 5},
        }
        assert httpx.post(f"{api}/meters", json=meter).is_success
        headers = {"content-type": "application/cloudevents+json"}
        assert httpx.post(f"{api}/events", json=event, headers=headers).is_success
        page = httpx.get(sandbox.base_url).text
        assert "northwind" in page
        assert "tokens_total" in page
        control.reset()
        assert "OpenMeter has measured nothing yet" in httpx.get(sandbox.base_url).text


class TestRestart:
    def test_keeps_everything(self, tmp_path):
        state = tmp_path / "var" / "sandbox.sqlite3"
        with SandboxServer(state=state) as first, SandboxControl(first.base_url) as control:
            control.set_clock(NOW)
            control.settings(summary_lag_seconds=3)
            with stripe_client(first.stripe_url) as client:
                to = subscribe(client)
                send_event(client, to, identifier="a", key="k")
        with SandboxServer(state=state) as second, SandboxControl(second.base_url) as control:
            assert control.clock() == {"now": NOW.isoformat(), "mode": "frozen"}
            assert control.settings()["summary_lag_seconds"] == 3
            assert control.totals() == {(to.customer, "tokens"): "1"}
            with stripe_client(second.stripe_url) as client:
                assert (
                    send_event(client, to, identifier="a", key="k").last_response.headers[
                        "idempotent-replayed"
                    ]
                    == "true"
                )
                with pytest.raises(stripe.InvalidRequestError, match="already exists"):
                    send_event(client, to, identifier="a", key="k2")
                subscription = client.v1.subscriptions.retrieve(to.subscription)
                assert [item.id for item in subscription["items"].data] == [to.item]

    def test_lets_a_running_clock_run_on(self, tmp_path):
        state = tmp_path / "sandbox.sqlite3"
        with SandboxServer(state=state) as first, SandboxControl(first.base_url) as control:
            control.set_clock(NOW, running=True)
            seen = dt.datetime.fromisoformat(control.clock()["now"])
        with SandboxServer(state=state) as second, SandboxControl(second.base_url) as control:
            later = dt.datetime.fromisoformat(control.clock()["now"])
            assert seen < later < seen + dt.timedelta(minutes=1)


class TestStore:
    def test_keeps_the_order_of_first_insertion(self, tmp_path: Path):
        store = Store(tmp_path / "store.sqlite3")
        store.put_many("letter", [("b", {"n": 1}), ("a", {"n": 2})])
        store.put("letter", "b", {"n": 3})
        store.put("letter", "c", {"n": 4})
        store.delete("letter", "a")
        store.close()
        again = Store(tmp_path / "store.sqlite3")
        assert again.all("letter") == [{"n": 3}, {"n": 4}]
        assert (again.get("letter", "b"), again.get("letter", "a")) == ({"n": 3}, None)
        again.clear()
        assert again.all("letter") == []
        again.close()

    def test_holds_nothing_that_is_not_on_disk(self, tmp_path: Path):
        store = Store(tmp_path / "store.sqlite3")
        with pytest.raises(TypeError):
            store.put_many("letter", [("a", {"n": 1}), ("b", {"n": object()})])
        assert store.all("letter") == []
        store.close()


class TestClock:
    def test_takes_aware_times_only(self):
        with pytest.raises(ValueError, match="aware"):
            Clock().set(NOW.replace(tzinfo=None), running=False)

    def test_answers_in_utc(self):
        clock = Clock()
        clock.set(NOW.astimezone(dt.timezone(dt.timedelta(hours=5))), running=False)
        assert clock.now().isoformat() == NOW.isoformat()
        clock.real()
        assert clock.mode == "real"


class TestServe:
    def test_says_that_the_port_is_taken(self, sandbox):
        port = int(sandbox.base_url.rpartition(":")[2])
        with pytest.raises(PortTaken, match=f"Port {port} on 127.0.0.1 is taken"):
            sandbox_server.serve(port=port, state=None)

    @pytest.mark.crash
    @pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
    def test_stops_without_a_word(self, tmp_path, number):
        process, _ = self._start(tmp_path)
        process.send_signal(number)
        _, errors = process.communicate(timeout=10)
        assert (process.returncode, errors) == (0, b"")

    @pytest.mark.crash
    def test_gives_up_a_call_that_is_held_up(self, tmp_path):
        process, url = self._start(tmp_path)
        with SandboxControl(url) as control:
            control.fault("stripe", delay_ms=60_000)
        with pytest.raises(httpx.ReadTimeout):
            httpx.get(f"{url}/stripe/v1/account", timeout=0.2)
        with socket.create_connection(("127.0.0.1", int(url.rpartition(":")[2]))) as held:
            with SandboxControl(url) as control:
                control.fault("stripe", delay_ms=60_000)
            held.sendall(b"GET /stripe/v1/account HTTP/1.1\r\nHost: x\r\n\r\n")
            time.sleep(0.2)
            process.send_signal(signal.SIGTERM)
            _, errors = process.communicate(timeout=10)
        assert process.returncode == 0
        assert b"Traceback" not in errors

    @pytest.mark.crash
    def test_keeps_what_was_taken_when_it_is_killed(self, tmp_path):
        process, url = self._start(tmp_path)
        with stripe_client(f"{url}/stripe") as client:
            to = subscribe(client)
            send_event(client, to, identifier="a")
            process.kill()
            process.communicate(timeout=10)
        with (
            SandboxServer(state=tmp_path / "state.sqlite3") as again,
            SandboxControl(again.base_url) as control,
        ):
            assert control.totals() == {(to.customer, "tokens"): "1"}

    def _start(self, folder: Path) -> tuple["subprocess.Popen[bytes]", str]:
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            port = free.getsockname()[1]
        process = subprocess.Popen(
            [sys.executable, "-c", RUN_SERVER, str(port), str(folder / "state.sqlite3")],
            cwd=Path(__file__).parents[2],
            stderr=subprocess.PIPE,
            env=os.environ | {"PYTHONUNBUFFERED": "1"},
        )
        url = f"http://127.0.0.1:{port}"
        for _ in range(100):
            try:
                httpx.get(url)
            except httpx.TransportError:
                time.sleep(0.1)
            else:
                return process, url
        process.kill()
        pytest.fail("the sandbox did not start")
