"""The sandbox's webhooks, and meter events that it takes and refuses later, as the real SDK sees them."""

import datetime as dt
import time

import httpx
import pytest
import stripe

from sync.sandbox.server import SandboxServer
from tests.integration.sandbox_fixtures import *  # noqa: F403
from tests.integration.sandbox_fixtures import NOW
from tests.integration.stub_server import Answer, running_stub
from tests.sandbox_client import SandboxControl, send_event, stripe_client, subscribe

SECRET, THIN = "whsec_1", "whsec_2"


@pytest.fixture
def told(control):
    """Tell both styles somewhere; nothing goes out by itself."""
    control.tell(
        snapshot={"url": "http://127.0.0.1:9/a", "secret": SECRET},
        thin={"url": "http://127.0.0.1:9/b", "secret": THIN},
    )
    return control


class TestSnapshots:
    def test_are_signed_as_the_sdk_expects(self, client, told):
        client.v1.customers.create({"name": "Ada"})
        (request,) = told.signed()
        event = client.construct_event(request["body"], request["signature"], SECRET)
        assert (event.type, event.data.object["name"]) == ("customer.created", "Ada")
        with pytest.raises(stripe.SignatureVerificationError):
            client.construct_event(request["body"], request["signature"], THIN)
        assert told.signed() == []

    def test_come_in_any_order_and_as_often_as_scripted(self, client, told):
        made = client.v1.customers.create({"name": "Ada"})
        client.v1.customers.update(made.id, {"name": "Countess"})
        types = [one["type"] for one in told.signed(newest_first=True, times=2)]
        assert types == ["customer.updated"] * 2 + ["customer.created"] * 2
        (first, _) = told.signed(replay=True, age_seconds=1000)
        assert first["type"] == "customer.created"
        with pytest.raises(stripe.SignatureVerificationError, match="tolerance"):
            client.construct_event(first["body"], first["signature"], SECRET)

    def test_tell_only_what_happens_from_then_on_and_to_whom_it_is_asked_for(self, client, control):
        client.v1.customers.create({"name": "Ada"})
        control.tell(thin={"url": "http://127.0.0.1:9/b", "secret": THIN})
        client.v1.customers.create({"name": "Bob"})
        assert control.signed() == []

    def test_go_out_by_themselves_and_again_where_nobody_takes_them(self, client, control):
        with running_stub() as stub:
            stub.will(Answer("", status=500), Answer({}))
            control.tell(snapshot={"url": stub.url, "secret": SECRET}, automatic=True)
            client.v1.customers.create({"name": "Ada"})
            deadline = time.monotonic() + 10
            while len(control.told()["told"]) < 2 and time.monotonic() < deadline:
                time.sleep(0.05)
            assert [one["status"] for one in control.told()["told"]] == [500, 200]
            first, second = stub.asked
            assert first.body == second.body
            assert client.construct_event(second.body, second.headers["stripe-signature"], SECRET)

    @pytest.mark.parametrize(
        "given", [{"other": 1}, {"snapshot": {"url": "x"}}, {"thin": [1]}, {"delay_seconds": "2"}]
    )
    def test_are_refused_where_nobody_can_be_told(self, control, sandbox, given):
        answer = httpx.put(f"{sandbox.base_url}/sandbox/webhooks", json=given)
        assert (answer.status_code, "error" in answer.json()) == (400, True)


class TestRefusedLater:
    def test_are_taken_and_count_for_nothing(self, client, told):
        who = subscribe(client)
        told.refuse_later(code="timestamp_too_far_in_past", match=who.customer)
        assert send_event(client, who, "5", identifier="one").identifier == "one"
        send_event(client, who, "2", identifier="two")
        assert told.totals() == {(who.customer, "tokens"): "2"}
        refused, counted = told.landings()
        assert refused["why"] == "it was taken, and refused later: timestamp_too_far_in_past"
        assert counted["why"] == "its period is still open"
        with pytest.raises(stripe.InvalidRequestError, match="already exists"):
            send_event(client, who, "5", identifier="one")

    def test_are_reported_by_a_thin_event_that_has_to_be_asked_for(self, client, told):
        who = subscribe(client)
        told.refuse_later(times=3, samples=2)
        for name in ("one", "two", "three"):
            send_event(client, who, identifier=name)
        request = told.signed()[-1]
        notification = client.parse_event_notification(request["body"], request["signature"], THIN)
        assert notification.related_object.id == who.meter
        assert "data" not in request["body"]
        reason = notification.fetch_event().data.reason
        assert (reason.error_count, reason.error_types[0].code) == (3, "meter_event_customer_not_found")
        named = [one.request.identifier for one in reason.error_types[0].sample_errors]
        assert named == ["one", "two"]

    def test_without_a_meter_have_an_event_of_their_own(self, client, told):
        who = subscribe(client)
        told.refuse_later(code="no_meter", naming="request")
        send_event(client, who, identifier="one", key="k1")
        request = told.signed()[-1]
        notification = client.parse_event_notification(request["body"], request["signature"], THIN)
        assert notification.type == "v1.billing.meter.no_meter_found"
        (sample,) = notification.fetch_event().data.reason.error_types[0].sample_errors
        assert sample.to_dict()["request"]["idempotency_key"] == "k1"

    def test_are_listed_newest_first_by_type_and_time(self, client, told, sandbox):
        who = subscribe(client)
        for number in range(3):
            told.refuse_later(code="no_meter" if number == 1 else "x")
            send_event(client, who, identifier=f"e{number}")
            told.set_clock(NOW + dt.timedelta(minutes=number + 1))
            list(client.v2.core.events.list())
        types = ["v1.billing.meter.error_report_triggered"]
        found = client.v2.core.events.list({"types": types, "limit": 1})
        assert [one.created[14:16] for one in found.auto_paging_iter()] == ["33", "31"]
        since = (NOW + dt.timedelta(minutes=3)).isoformat()
        assert len(client.v2.core.events.list({"types": types, "created": {"gte": since}}).data) == 1

    def test_end_with_their_script(self, client, told):
        told.refuse_later(times=9)
        told.refuse_nothing_later()
        who = subscribe(client)
        send_event(client, who, "5")
        assert told.totals() == {(who.customer, "tokens"): "5"}

    def test_are_kept_over_a_restart(self, tmp_path):
        state = tmp_path / "state.sqlite3"
        with (
            SandboxServer(state=state) as server,
            stripe_client(server.stripe_url) as client,
            SandboxControl(server.base_url) as control,
        ):
            who = subscribe(client)
            control.refuse_later()
            send_event(client, who)
        with SandboxServer(state=state) as server, SandboxControl(server.base_url) as control:
            assert control.totals() == {}
            assert "refused later" in control.landings()[0]["why"]
            control.tell(thin={"url": "http://127.0.0.1:9/b", "secret": THIN})
            assert len(control.signed()) == 1

    @pytest.mark.parametrize("given", [{"times": 0}, {"naming": "x"}, {"other": 1}, {"code": 7}])
    def test_have_a_script_that_makes_sense(self, sandbox, given):
        answer = httpx.post(f"{sandbox.base_url}/sandbox/meter_events/refusals", json=given)
        assert (answer.status_code, "error" in answer.json()) == (400, True)
