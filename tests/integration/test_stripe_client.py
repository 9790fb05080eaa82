"""The Stripe gateway over real HTTP: against the sandbox, and against peers that misbehave."""

from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

import pytest

from sync.clients.pacing import Pacer
from sync.clients.stripe import API_VERSION, CONNECT_SECONDS, READ_SECONDS, StripeGateway
from sync.clients.stripe_calls import READS_PER_SECOND
from sync.ports import DuplicateIdentifier, MeterEvent, NotFound, OutcomeUnknown, SyncError, TemporaryFailure
from tests.integration.stub_server import HTML, Answer, running_stub, unused_url

KEY = "sk_test_northwind_wxyz"
EVENT = MeterEvent(
    event_name="tokens",
    customer_key="stripe_customer_id",
    customer_id="cus_1",
    value_key="value",
    value="1.5",
    identifier="om-1",
    timestamp=datetime(2026, 3, 10, 10, 59, 59, tzinfo=UTC),
    idempotency_key="om-1-0",
)
RECEIVED = {"object": "billing.meter_event", "identifier": "om-1", "event_name": "tokens", "payload": {}}
METER = {"id": "mtr_1", "object": "billing.meter", "event_name": "tokens"}


@pytest.fixture
def peer():
    with running_stub() as stub:
        yield stub


def gateway(url, **options: Any):
    return StripeGateway(key=KEY, base=url, livemode=False, retry_pause_seconds=0.001, **options)


def listed(*rows: Any, more=False):
    return {"object": "list", "data": list(rows), "has_more": more, "url": "/v1/x"}


def missing(status=404):
    return Answer({"error": {"type": "invalid_request_error", "code": "resource_missing"}}, status=status)


def busy(status=503):
    return Answer({"error": {"type": "api_error", "message": "busy"}}, status=status)


class TestSendMeterEvent:
    def test_sends_what_the_ledger_decided(self, peer):
        peer.will(RECEIVED)

        assert gateway(peer.url).send_meter_event(EVENT) == "req_stub"
        (asked,) = peer.asked
        assert (asked.method, asked.path) == ("POST", "/v1/billing/meter_events")
        assert asked.headers["idempotency-key"] == "om-1-0"
        assert asked.headers["stripe-version"] == API_VERSION
        assert "x-stripe-client-telemetry" not in asked.headers
        assert sorted(asked.body.split("&")) == [
            "event_name=tokens",
            "identifier=om-1",
            "payload[stripe_customer_id]=cus_1",
            "payload[value]=1.5",
            "timestamp=1773140399",
        ]

    @pytest.mark.parametrize("status", [409, 429, 500, 503])
    def test_sends_once_whatever_comes_back(self, peer, status):
        peer.will(busy(status))

        with pytest.raises(TemporaryFailure):
            gateway(peer.url).send_meter_event(EVENT)
        assert len(peer.asked) == 1

    @pytest.mark.parametrize(
        "answer",
        [
            Answer(cut=True),
            Answer(RECEIVED, delay_seconds=1),
            Answer(HTML, kind="text/html"),
            Answer([1]),
            Answer("5"),
            Answer(RECEIVED | {"identifier": "another"}),
        ],
        ids=["cut", "late", "HTML", "list", "number", "another event"],
    )
    def test_does_not_know_the_outcome_without_stripes_own_answer(self, peer, answer):
        peer.will(answer)

        with pytest.raises(OutcomeUnknown):
            gateway(peer.url, timeout=(1, 0.2)).send_meter_event(EVENT)
        assert len(peer.asked) == 1

    def test_knows_that_a_refused_connection_sent_nothing(self):
        with pytest.raises(TemporaryFailure, match="cannot be reached") as caught:
            gateway(unused_url()).send_meter_event(EVENT)
        assert caught.value.maybe_arrived is False

    def test_is_not_sent_elsewhere_by_a_redirect(self, peer):
        peer.will(Answer(HTML, status=302, kind="text/html", location=f"{peer.url}/login"), RECEIVED)

        with pytest.raises(TemporaryFailure) as caught:
            gateway(peer.url).send_meter_event(EVENT)
        assert caught.value.maybe_arrived is True
        assert len(peer.asked) == 1

    def test_goes_through_the_environments_proxy(self, peer, monkeypatch):
        monkeypatch.setenv("http_proxy", peer.url)
        monkeypatch.setenv("no_proxy", "")
        peer.will(RECEIVED)

        assert gateway("http://stripe.invalid").send_meter_event(EVENT) == "req_stub"
        assert [asked.headers["host"] for asked in peer.asked] == ["stripe.invalid"]

    def test_recognises_a_duplicate_by_its_message(self, peer):
        error = {"type": "invalid_request_error", "message": "An event already exists with identifier om-1."}
        peer.will(Answer({"error": error}, status=400))

        with pytest.raises(DuplicateIdentifier):
            gateway(peer.url).send_meter_event(EVENT)

    def test_needs_no_longer_than_it_says(self):
        assert StripeGateway.call_timeout_seconds > CONNECT_SECONDS + READ_SECONDS


class TestReads:
    @pytest.mark.parametrize("failure", [busy(429), busy(409), busy(500), Answer(cut=True)])
    def test_are_repeated_until_answered(self, peer, failure):
        peer.will(failure, failure, failure, METER)

        assert gateway(peer.url).meter("mtr_1").event_name == "tokens"

    def test_are_given_up_after_four_tries(self, peer):
        peer.will(busy())

        with pytest.raises(TemporaryFailure):
            gateway(peer.url).meter("mtr_1")
        assert len(peer.asked) == 4

    def test_are_not_repeated_when_refused(self, peer):
        peer.will(missing())

        with pytest.raises(NotFound):
            gateway(peer.url).meter("mtr_1")
        assert len(peer.asked) == 1

    def test_say_that_a_deleted_customer_is_gone(self, peer):
        peer.will({"id": "cus_1", "object": "customer", "deleted": True})

        with pytest.raises(NotFound):
            gateway(peer.url).customer("cus_1")

    @pytest.mark.parametrize(
        "body", [HTML, "5", "[]", "{}", '{"object": "list", "data": 5, "has_more": true}']
    )
    def test_refuse_what_is_not_stripes_answer(self, peer, body):
        peer.will(Answer(body))

        with pytest.raises(SyncError, match=r"STRIPE_API_BASE"):
            gateway(peer.url).meter("mtr_1")

    def test_show_no_key(self, peer):
        error = {"type": "invalid_request_error", "message": f"Invalid API Key provided: {KEY}"}
        peer.will(Answer({"error": error}, status=401))

        with pytest.raises(SyncError) as caught:
            gateway(peer.url).account()
        assert KEY not in str(caught.value)
        assert "…wxyz" in str(caught.value)


class TestLists:
    def test_go_through_all_pages(self, peer):
        peer.will(listed(METER, METER | {"id": "mtr_2"}, more=True), listed(METER | {"id": "mtr_3"}))

        pages = list(gateway(peer.url).meters())

        assert [[meter.id for meter in page] for page in pages] == [["mtr_1", "mtr_2"], ["mtr_3"]]
        assert [asked.query.get("starting_after") for asked in peer.asked] == [None, ["mtr_2"]]
        assert {asked.query["limit"][0] for asked in peer.asked} == {"100"}

    def test_do_not_take_a_vanished_cursor_for_the_end(self, peer):
        peer.will(listed(METER, more=True), missing(400))

        with pytest.raises(TemporaryFailure, match="changed while it was read"):
            list(gateway(peer.url).meters())

    def test_end_on_an_empty_page_that_claims_more(self, peer):
        peer.will(listed(more=True))

        assert list(gateway(peer.url).meters()) == [[]]


class TestParsing:
    def test_keeps_amounts_exact_and_finds_names(self, peer):
        tiers = [{"up_to": None, "unit_amount_decimal": "0.000000000001", "flat_amount": None}]
        price = {
            "id": "price_1",
            "object": "price",
            "product": {"id": "prod_1", "object": "product", "name": "AI Tokens"},
            "unit_amount_decimal": "0.000000000001",
            "tiers": tiers,
            "recurring": {"usage_type": "metered", "meter": "mtr_1", "interval": "month"},
        }
        peer.will(listed(price))

        ((found,),) = gateway(peer.url).prices()

        assert found.unit_amount_decimal == Decimal("0.000000000001")
        assert found.tiers == tiers
        assert (found.product_name, found.meter, found.interval_count) == ("AI Tokens", "mtr_1", 1)
        assert peer.asked[0].query["expand[0]"] == ["data.product"]

    def test_copes_with_bare_ids_and_absent_keys(self, peer):
        item = {"id": "si_1", "object": "subscription_item", "price": "price_1"}
        peer.will(
            {"id": "sub_1", "object": "subscription", "customer": {"id": "cus_1"}, "items": listed(item)}
        )

        found = gateway(peer.url).subscription("sub_1")

        assert (found.customer_id, found.status, found.billing_mode) == ("cus_1", "", "classic")
        assert found.items[0].price_id == "price_1"
        assert found.items[0].period_start == found.items[0].period_end

    def test_reads_the_period_from_the_subscription_of_an_older_peer(self, peer):
        item = {"id": "si_1", "object": "subscription_item", "price": "price_1", "created": 1}
        subscription = {"id": "sub_1", "object": "subscription", "items": listed(item)}
        peer.will(subscription | {"current_period_start": 100, "current_period_end": 200})

        found = gateway(peer.url).subscription("sub_1").items[0]

        assert (found.period_start.timestamp(), found.period_end.timestamp()) == (100, 200)

    def test_lists_items_that_are_not_embedded(self, peer):
        items = [{"id": f"si_{number}", "object": "subscription_item", "price": "p"} for number in range(3)]
        peer.will(
            {"id": "sub_1", "object": "subscription", "items": listed(items[0], more=True)},
            listed(*items[:2], more=True),
            listed(items[2]),
        )

        found = gateway(peer.url).subscription("sub_1")

        assert [item.id for item in found.items] == ["si_0", "si_1", "si_2"]
        assert peer.asked[1].query["subscription"] == ["sub_1"]


class TestPacer:
    def test_starts_fewer_than_fifteen_calls_in_any_second(self):
        now, starts = [0.0], []
        pacer = Pacer(
            calls_per_second=READS_PER_SECOND,
            monotonic=lambda: now[0],
            sleep=lambda seconds: now.__setitem__(0, now[0] + seconds),
        )
        for _ in range(100):
            pacer.wait()
            starts.append(now[0])
            now[0] += 0.01

        busiest = max(sum(start <= other < start + 1 for other in starts) for start in starts)
        assert busiest == READS_PER_SECOND < 15

    def test_lets_an_idle_caller_start_at_once(self):
        pacer = Pacer(calls_per_second=1, monotonic=iter([0.0, 5.0]).__next__, sleep=pytest.fail)

        pacer.wait()
        pacer.wait()
