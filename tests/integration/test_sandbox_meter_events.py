"""Meter events in the sandbox, sent by the real SDK."""

import datetime as dt
import threading
import time
from concurrent.futures import ThreadPoolExecutor

import pytest
import stripe

from tests.integration.sandbox_fixtures import *  # noqa: F403 - fixtures are found by name
from tests.integration.sandbox_fixtures import NOW
from tests.sandbox_client import Subscribed, create_price, send_event, subscribe

pytestmark = pytest.mark.usefixtures("sandbox")

EVENTS = "POST /v1/billing/meter_events"


class TestMeterEvents:
    def test_are_counted_exactly(self, client, control):
        to = subscribe(client)
        for value in ("0.1", "0.2", "-0.05", "999999999999999"):
            send_event(client, to, value)
        assert control.totals(meter=to.meter) == {(to.customer, "tokens"): "999999999999999.25"}

    def test_answer_with_what_was_taken(self, client):
        to = subscribe(client)
        event = send_event(client, to, "7", identifier="a", timestamp=int(NOW.timestamp()) - 60)
        assert (event.identifier, event.timestamp) == ("a", int(NOW.timestamp()) - 60)
        assert event.payload.to_dict() == {"stripe_customer_id": to.customer, "value": "7"}
        assert send_event(client, to).identifier

    def test_are_refused_a_second_time_within_a_day(self, client, control):
        to = subscribe(client)
        send_event(client, to, identifier="a")
        control.set_clock(NOW + dt.timedelta(hours=24, seconds=-1))
        with pytest.raises(stripe.InvalidRequestError) as refusal:
            send_event(client, to, "2", identifier="a")
        assert refusal.value.http_status == 400
        assert refusal.value.user_message == "An event already exists with identifier a."
        assert refusal.value.code is None
        assert refusal.value.headers["stripe-should-retry"] == "false"
        control.set_clock(NOW + dt.timedelta(hours=24))
        send_event(client, to, "2", identifier="a")
        assert control.totals()[to.customer, "tokens"] == "3"

    @pytest.mark.parametrize(
        ("value", "code"),
        [
            ("1e3", "meter_event_invalid_value"),
            ("ten", "meter_event_invalid_value"),
            ("NaN", "meter_event_invalid_value"),
            ("", "meter_event_invalid_value"),
            ("1234567890123456", "meter_event_value_too_many_digits"),
            ("-1.234567890123456", "meter_event_value_too_many_digits"),
        ],
    )
    def test_refuse_what_is_no_plain_number(self, client, control, value, code):
        to = subscribe(client)
        with pytest.raises(stripe.InvalidRequestError) as refusal:
            send_event(client, to, value)
        assert refusal.value.code == code
        assert control.meter_events() == []

    def test_do_not_count_leading_zeros_as_digits(self, client, control):
        to = subscribe(client)
        send_event(client, to, "0.000000000000123456789012345")
        assert control.totals()[to.customer, "tokens"] == "0.000000000000123456789012345"

    @pytest.mark.parametrize(
        ("offset", "code"),
        [
            (dt.timedelta(days=-35, seconds=-1), "timestamp_too_far_in_past"),
            (dt.timedelta(minutes=5, seconds=1), "timestamp_in_future"),
            (dt.timedelta(days=-35), None),
            (dt.timedelta(minutes=5), None),
        ],
    )
    def test_must_be_recent(self, client, offset, code):
        to = subscribe(client)
        timestamp = int((NOW + offset).timestamp())
        if code is None:
            assert send_event(client, to, timestamp=timestamp).timestamp == timestamp
            return
        with pytest.raises(stripe.InvalidRequestError) as refusal:
            send_event(client, to, timestamp=timestamp)
        assert refusal.value.code == code

    def test_need_a_meter_a_customer_and_a_value(self, client):
        to = subscribe(client)
        create = client.v1.billing.meter_events.create
        with pytest.raises(stripe.InvalidRequestError, match="No active meter found"):
            create({"event_name": "other", "payload": {"stripe_customer_id": to.customer, "value": "1"}})
        with pytest.raises(stripe.InvalidRequestError, match="No such customer: 'cus_gone'"):
            create({"event_name": "tokens", "payload": {"stripe_customer_id": "cus_gone", "value": "1"}})
        with pytest.raises(stripe.InvalidRequestError, match="stripe_customer_id"):
            create({"event_name": "tokens", "payload": {"value": "1"}})
        with pytest.raises(stripe.InvalidRequestError, match="value"):
            create({"event_name": "tokens", "payload": {"stripe_customer_id": to.customer}})

    def test_refuse_a_deleted_customer(self, client):
        to = subscribe(client)
        client.v1.customers.delete(to.customer)
        with pytest.raises(stripe.InvalidRequestError, match="No such customer"):
            send_event(client, to)

    def test_read_the_keys_that_the_meter_names(self, client, control):
        keys = {
            "customer_mapping": {"type": "by_id", "event_payload_key": "who"},
            "value_settings": {"event_payload_key": "much"},
        }
        to = subscribe(client, create_price(client, **keys))
        client.v1.billing.meter_events.create(
            {"event_name": "tokens", "payload": {"who": to.customer, "much": "4"}}
        )
        assert control.totals()[to.customer, "tokens"] == "4"

    def test_refuse_an_identifier_over_100_characters(self, client):
        to = subscribe(client)
        send_event(client, to, identifier="x" * 100)
        with pytest.raises(stripe.InvalidRequestError) as refusal:
            send_event(client, to, identifier="x" * 101)
        assert refusal.value.param == "identifier"


class TestOneCallAtATime:
    def _race(self, client, first: Subscribed, second: Subscribed) -> list[str]:
        def attempt(to: Subscribed) -> str:
            try:
                send_event(client, to)
            except stripe.APIError as error:
                return f"{error.http_status} {error.error.code}"
            return "taken"

        with ThreadPoolExecutor(2) as pool:
            return sorted(pool.map(attempt, (first, second)))

    def test_refuses_the_second_of_a_customer_and_meter(self, client, control):
        control.settings(meter_event_latency_ms=300)
        to = subscribe(client)
        assert self._race(client, to, to) == ["409 too_many_concurrent_requests", "taken"]
        assert len(control.meter_events()) == 1

    def test_holds_the_lock_during_a_scripted_delay(self, client, control):
        to = subscribe(client)
        control.fault(EVENTS, delay_ms=300, times=2)
        assert self._race(client, to, to) == ["409 too_many_concurrent_requests", "taken"]

    def test_lets_different_customers_through(self, client, control):
        control.settings(meter_event_latency_ms=100)
        price = create_price(client)
        assert self._race(client, subscribe(client, price), subscribe(client, price)) == ["taken", "taken"]

    def test_can_be_switched_off(self, client, control):
        control.settings(meter_event_latency_ms=100, one_call_per_customer_and_meter=False)
        to = subscribe(client)
        assert self._race(client, to, to) == ["taken", "taken"]


class TestRateLimit:
    def test_answers_429_with_its_reason(self, client, control):
        to = subscribe(client)
        control.settings(stripe_rate_limit=3)
        for _ in range(3):
            send_event(client, to)
        with pytest.raises(stripe.RateLimitError) as refusal:
            send_event(client, to, identifier="late", key="k")
        assert refusal.value.http_status == 429
        assert refusal.value.headers["stripe-rate-limited-reason"] == "endpoint-rate"
        time.sleep(1)
        send_event(client, to, identifier="late", key="k")
        assert len(control.meter_events()) == 4


class TestIdempotency:
    def test_replays_the_first_answer(self, client, control):
        to = subscribe(client)
        first = send_event(client, to, key="k")
        again = send_event(client, to, key="k")
        assert again.identifier == first.identifier
        assert again.last_response.headers["idempotent-replayed"] == "true"
        assert again.last_response.headers["original-request"] == first.last_response.request_id
        assert again.last_response.request_id != first.last_response.request_id
        assert control.totals()[to.customer, "tokens"] == "1"

    def test_refuses_other_parameters_under_the_same_key(self, client):
        to = subscribe(client)
        send_event(client, to, key="k")
        with pytest.raises(stripe.IdempotencyError) as refusal:
            send_event(client, to, "2", key="k")
        assert refusal.value.http_status == 400

    def test_refuses_a_key_over_255_characters(self, client):
        to = subscribe(client)
        send_event(client, to, key="k" * 255)
        with pytest.raises(stripe.IdempotencyError):
            send_event(client, to, key="k" * 256)

    def test_forgets_after_a_day(self, client, control):
        to = subscribe(client)
        send_event(client, to, key="k")
        control.set_clock(NOW + dt.timedelta(hours=24))
        send_event(client, to, key="k")
        assert control.totals()[to.customer, "tokens"] == "2"

    def test_refuses_a_key_in_use(self, client, control):
        to = subscribe(client)
        control.fault(EVENTS, delay_ms=400)
        with ThreadPoolExecutor(1) as pool:
            first = pool.submit(send_event, client, to, identifier="a", key="k")
            time.sleep(0.15)
            with pytest.raises(stripe.APIError) as refusal:
                send_event(client, to, identifier="a", key="k")
            assert (refusal.value.http_status, refusal.value.error.code) == (409, "idempotency_key_in_use")
            first.result()
        assert send_event(client, to, identifier="a", key="k").identifier == "a"

    def test_replays_a_server_error_but_takes_the_event_under_a_new_key(self, client, control):
        to = subscribe(client)
        control.fault(EVENTS, status=500)
        for _ in range(2):
            with pytest.raises(stripe.APIError) as failure:
                send_event(client, to, identifier="a", key="k")
            assert failure.value.http_status == 500
        assert failure.value.headers["idempotent-replayed"] == "true"
        send_event(client, to, identifier="a", key="k2")
        assert control.totals()[to.customer, "tokens"] == "1"

    def test_replays_an_error_of_execution_but_not_one_of_the_parameters(self, client):
        to = subscribe(client)
        client.v1.billing.meters.deactivate(to.meter)
        with pytest.raises(stripe.InvalidRequestError):
            send_event(client, to, key="k")
        client.v1.billing.meters.reactivate(to.meter)
        with pytest.raises(stripe.InvalidRequestError, match="No active meter") as refusal:
            send_event(client, to, key="k")
        assert refusal.value.headers["idempotent-replayed"] == "true"
        with pytest.raises(stripe.InvalidRequestError):
            send_event(client, to, timestamp="soon", key="k2")
        with pytest.raises(stripe.InvalidRequestError) as refusal:
            send_event(client, to, timestamp="soon", key="k2")
        assert "idempotent-replayed" not in refusal.value.headers


class TestParallelClients:
    def test_lose_and_double_nothing(self, client, control):
        price = create_price(client)
        customers = [subscribe(client, price) for _ in range(8)]
        barrier = threading.Barrier(8)

        def report(to: Subscribed) -> None:
            barrier.wait()
            for number in range(25):
                send_event(client, to, "0.1", identifier=f"{to.customer}-{number}")

        with ThreadPoolExecutor(8) as pool:
            list(pool.map(report, customers))
        assert set(control.totals().values()) == {"2.5"}
