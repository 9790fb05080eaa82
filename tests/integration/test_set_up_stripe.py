"""Set-up against the sandbox: what Stripe holds afterwards, however often and however it was interrupted."""

import json
import re
from dataclasses import replace
from datetime import timedelta
from decimal import Decimal
from io import StringIO

import httpx
import pytest
from django.core.management import CommandError, call_command
from django.utils import timezone

from sync.models import Enrolment, Meter, Price, StripeAccount, Subject, Subscription
from sync.operations.preview_set_up import preview_set_up
from sync.operations.set_up_options import SetUpOptions
from sync.operations.set_up_stripe import set_up_stripe
from sync.ports import Account, InvalidInput, SyncError
from tests.sandbox_client import NO_TLS, stripe_client

pytestmark = pytest.mark.django_db
KINDS = ["meter", "product", "price", "customer", "subscription"]
CREATING = [
    "POST /v1/billing/meters",
    "POST /v1/products",
    "POST /v1/prices",
    "POST /v1/customers",
    "POST /v1/subscriptions",
]
OPTIONS = SetUpOptions()


@pytest.fixture
def control(sandbox):
    return sandbox


@pytest.fixture(autouse=True)
def source(sandbox, config):
    """Make the OpenMeter meter that the example's usage is measured by."""
    make_source(config, "ai_tokens")


@pytest.fixture
def client(config):
    with stripe_client(config.stripe_api_base, config.stripe_key) as client:
        yield client


@pytest.fixture
def env(settings, config):
    settings.STRIPE_KEY = config.stripe_key
    settings.STRIPE_API_BASE = config.stripe_api_base
    settings.OPENMETER_URL = config.openmeter_url
    settings.OPENMETER_TOKEN = ""


def make_source(config, slug, aggregation="SUM"):
    body = {"slug": slug, "aggregation": aggregation, "eventType": "call", "valueProperty": "$.n"}
    assert httpx.post(f"{config.openmeter_url}/api/v1/meters", json=body, verify=NO_TLS).status_code == 200


def set_up(connections, options=OPTIONS):
    return set_up_stripe(
        stripe=connections.stripe,
        openmeter=connections.openmeter,
        options=options,
        invoice_grace=timedelta(hours=1),
        now=timezone.now(),
    )


def look(connections, options=OPTIONS):
    """Return what the preview says, by kind: the id, or "" for what will be created."""
    seen = preview_set_up(stripe=connections.stripe, openmeter=connections.openmeter, options=options)
    return {one.kind: one.id for one in seen.objects}


def held(client):
    """Return how many objects of each kind the Stripe account holds."""
    api = client.v1
    lists = [api.billing.meters, api.products, api.prices, api.customers, api.subscriptions]
    return [len(service.list({"limit": 100}).data) for service in lists]


def ids(result):
    return [one.id for one in result.objects]


def created(result):
    return [one.kind for one in result.objects if one.created]


class TestSetUp:
    def test_creates_everything_and_registers_the_meter(self, connections, client):
        result = set_up(connections)

        assert created(result) == KINDS
        assert held(client) == [1, 1, 1, 1, 1]
        meter = Meter.objects.get()
        assert (meter.stripe_id, meter.event_name, meter.formula) == (
            result.objects[0].id,
            "ai_tokens",
            "sum",
        )
        assert (meter.openmeter_slug, meter.aggregation, meter.event_time_window) == ("ai_tokens", "SUM", "")
        price = client.v1.prices.retrieve(result.objects[2].id)
        assert (price.unit_amount_decimal, price.currency, price.recurring.interval) == (1, "usd", "month")
        assert price.recurring.meter == meter.stripe_id
        assert client.v1.customers.retrieve(result.objects[3].id).metadata["external_key"] == "customer-1"

    def test_finds_what_is_there(self, connections, client):
        first, second = set_up(connections), set_up(connections)

        assert created(second) == []
        assert ids(second) == ids(first)
        assert held(client) == [1, 1, 1, 1, 1]
        assert Meter.objects.count() == 1

    def test_stops_after_the_meter_when_told_to(self, connections, client):
        result = set_up(connections, replace(OPTIONS, meter_only=True))

        assert created(result) == ["meter"]
        assert held(client) == [1, 0, 0, 0, 0]
        assert created(set_up(connections)) == KINDS[1:]

    def test_holds_several_set_ups_side_by_side(self, connections, client, config):
        make_source(config, "seconds")
        set_up(connections)
        other = set_up(connections, replace(OPTIONS, event_name="seconds", external_key="customer-2"))

        assert created(other) == KINDS
        assert held(client) == [2, 2, 2, 2, 2]

    def test_takes_its_options(self, connections, client):
        options = replace(OPTIONS, window="hour", unit_amount=Decimal("0.25"), currency="eur", interval="day")
        result = set_up(connections, options)

        assert Meter.objects.get().event_time_window == "hour"
        price = client.v1.prices.retrieve(result.objects[2].id)
        assert (price.unit_amount_decimal, price.currency) == (Decimal("0.25"), "eur")
        assert created(set_up(connections, options)) == []

    def test_ties_the_meter_to_another_openmeter_meter(self, connections, config):
        make_source(config, "m1")
        set_up(connections, replace(OPTIONS, openmeter_meter="m1"))

        assert Meter.objects.get().openmeter_slug == "m1"

    def test_shows_first_what_it_will_create_and_what_it_finds(self, connections, client):
        assert look(connections) == dict.fromkeys(KINDS, "")
        assert held(client) == [0, 0, 0, 0, 0]
        assert not StripeAccount.objects.exists()
        only_meter = set_up(connections, replace(OPTIONS, meter_only=True))
        assert look(connections) == {**dict.fromkeys(KINDS, ""), "meter": only_meter.objects[0].id}
        assert list(look(connections, replace(OPTIONS, meter_only=True))) == ["meter"]
        done = set_up(connections)
        assert list(look(connections).values()) == ids(done)
        assert held(client) == [1, 1, 1, 1, 1]

    def test_shows_at_once_what_it_created(self, connections):
        result = set_up(connections)

        price, subscription = Price.objects.get(), Subscription.objects.get()
        assert [price.stripe_id, subscription.customer.stripe_id, subscription.stripe_id] == ids(result)[2:]
        assert (price.meter, Enrolment.objects.get().customer) == (Meter.objects.get(), subscription.customer)
        assert Subject.objects.get().key == "customer-1"
        assert result.remark == ""

    def test_says_that_a_sync_brings_what_it_could_not_read(self, connections, control, client):
        control.fault("GET /v1/prices/{price}", status=403)
        result = set_up(connections)

        assert held(client) == [1, 1, 1, 1, 1]
        assert "permission" in result.remark
        assert not Price.objects.exists()

    def test_uses_the_oldest_customer_of_the_key(self, connections, client):
        made = [client.v1.customers.create({"metadata": {"external_key": "customer-1"}}) for _ in range(2)]

        assert set_up(connections).objects[3].id == made[0].id

    def test_pins_the_account(self, connections):
        set_up(connections)

        assert StripeAccount.objects.get().livemode is False


class TestInterruption:
    @pytest.mark.parametrize("route", CREATING)
    @pytest.mark.parametrize(
        "fault",
        [
            {"cut": "before"},
            {"cut": "after"},
            {"status": 500},
            {"status": 500, "store": True},
            {"status": 429},
            {"status": 409},
            {"status": 200, "body": "<html>"},
            {"status": 200, "body": "<html>", "store": True},
        ],
        ids=lambda fault: " ".join(map(str, fault.values()))[:20],
    )
    def test_is_completed_by_the_next_run(self, connections, client, control, route, fault):
        control.fault(route, **fault)
        try:
            set_up(connections)
        except SyncError:
            set_up(connections)

        assert held(client) == [1, 1, 1, 1, 1]
        assert created(set_up(connections)) == []

    def test_gets_past_an_error_that_stripe_repeats_for_a_day(self, connections, client, control):
        control.fault("POST /v1/products", status=500, times=2)

        assert created(set_up(connections)) == KINDS
        assert held(client)[1] == 1

    def test_gives_up_on_an_error_that_lasts(self, connections, client, control):
        control.fault("POST /v1/products", status=500, times=100)

        with pytest.raises(SyncError, match="fault of its own"):
            set_up(connections)
        assert held(client) == [1, 0, 0, 0, 0]

    def test_does_not_take_a_stored_answer_for_what_was_deleted_since(self, connections, client):
        first = set_up(connections)
        client.v1.customers.delete(first.objects[3].id)
        second = set_up(connections)

        assert created(second) == ["customer", "subscription"]
        assert second.objects[3].id != first.objects[3].id
        assert created(set_up(connections)) == []

    def test_subscribes_again_after_a_cancellation(self, connections, client):
        first = set_up(connections)
        client.v1.subscriptions.cancel(first.objects[4].id)

        assert created(set_up(connections)) == ["subscription"]


class TestRefusals:
    @pytest.mark.parametrize(
        ("change", "sentence"),
        [
            ({"unit_amount": Decimal(2)}, "unit amount 0.01 USD instead of 0.02 USD"),
            ({"currency": "eur"}, "currency usd instead of eur"),
            ({"interval": "year"}, "interval month instead of year"),
            ({"window": "hour"}, "has window 'none', not 'hour'"),
        ],
    )
    def test_what_is_there_but_different(self, connections, client, change, sentence):
        set_up(connections)

        with pytest.raises(InvalidInput, match=sentence):
            set_up(connections, replace(OPTIONS, **change))
        assert held(client) == [1, 1, 1, 1, 1]

    def test_a_price_of_another_meter(self, connections):
        set_up(connections, replace(OPTIONS, lookup_key="mine"))

        with pytest.raises(InvalidInput, match="lookup key mine has meter mtr_"):
            set_up(
                connections,
                replace(OPTIONS, event_name="other", lookup_key="mine", openmeter_meter="ai_tokens"),
            )
        assert Meter.objects.count() == 1

    def test_an_inactive_meter(self, connections, client):
        client.v1.billing.meters.deactivate(set_up(connections).objects[0].id)

        with pytest.raises(InvalidInput, match="inactive"):
            set_up(connections)

    def test_a_meter_that_counts(self, connections, client):
        client.v1.billing.meters.create(
            {"display_name": "c", "event_name": "calls", "default_aggregation": {"formula": "count"}}
        )

        with pytest.raises(InvalidInput, match="counts by 'count'"):
            set_up(connections, replace(OPTIONS, event_name="calls", openmeter_meter="ai_tokens"))
        assert not Meter.objects.exists()

    @pytest.mark.parametrize(
        ("change", "sentence"),
        [
            (
                {"event_name": "nope"},
                "OpenMeter has no meter nope. It has: ai_tokens (SUM), peak (MAX, cannot be billed).",
            ),
            ({"openmeter_meter": "nope"}, "has no meter nope"),
            ({"openmeter_meter": "peak"}, "aggregates by MAX"),
        ],
    )
    def test_an_openmeter_meter_that_cannot_be_used(self, connections, client, config, change, sentence):
        make_source(config, "peak", aggregation="MAX")

        for act in (look, set_up):
            with pytest.raises(InvalidInput, match=re.escape(sentence)):
                act(connections, replace(OPTIONS, **change))
        assert held(client) == [0, 0, 0, 0, 0]

    def test_to_create_anything_while_openmeter_is_away(self, connections, client, control):
        control.fault("openmeter", status=503, times=10)

        with pytest.raises(SyncError, match="OpenMeter"):
            set_up(connections)
        assert held(client) == [0, 0, 0, 0, 0]
        assert not Meter.objects.exists()

    @pytest.mark.parametrize(
        ("change", "sentence"),
        [
            ({"event_name": " "}, "--event-name is empty"),
            ({"event_name": "x" * 101}, "longer than the 100"),
            ({"currency": "USD"}, "three lower-case letters"),
            ({"interval": "hour"}, "--interval"),
            ({"unit_amount": Decimal("NaN")}, "--unit-amount"),
            ({"unit_amount": Decimal(-1)}, "--unit-amount"),
            ({"unit_amount": Decimal("1e-13")}, "--unit-amount"),
        ],
    )
    def test_bad_options(self, connections, client, change, sentence):
        with pytest.raises(InvalidInput, match=sentence):
            set_up(connections, replace(OPTIONS, **change))
        assert held(client) == [0, 0, 0, 0, 0]

    def test_a_live_account_that_nobody_confirmed(self, connections, client, monkeypatch):
        live = Account(id="acct_live", livemode=True)
        monkeypatch.setattr(connections.stripe, "account", lambda: live)

        for typed in ("", "acct_other", "yes"):
            with pytest.raises(InvalidInput, match="--confirm-live acct_live"):
                set_up(connections, replace(OPTIONS, confirm_live=typed))
        assert held(client) == [0, 0, 0, 0, 0]
        result = set_up(connections, replace(OPTIONS, confirm_live="acct_live"))
        assert result.objects[1].url.startswith("https://dashboard.stripe.com/products/prod_")


@pytest.mark.usefixtures("env")
class TestCommand:
    def test_prints_the_examples_lines(self, capsys):
        call_command("set_up_stripe")
        lines = capsys.readouterr().out.splitlines()

        base = "https://dashboard.stripe.com/test"
        for line, kind, prefix in zip(
            lines, KINDS, ["mtr_", "prod_", "price_", "cus_", "sub_"], strict=False
        ):
            assert line.startswith(f"Stripe {kind} created: {base}/{kind}s/{prefix}")
        assert lines[5] == "Usage of OpenMeter meter ai_tokens is reported as ai_tokens."

    def test_says_what_it_found(self, capsys):
        call_command("set_up_stripe", stdout=StringIO())
        call_command("set_up_stripe", "--format", "json")

        objects = json.loads(capsys.readouterr().out)["objects"]
        assert [one["created"] for one in objects] == [False] * 5

    def test_takes_options_and_refuses_in_one_sentence(self):
        call_command("set_up_stripe", "--unit-amount", "0.5", "--meter-only", stdout=StringIO())
        with pytest.raises(CommandError, match="has window 'none'") as caught:
            call_command("set_up_stripe", "--window", "hour")
        assert caught.value.returncode == 2
