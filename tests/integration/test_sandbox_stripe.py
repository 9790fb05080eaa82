"""The sandbox's Stripe, driven by the real SDK: keys, errors, meters, prices, customers."""

import datetime as dt
from decimal import Decimal

import httpx
import pytest
import stripe

from tests.integration.sandbox_fixtures import *  # noqa: F403 - fixtures are found by name
from tests.integration.sandbox_fixtures import NOW
from tests.sandbox_client import TEST_KEY, create_price, send_event, stripe_client, subscribe

pytestmark = pytest.mark.usefixtures("sandbox")


class TestAuthentication:
    @pytest.mark.parametrize("key", ["sk_live_northwind_1", "rk_live_x", "pk_test_x", "nonsense"])
    def test_refuses_any_key_that_is_not_a_secret_test_key(self, sandbox, key):
        with (
            stripe_client(sandbox.stripe_url, key) as other,
            pytest.raises(stripe.AuthenticationError) as refusal,
        ):
            other.v1.customers.list()
        assert refusal.value.http_status == 401

    def test_refuses_a_call_without_key(self, sandbox):
        answer = httpx.get(f"{sandbox.stripe_url}/v1/customers")
        assert answer.status_code == 401
        assert answer.json()["error"]["type"] == "invalid_request_error"

    def test_takes_the_key_as_basic_user(self, sandbox):
        answer = httpx.get(f"{sandbox.stripe_url}/v1/account", auth=("rk_test_fabrikam_9", ""))
        assert answer.json()["id"] == "acct_fabrikam"

    def test_names_the_account_after_the_key(self, client):
        assert client.v1.accounts.retrieve_current().id == "acct_northwind"


class TestErrors:
    def test_says_which_object_is_not_there(self, client):
        with pytest.raises(stripe.InvalidRequestError) as refusal:
            client.v1.customers.retrieve("cus_gone")
        assert (refusal.value.http_status, refusal.value.code) == (404, "resource_missing")
        assert refusal.value.user_message == "No such customer: 'cus_gone'"
        assert refusal.value.param == "id"

    def test_says_which_parameter_is_unknown_or_missing(self, client):
        with pytest.raises(stripe.InvalidRequestError) as refusal:
            client.v1.customers.create({"nmae": "Ada"})
        assert refusal.value.code == "parameter_unknown"
        assert refusal.value.user_message == "Received unknown parameter: nmae"
        with pytest.raises(stripe.InvalidRequestError) as refusal:
            client.v1.billing.meters.create(
                {"display_name": "x", "event_name": "y", "default_aggregation": {}}
            )
        assert refusal.value.code == "parameter_missing"

    def test_does_not_know_other_urls(self, client):
        with pytest.raises(stripe.InvalidRequestError) as refusal:
            client.raw_request("get", "/v1/charges")
        assert refusal.value.http_status == 404
        assert str(refusal.value.user_message).startswith("Unrecognized request URL (GET: /v1/charges).")

    def test_carries_request_id_and_version(self, sandbox):
        headers = {"Authorization": f"Bearer {TEST_KEY}", "Stripe-Version": "2026-10-28.endive"}
        answer = httpx.get(f"{sandbox.stripe_url}/v1/customers", headers=headers)
        assert answer.headers["request-id"].startswith("req_")
        assert answer.headers["stripe-version"] == "2026-10-28.endive"

    def test_refuses_broken_brackets(self, sandbox):
        headers = {"Authorization": f"Bearer {TEST_KEY}"}
        for body in ("a]b=1", "name=x&name[y]=1", "name[y]=1&name=x", "%ff=1"):
            answer = httpx.post(f"{sandbox.stripe_url}/v1/customers", headers=headers, content=body)
            assert answer.status_code == 400, body


class TestMeters:
    def test_fill_in_stripes_defaults(self, client):
        meter = client.v1.billing.meters.create(
            {"display_name": "Tokens", "event_name": "tokens", "default_aggregation": {"formula": "sum"}}
        )
        assert meter.id.startswith("mtr_test_")
        assert meter.customer_mapping.event_payload_key == "stripe_customer_id"
        assert meter.value_settings.event_payload_key == "value"
        assert meter.event_time_window is None

    def test_share_no_event_name_while_active(self, client):
        first = create_price(client).recurring.meter
        with pytest.raises(stripe.InvalidRequestError, match="already exists"):
            create_price(client)
        client.v1.billing.meters.deactivate(first)
        create_price(client)
        with pytest.raises(stripe.InvalidRequestError, match="already exists"):
            client.v1.billing.meters.reactivate(first)

    def test_are_filtered_by_status(self, client):
        inactive = create_price(client).recurring.meter
        client.v1.billing.meters.deactivate(inactive)
        active = create_price(client, event_name="calls").recurring.meter
        listed = {
            status: client.v1.billing.meters.list({"status": status}).data
            for status in ("active", "inactive")
        }
        assert [meter.id for meter in listed["active"]] == [active]
        assert [meter.id for meter in listed["inactive"]] == [inactive]

    def test_change_their_display_name_only(self, client):
        meter = create_price(client).recurring.meter
        assert client.v1.billing.meters.update(meter, {"display_name": "New"}).display_name == "New"
        with pytest.raises(stripe.InvalidRequestError) as refusal:
            client.v1.billing.meters.update(meter, {"event_name": "other"})
        assert refusal.value.code == "parameter_unknown"

    def test_refuse_events_while_inactive(self, client):
        subscribed = subscribe(client)
        client.v1.billing.meters.deactivate(subscribed.meter)
        with pytest.raises(stripe.InvalidRequestError, match="No active meter found") as refusal:
            send_event(client, subscribed)
        assert refusal.value.code == "resource_missing"
        client.v1.billing.meters.reactivate(subscribed.meter)
        send_event(client, subscribed)


class TestPrices:
    def test_of_metered_usage_need_an_active_meter(self, client):
        product = client.v1.products.create({"name": "AI"})
        base = {"currency": "usd", "product": product.id, "unit_amount": 1}
        metered = {"interval": "month", "usage_type": "metered"}
        with pytest.raises(stripe.InvalidRequestError, match="must specify a meter"):
            client.v1.prices.create({**base, "recurring": metered})
        meter = create_price(client).recurring.meter
        client.v1.billing.meters.deactivate(meter)
        with pytest.raises(stripe.InvalidRequestError, match="inactive"):
            client.v1.prices.create({**base, "recurring": {**metered, "meter": meter}})

    def test_show_both_spellings_of_an_amount(self, client):
        product = client.v1.products.create({"name": "AI"}).id
        base = {"currency": "usd", "product": product}
        whole = client.v1.prices.create({**base, "unit_amount": 25})
        assert (whole.unit_amount, whole.unit_amount_decimal, whole.type) == (25, Decimal(25), "one_time")
        fine = client.v1.prices.create({**base, "unit_amount_decimal": "0.000000000001"})
        assert (fine.unit_amount, fine.unit_amount_decimal) == (None, Decimal("0.000000000001"))
        with pytest.raises(stripe.InvalidRequestError) as refusal:
            client.v1.prices.create({**base, "unit_amount_decimal": "0.0000000000001"})
        assert refusal.value.code == "parameter_invalid_decimal"

    def test_refuse_the_exponent_that_the_sdk_writes_for_small_decimals(self, client):
        product = client.v1.products.create({"name": "AI"}).id
        with pytest.raises(stripe.InvalidRequestError, match="1E-9"):
            client.v1.prices.create(
                {"currency": "usd", "product": product, "unit_amount_decimal": Decimal("0.000000001")}
            )

    def test_show_tiers_only_when_expanded(self, client):
        product = client.v1.products.create({"name": "AI"}).id
        tiers = [
            {"up_to": 10, "unit_amount": 5},
            {"up_to": "inf", "unit_amount_decimal": "0.5", "flat_amount": 3},
        ]
        base = {"currency": "usd", "product": product, "billing_scheme": "tiered", "tiers_mode": "graduated"}
        price = client.v1.prices.create({**base, "tiers": tiers})
        assert "tiers" not in price
        shown = client.v1.prices.retrieve(price.id, {"expand": ["tiers"]}).tiers
        assert [(tier.up_to, tier.unit_amount_decimal, tier.flat_amount) for tier in shown] == [
            (10, Decimal(5), None),
            (None, Decimal("0.5"), 3),
        ]
        rounding = {"divide_by": 10, "round": "up"}
        with pytest.raises(stripe.InvalidRequestError, match="transform_quantity"):
            client.v1.prices.create({**base, "tiers": tiers, "transform_quantity": rounding})
        with pytest.raises(stripe.InvalidRequestError, match="up_to=inf"):
            client.v1.prices.create({**base, "tiers": tiers[:1]})

    def test_hand_over_a_lookup_key_when_told_to(self, client):
        product = client.v1.products.create({"name": "AI"}).id
        base = {"currency": "usd", "product": product, "unit_amount": 1, "lookup_key": "tokens"}
        first = client.v1.prices.create(base)
        with pytest.raises(stripe.InvalidRequestError, match="already uses that lookup key"):
            client.v1.prices.create(base)
        second = client.v1.prices.create({**base, "transfer_lookup_key": True})
        assert [price.id for price in client.v1.prices.list({"lookup_keys": ["tokens"]}).data] == [second.id]
        assert client.v1.prices.retrieve(first.id).lookup_key is None

    def test_are_listed_with_their_products(self, client):
        create_price(client)
        listed = client.v1.prices.list({"expand": ["data.product"], "recurring": {"usage_type": "metered"}})
        assert listed.data[0].product.name == "AI Tokens"
        assert client.v1.prices.list({"recurring": {"usage_type": "licensed"}}).data == []


class TestCustomers:
    def test_merge_metadata(self, client):
        customer = client.v1.customers.create({"metadata": {"a": "1", "b": "2"}})
        customer = client.v1.customers.update(customer.id, {"metadata": {"b": "", "c": "3"}})
        assert customer.metadata.to_dict() == {"a": "1", "c": "3"}
        assert client.v1.customers.update(customer.id, {"metadata": ""}).metadata.to_dict() == {}

    def test_are_found_by_email(self, client):
        wanted = client.v1.customers.create({"email": "ada@example.com"})
        client.v1.customers.create({"email": "Ada@example.com"})
        assert [found.id for found in client.v1.customers.list({"email": "ada@example.com"}).data] == [
            wanted.id
        ]

    def test_leave_a_tombstone_when_deleted(self, client):
        to = subscribe(client)
        assert client.v1.customers.delete(to.customer).deleted is True
        assert client.v1.customers.retrieve(to.customer).deleted is True
        assert client.v1.customers.list().data == []
        assert client.v1.subscriptions.retrieve(to.subscription).status == "canceled"

    def test_page_both_ways_and_filter_by_creation(self, client, control):
        ids = []
        for minute in range(5):
            control.set_clock(NOW + dt.timedelta(minutes=minute))
            ids.append(client.v1.customers.create().id)
        newest_first = ids[::-1]
        page = client.v1.customers.list({"limit": 2})
        assert ([row.id for row in page.data], page.has_more) == (newest_first[:2], True)
        page = client.v1.customers.list({"limit": 3, "starting_after": newest_first[1]})
        assert ([row.id for row in page.data], page.has_more) == (newest_first[2:], False)
        page = client.v1.customers.list({"limit": 2, "ending_before": newest_first[3]})
        assert ([row.id for row in page.data], page.has_more) == (newest_first[1:3], True)
        later = client.v1.customers.list({"created": {"gte": int(NOW.timestamp()) + 180}})
        assert [row.id for row in later.data] == newest_first[:2]
