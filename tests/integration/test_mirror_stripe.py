"""The mirror against the sandbox over HTTP: what the tables hold after a sync, and what findings say."""

import contextlib
import json
import os
import sqlite3
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from io import StringIO
from pathlib import Path
from typing import Any

import httpx
import pytest
from django.core.management import CommandError, call_command
from django.db import connection
from django.test.utils import CaptureQueriesContext
from django.utils import timezone

from sync.models import (
    BillingPeriod,
    Customer,
    Enrolment,
    Finding,
    Meter,
    Pause,
    Price,
    StripeAccount,
    Subject,
    Subscription,
    SubscriptionItem,
)
from sync.operations.mirror_periods import SeenPeriod, store_periods
from sync.operations.mirror_stripe import mirror_stripe
from sync.operations.pause_reporting import pause_for_stripe, pause_reporting
from sync.operations.store_rows import store_rows
from sync.ports import Misconfigured, TemporaryFailure
from tests.sandbox_client import NO_TLS, create_price, stripe_client, subscribe

pytestmark = pytest.mark.django_db
HOUR = timedelta(hours=1)
Kind = Finding.Kind
ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture(autouse=True)
def control(sandbox):
    return sandbox


@pytest.fixture
def client(config):
    with stripe_client(config.stripe_api_base, config.stripe_key) as client:
        yield client


@pytest.fixture
def openmeter(config):
    with httpx.Client(base_url=f"{config.openmeter_url}/api/v1", verify=NO_TLS) as http:
        yield http


@pytest.fixture
def sync(connections):
    def run(clock=timezone.now):
        return mirror_stripe(
            stripe=connections.stripe, openmeter=connections.openmeter, clock=clock, invoice_grace=HOUR
        )

    return run


def make_source(http, slug="tokens", aggregation="SUM"):
    value = {} if aggregation == "COUNT" else {"valueProperty": "$.n"}
    answer = http.post(
        "/meters", json={"slug": slug, "aggregation": aggregation, "eventType": "call", **value}
    )
    assert answer.status_code == 200, answer.text
    return answer.json()


def use(http, subject, at=None):
    event = {
        "specversion": "1.0",
        "id": f"{subject}-{at}",
        "source": "test",
        "type": "call",
        "subject": subject,
        "time": (at or timezone.now() - HOUR).isoformat().replace("+00:00", "Z"),
        "data": {"n": 1},
    }
    headers = {"content-type": "application/cloudevents+json"}
    assert http.post("/events", content=json.dumps(event), headers=headers).status_code == 204


def findings():
    """Return what is open: kind → fingerprints."""
    found: dict[str, list[str]] = {}
    for row in Finding.objects.filter(resolved_at=None).order_by("kind", "fingerprint"):
        found.setdefault(row.kind, []).append(row.fingerprint)
    return found


class TestPages:
    def test_every_page_of_everything(self, client, sync):
        price = create_price(client)
        for _ in range(250):
            subscribe(client, price)
        summary = sync()

        assert summary.seen == {
            "meters": 1,
            "prices": 1,
            "customers": 250,
            "subscriptions": 250,
            "items": 250,
            "periods": 250,
        }
        assert Customer.objects.count() == Subscription.objects.count() == 250
        assert SubscriptionItem.objects.filter(meter=Meter.objects.get()).count() == 250
        assert Subject.objects.count() == Enrolment.objects.count() == BillingPeriod.objects.count() == 250

        with CaptureQueriesContext(
            connection,
        ) as queries:
            again = sync()
        assert not any(again.changed.values())
        assert len(queries) < 170

    def test_all_items_of_a_large_subscription(self, client, sync):
        prices = [create_price(client, event_name=f"e{number}") for number in range(15)]
        customer = client.v1.customers.create({"metadata": {"external_key": "acme"}})
        client.v1.subscriptions.create(
            {"customer": customer.id, "items": [{"price": price.id} for price in prices]}
        )
        sync()

        assert SubscriptionItem.objects.filter(meter__isnull=False).count() == 15
        assert Enrolment.objects.count() == 15
        assert Subject.objects.get().key == "acme"


class TestRows:
    def test_hold_what_stripe_says(self, client, sync):
        one = subscribe(client)
        sync()

        item = SubscriptionItem.objects.select_related("price__meter", "subscription__customer").get()
        assert (item.stripe_id, item.price.stripe_id, item.meter.stripe_id) == (
            one.item,
            one.price,
            one.meter,
        )
        assert item.meter == item.price.meter
        assert (item.price.product_name, item.price.unit_amount_decimal) == ("AI Tokens", Decimal(1))
        assert (item.subscription.status, item.subscription.billing_mode) == ("active", "flexible")
        assert item.subscription.customer.email == "ada@example.com"
        period = BillingPeriod.objects.get()
        live = client.v1.subscription_items.retrieve(one.item)
        assert (period.start.timestamp(), period.end.timestamp()) == (
            live.current_period_start,
            live.current_period_end,
        )
        assert period.closes_at == period.end + HOUR
        assert StripeAccount.objects.count() == 1

    def test_follow_changes(self, client, sync):
        one = subscribe(client)
        sync()
        client.v1.customers.update(one.customer, {"name": "Grace"})
        client.v1.subscriptions.update(one.subscription, {"cancel_at_period_end": True})
        summary = sync()

        assert Customer.objects.get().name == "Grace"
        assert Subscription.objects.get().cancel_at is not None
        assert (summary.changed["customers"], summary.changed["subscriptions"]) == (1, 1)

    def test_cost_nothing_where_nothing_changed(self, client, sync):
        product = client.v1.products.create({"name": "Seats"}).id
        common = {"currency": "usd", "product": product}
        client.v1.prices.create(
            common
            | {
                "recurring": {"interval": "year"},
                "billing_scheme": "tiered",
                "tiers_mode": "graduated",
                "tiers": [
                    {"up_to": 10, "unit_amount_decimal": "0.0000001"},
                    {"up_to": "inf", "flat_amount": 5},
                ],
            }
        )
        client.v1.prices.create(
            common | {"unit_amount": 7, "transform_quantity": {"divide_by": 10, "round": "up"}}
        )
        sync()

        assert not any(sync().changed.values())
        tiered, plain = Price.objects.order_by("tiers_mode").reverse()
        assert tiered.tiers[0]["unit_amount_decimal"] == "0.0000001"
        assert plain.transform_quantity == {"divide_by": 10, "round": "up"}

    def test_are_not_overwritten_by_older_answers(self, client, sync):
        one = subscribe(client)
        sync()
        later = timezone.now() + HOUR
        Customer.objects.update(name="Newer", fetched_at=later)
        SubscriptionItem.objects.update(fetched_at=later)
        BillingPeriod.objects.update(end=later + 9 * HOUR, closes_at=later + 9 * HOUR)
        client.v1.customers.update(one.customer, {"name": "Older"})
        sync()

        assert Customer.objects.get().name == "Newer"
        assert BillingPeriod.objects.get().end == later + 9 * HOUR

    def test_guard_in_the_update_itself(self):
        at = datetime(2026, 1, 1, tzinfo=UTC)
        row = {"stripe_id": "cus_1", "name": "A", "email": "", "external_key": ""}
        store_rows(Customer, [row], fetched_at=at)

        assert store_rows(Customer, [row | {"name": "B"}], fetched_at=at).stale == {"cus_1"}
        assert store_rows(Customer, [row | {"name": "C"}], fetched_at=at + HOUR).changed == 1
        assert store_rows(Customer, [row | {"name": "D"}], fetched_at=at).changed == 0
        assert Customer.objects.get().name == "C"

    def test_fetch_what_was_not_listed_yet(self, client, sync, connections, monkeypatch):
        one = subscribe(client)
        for name in ("meters", "customers", "prices"):
            monkeypatch.setattr(connections.stripe, name, lambda: iter([[]]))
        sync()

        assert Enrolment.objects.get().customer.stripe_id == one.customer
        assert SubscriptionItem.objects.get().price.product_name == "AI Tokens"
        assert Meter.objects.get().event_name == "tokens"

    def test_keep_the_subscription_of_a_deleted_customer(self, client, sync):
        one = subscribe(client)
        client.v1.customers.delete(one.customer)
        sync()

        assert Subscription.objects.get().status == "canceled"
        assert Customer.objects.get().deleted_at is not None
        assert Subject.objects.count() == 0


@pytest.mark.django_db(transaction=True)
class TestTwoAtOnce:
    def test_come_to_the_same_tables(self, client, connections, openmeter):
        if connection.vendor == "sqlite":
            pytest.skip("threads cannot share SQLite in memory; processes share a file below")
        make_source(openmeter)
        price = create_price(client)
        for _ in range(120):
            subscribe(client, price)

        def sync():
            try:
                for _ in range(2):
                    mirror_stripe(
                        stripe=connections.stripe,
                        openmeter=connections.openmeter,
                        clock=timezone.now,
                        invoice_grace=HOUR,
                    )
            finally:
                connection.close()

        with ThreadPoolExecutor(3) as pool:
            for done in [pool.submit(sync) for _ in range(3)]:
                done.result()

        tables = (Customer, Subject, Subscription, SubscriptionItem, BillingPeriod, Enrolment, Finding)
        assert [table.objects.count() for table in tables] == [120] * 7
        assert not Customer.objects.exclude(deleted_at=None).exists()

    def test_share_an_sqlite_file(self, client, config, tmp_path):
        price = create_price(client)
        for _ in range(120):
            subscribe(client, price)
        path = tmp_path / "console.sqlite3"
        env = {
            "PATH": os.environ["PATH"],
            "IGNORE_DOTENV": "1",
            "DATABASE_URL": f"sqlite:///{path}",
            "STRIPE_KEY": config.stripe_key,
            "STRIPE_API_BASE": config.stripe_api_base,
            "OPENMETER_URL": config.openmeter_url,
        }
        manage = [sys.executable, "manage.py"]
        subprocess.run([*manage, "migrate", "-v0"], cwd=ROOT, env=env, check=True)
        started = [subprocess.Popen([*manage, "sync_stripe"], cwd=ROOT, env=env) for _ in range(3)]

        assert [process.wait() for process in started] == [0, 0, 0]
        with contextlib.closing(sqlite3.connect(path)) as tables:
            for name in (
                "customer",
                "subject",
                "subscription",
                "subscriptionitem",
                "billingperiod",
                "enrolment",
            ):
                assert tables.execute(f"select count(*) from sync_{name}").fetchone() == (120,)


class TestDeletion:
    def test_waits_for_the_objects_own_answer(self, client, sync, connections, monkeypatch):
        one = subscribe(client)
        sync()
        monkeypatch.setattr(connections.stripe, "customers", lambda: iter([[]]))
        monkeypatch.setattr(connections.stripe, "subscriptions", lambda: iter([[]]))
        sync()

        assert Customer.objects.get().deleted_at is None
        assert Subscription.objects.get().deleted_at is None
        client.v1.customers.delete(one.customer)
        sync()
        assert Customer.objects.get().deleted_at is not None

    def test_is_not_concluded_from_a_list_that_broke_off(self, client, sync, control):
        subscribe(client)
        sync()
        control.fault("GET /v1/customers", status=503, times=4)

        with pytest.raises(TemporaryFailure):
            sync()
        assert Customer.objects.get().deleted_at is None

    def test_marks_items_that_left_their_subscription(self, client, sync):
        one = subscribe(client)
        other = create_price(client, event_name="other")
        client.v1.subscription_items.create({"subscription": one.subscription, "price": other.id})
        sync()
        client.v1.subscription_items.delete(one.item)
        sync()

        left = SubscriptionItem.objects.get(deleted_at=None)
        assert left.price.stripe_id == other.id
        assert BillingPeriod.objects.count() == 2
        assert Enrolment.objects.count() == 2

    def test_is_taken_back_when_the_object_is_seen_again(self, client, sync):
        subscribe(client)
        sync()
        Customer.objects.update(deleted_at=timezone.now())
        sync()

        assert Customer.objects.get().deleted_at is None


class TestPeriods:
    START = datetime(2026, 1, 31, 10, 30, 5, tzinfo=UTC)
    END = datetime(2026, 2, 28, 10, 30, 5, tzinfo=UTC)

    @pytest.fixture
    def item(self, client, sync):
        subscribe(client)
        sync()
        BillingPeriod.objects.all().delete()
        return SubscriptionItem.objects.get().pk

    def spans(self):
        return list(BillingPeriod.objects.order_by("start").values_list("start", "end"))

    def see(self, item, start, end):
        return store_periods([SeenPeriod(item_id=item, start=start, end=end)], invoice_grace=HOUR)

    def test_are_kept_when_the_next_one_begins(self, item):
        march = self.END + timedelta(days=28)
        assert self.see(item, self.START, self.END) == 1
        assert self.see(item, self.START, self.END) == 0
        assert self.see(item, self.END, march) == 1

        assert self.spans() == [(self.START, self.END), (self.END, march)]

    def test_move_their_end_with_stripe(self, item):
        self.see(item, self.START, self.END)
        self.see(item, self.START, self.END - HOUR)

        assert self.spans() == [(self.START, self.END - HOUR)]
        assert BillingPeriod.objects.get().closes_at == self.END

    def test_keep_their_end_once_final(self, item):
        self.see(item, self.START, self.END)
        BillingPeriod.objects.update(finalized_at=self.END)
        self.see(item, self.START, self.END - HOUR)

        assert self.spans() == [(self.START, self.END)]

    def test_end_where_a_moved_anchor_begins_the_next_one(self, item):
        self.see(item, self.START, self.END)
        self.see(item, self.END - HOUR, self.END + 24 * HOUR)

        assert self.spans() == [(self.START, self.END - HOUR), (self.END - HOUR, self.END + 24 * HOUR)]

    def test_that_nobody_saw_are_not_forgotten(self, item):
        april = datetime(2026, 4, 30, 10, 30, 5, tzinfo=UTC)
        self.see(item, self.START, self.END)
        self.see(item, april, april + timedelta(days=30))

        assert self.spans()[1] == (self.END, april)

    def test_follow_the_clock(self, client, sync, control):
        control.set_clock(self.START)
        subscribe(client)
        sync()
        control.set_clock(self.END + HOUR)
        sync()

        assert self.spans()[0] == (self.START, self.END)
        assert self.spans()[1][0] == self.END

    def test_end_with_a_cancellation(self, client, sync, control):
        control.set_clock(self.START)
        one = subscribe(client)
        sync()
        control.set_clock(self.START + 30 * HOUR)
        client.v1.subscriptions.cancel(one.subscription)
        sync()

        assert self.spans() == [(self.START, self.START + 30 * HOUR)]

    def test_that_are_none_are_passed_over(self, client, sync, control):
        one = subscribe(client)
        control.patch_stripe(one.item, current_period_start=200, current_period_end=200)
        sync()

        assert SubscriptionItem.objects.count() == 1
        assert self.spans() == []


class TestSubjects:
    def customer(self, client, **params: Any):
        return client.v1.customers.create(params).id

    def keys(self, stripe_id):
        return list(
            Subject.objects.filter(customer__stripe_id=stripe_id)
            .order_by("pk")
            .values_list("key", "valid_from")
        )

    def test_default_to_the_external_key_or_else_the_stripe_id(self, client, sync):
        one = self.customer(client, metadata={"external_key": "acme"})
        two = self.customer(client, name="Two")
        sync()
        sync()

        assert self.keys(one) == [("acme", None)]
        assert self.keys(two) == [(two, None)]

    def test_gain_a_later_external_key_from_the_next_hour_on(self, client, sync):
        one = self.customer(client, name="One")
        sync()
        client.v1.customers.update(one, {"metadata": {"external_key": "acme"}})
        now = datetime(2099, 5, 5, 10, 20, tzinfo=UTC)
        sync(clock=lambda: now)

        assert self.keys(one) == [(one, None), ("acme", datetime(2099, 5, 5, 11, tzinfo=UTC))]
        assert not Subject.objects.exclude(valid_to=None).exists()

    def test_keep_what_they_had_when_the_external_key_goes(self, client, sync):
        one = self.customer(client, metadata={"external_key": "acme"})
        sync()
        client.v1.customers.update(one, {"metadata": {"external_key": ""}})
        sync()

        assert self.keys(one) == [("acme", None)]

    def test_stay_with_the_oldest_customer_that_claims_them(self, client, sync):
        oldest, middle, newest = (self.customer(client, metadata={"external_key": "acme"}) for _ in range(3))
        sync()

        assert self.keys(oldest) == [("acme", None)]
        assert self.keys(middle) == self.keys(newest) == []
        assert findings() == {Kind.SUBJECT_CLAIMED_TWICE: sorted([f"{middle}:acme", f"{newest}:acme"])}

    def test_are_free_again_once_corrected(self, client, sync):
        _, two = (self.customer(client, metadata={"external_key": "acme"}) for _ in range(2))
        sync()
        client.v1.customers.update(two, {"metadata": {"external_key": "beta"}})
        sync()

        assert self.keys(two) == [("beta", None)]
        assert findings() == {}

    def test_stay_where_staff_moved_them(self, client, sync):
        one = self.customer(client, metadata={"external_key": "acme"})
        two = self.customer(client, name="Two")
        sync()
        moved_at = datetime(2026, 1, 1, tzinfo=UTC)
        Subject.objects.filter(key="acme").update(valid_to=moved_at)
        Subject.objects.create(key="acme", customer=Customer.objects.get(stripe_id=two), valid_from=moved_at)
        sync()

        assert Subject.objects.get(key="acme", valid_to=None).customer.stripe_id == two
        assert self.keys(one) == [("acme", None)]

    def test_know_when_openmeter_saw_them(self, client, sync, openmeter):
        make_source(openmeter)
        one = subscribe(client)
        use(openmeter, one.customer)
        sync()

        assert Subject.objects.get().seen_at is not None
        assert findings() == {}


class TestLinks:
    def test_a_meter_is_tied_to_the_openmeter_meter_of_its_event_name(self, client, sync, openmeter):
        source = make_source(openmeter, aggregation="COUNT")
        create_price(client)
        sync()

        meter = Meter.objects.get()
        assert (meter.openmeter_slug, meter.openmeter_id, meter.aggregation) == (
            "tokens",
            source["id"],
            "COUNT",
        )

    def test_a_slug_given_by_staff_wins(self, client, sync, openmeter):
        make_source(openmeter)
        source = make_source(openmeter, slug="m1")
        create_price(client)
        sync()
        Meter.objects.update(openmeter_slug="m1", openmeter_id="")
        sync()

        assert Meter.objects.get().openmeter_id == source["id"]

    def test_a_slug_that_names_another_meter_stops_ours(self, client, sync, openmeter):
        make_source(openmeter)
        one = subscribe(client)
        sync()
        Meter.objects.update(openmeter_id="01OLD")
        sync()

        meter = Meter.objects.get()
        assert meter.openmeter_id == "01OLD"
        assert "now names another meter" in meter.conflict
        assert findings()[Kind.METER_UNSUPPORTED] == [one.meter]

    def test_a_meter_that_stripe_refused_goes_on_when_it_is_active_again(self, client, sync):
        subscribe(client)
        sync()
        now = timezone.now()
        pause_for_stripe(Meter.objects.get(), reason="No active meter", now=now)
        Finding.objects.create(
            kind=Kind.METER_REFUSED,
            fingerprint="m",
            message="m",
            meter=Meter.objects.get(),
            found_at=now,
            seen_at=now,
        )
        sync()

        assert Pause.objects.get().resumed_at is not None
        assert Kind.METER_REFUSED not in findings()
        pause_reporting(meter=Meter.objects.get(), why="a wrong price", who="ada", now=now)
        sync()
        assert Pause.objects.filter(resumed_at=None).count() == 1

    def test_a_licensed_item_has_no_meter_whatever_it_says(self, client, sync, openmeter):
        make_source(openmeter)
        create_price(client)
        seats = {"currency": "usd", "unit_amount": 1, "recurring": {"interval": "month"}}
        price = client.v1.prices.create(seats | {"product_data": {"name": "Seats"}})
        customer = client.v1.customers.create({}).id
        item = {"price": price.id, "quantity": 1, "metadata": {"om_meter_id": "tokens"}}
        client.v1.subscriptions.create({"customer": customer, "items": [item]})
        sync()

        assert SubscriptionItem.objects.get().meter is None
        assert findings() == {}

    def test_an_item_names_its_openmeter_meter_as_in_the_example(self, client, sync, openmeter, control):
        make_source(openmeter)
        create_price(client)
        legacy = create_price(client, event_name="legacy")
        one = subscribe(client, legacy)
        control.patch_stripe(legacy.id, recurring={"meter": None})
        client.v1.subscription_items.update(one.item, {"metadata": {"om_meter_id": "tokens"}})
        sync()

        assert SubscriptionItem.objects.get().meter.event_name == "tokens"
        assert not Enrolment.objects.exists()
        assert findings()[Kind.LEGACY_PRICE] == [legacy.id]
        assert Kind.ITEM_WITHOUT_METER not in findings()


class TestFindings:
    def test_are_none_where_all_is_well(self, client, sync, openmeter):
        make_source(openmeter)
        create_price(client, event_name="unused")
        use(openmeter, subscribe(client).customer)
        sync()

        assert findings() == {}

    def test_a_customer_that_openmeter_never_saw(self, client, sync, openmeter):
        make_source(openmeter)
        one = subscribe(client)
        sync()
        assert findings() == {Kind.SUBJECT_NEVER_SEEN: [one.customer]}

        use(openmeter, one.customer)
        summary = sync()
        assert findings() == {}
        assert summary.resolved_findings == 1

    def test_a_legacy_price_and_its_items(self, client, sync, control):
        one = subscribe(client)
        control.patch_stripe(one.price, recurring={"meter": None})
        sync()

        assert findings() == {Kind.ITEM_WITHOUT_METER: [one.item], Kind.LEGACY_PRICE: [one.price]}
        assert not Enrolment.objects.exists()

    def test_two_living_items_of_a_customer_on_a_meter(self, client, sync, openmeter):
        make_source(openmeter)
        price = create_price(client)
        one = subscribe(client, price)
        use(openmeter, one.customer)
        second = client.v1.subscriptions.create({"customer": one.customer, "items": [{"price": price.id}]})
        sync()
        assert findings() == {Kind.BILLED_TWICE: [f"{one.customer}:{one.meter}"]}

        client.v1.subscriptions.cancel(second.id)
        sync()
        assert findings() == {}

    def test_a_meter_without_an_openmeter_meter(self, client, sync):
        one = subscribe(client)
        summary = sync()

        assert findings()[Kind.METER_WITHOUT_SLUG] == [one.meter]
        assert summary.findings[Kind.METER_WITHOUT_SLUG] == 1

    def test_an_openmeter_meter_that_is_gone(self, client, sync, openmeter):
        source = make_source(openmeter)
        one = subscribe(client)
        sync()
        openmeter.delete(f"/meters/{source['id']}")
        sync()

        assert findings()[Kind.METER_WITHOUT_SLUG] == [one.meter]
        assert "no longer has" in Finding.objects.get(kind=Kind.METER_WITHOUT_SLUG).message

    @pytest.mark.parametrize(
        ("meter", "sentence"),
        [
            ({"default_aggregation": {"formula": "count"}}, "formula count"),
            ({"default_aggregation": {"formula": "last"}}, "formula last"),
            ({"event_time_window": "day"}, "one value per day"),
        ],
    )
    def test_a_meter_that_cannot_be_reported(self, client, sync, openmeter, meter, sentence):
        make_source(openmeter)
        one = subscribe(client, create_price(client, **meter))
        sync()

        assert findings()[Kind.METER_UNSUPPORTED] == [one.meter]
        assert sentence in Finding.objects.get(kind=Kind.METER_UNSUPPORTED).message

    def test_an_aggregation_that_does_not_add_up(self, client, sync, openmeter):
        make_source(openmeter, aggregation="MAX")
        one = subscribe(client)
        sync()

        assert findings()[Kind.METER_UNSUPPORTED] == [one.meter]

    def test_an_inactive_meter_that_living_items_use(self, client, sync, openmeter):
        make_source(openmeter)
        one = subscribe(client)
        client.v1.billing.meters.deactivate(one.meter)
        sync()
        assert findings()[Kind.METER_UNSUPPORTED] == [one.meter]

        client.v1.subscriptions.cancel(one.subscription)
        sync()
        assert findings() == {}

    def test_a_meter_that_is_not_what_it_was(self, client, sync, openmeter, control):
        make_source(openmeter)
        one = subscribe(client)
        sync()
        control.patch_stripe(one.meter, default_aggregation={"formula": "count"})
        sync()

        assert Meter.objects.get().formula == "sum"
        assert "(formula)" in Finding.objects.get(kind=Kind.METER_UNSUPPORTED).message

    def test_a_filter_that_openmeter_does_not_know(self, client, sync, openmeter):
        make_source(openmeter)
        one = subscribe(client)
        sync()
        Meter.objects.update(filters={"model": ["gpt"]})
        sync()

        assert findings()[Kind.METER_UNSUPPORTED] == [one.meter]

    def test_stay_open_while_openmeter_is_away(self, client, sync, openmeter, control):
        make_source(openmeter)
        one = subscribe(client)
        sync()
        client.v1.customers.update(one.customer, {"name": "Grace"})
        control.fault("openmeter", status=503, times=3)
        summary = sync()

        assert "cannot answer now" in summary.openmeter_problem
        assert Customer.objects.get().name == "Grace"
        assert findings() == {Kind.SUBJECT_NEVER_SEEN: [one.customer]}


class TestAccount:
    def test_another_account_changes_nothing(self, client, sync, connections):
        subscribe(client)
        StripeAccount.objects.create(stripe_id="acct_other", livemode=True, pinned_at=timezone.now())

        with pytest.raises(Misconfigured, match=r"acct_other \(live mode\)") as caught:
            sync()
        assert connections.stripe.account().id + " (test mode)" in str(caught.value)
        assert not Meter.objects.exists()


class TestCommand:
    @pytest.fixture(autouse=True)
    def _env(self, settings, config):
        settings.STRIPE_KEY = config.stripe_key
        settings.STRIPE_API_BASE = config.stripe_api_base
        settings.OPENMETER_URL = config.openmeter_url
        settings.OPENMETER_TOKEN = ""

    def test_says_what_it_saw(self, client, capsys):
        subscribe(client)
        call_command("sync_stripe", "-v2")

        out = capsys.readouterr().out
        assert "customers: 1 seen, 1 new or changed" in out
        assert "finding: A Stripe meter has no OpenMeter meter: 1" in out

    def test_speaks_json(self, client, capsys):
        subscribe(client)
        call_command("sync_stripe", "--format", "json")

        assert json.loads(capsys.readouterr().out)["seen"]["subscriptions"] == 1

    def test_fails_when_openmeter_is_away_but_keeps_the_rest(self, client, control):
        subscribe(client)
        control.fault("openmeter", status=503, times=3)

        with pytest.raises(CommandError, match="Stripe was mirrored, but not tied") as caught:
            call_command("sync_stripe", stdout=StringIO())
        assert caught.value.returncode == 1
        assert Price.objects.count() == 1
