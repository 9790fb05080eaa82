"""Subscriptions in the sandbox and what time does to them, seen through the real SDK."""

import datetime as dt

import pytest
import stripe

from tests.integration.sandbox_fixtures import *  # noqa: F403 - fixtures are found by name
from tests.integration.sandbox_fixtures import NOW
from tests.sandbox_client import Subscribed, create_price, subscribe, unix

pytestmark = pytest.mark.usefixtures("sandbox")


class TestSubscriptions:
    def period(self, client, to: Subscribed) -> tuple[str, str]:
        item = client.v1.subscription_items.retrieve(to.item)
        instants = (item.current_period_start, item.current_period_end)
        start, end = (dt.datetime.fromtimestamp(instant, dt.UTC).isoformat()[:16] for instant in instants)
        return start, end

    def test_carry_their_periods_on_items_only(self, client):
        to = subscribe(client)
        subscription = client.v1.subscriptions.retrieve(to.subscription)
        assert "current_period_end" not in subscription
        assert subscription.billing_mode.type == "flexible"
        assert self.period(client, to) == ("2026-01-31T10:30", "2026-02-28T10:30")

    def test_roll_over_february_and_back_to_day_31(self, client, control):
        to = subscribe(client)
        control.set_clock(NOW + dt.timedelta(days=28, seconds=-1))
        assert self.period(client, to) == ("2026-01-31T10:30", "2026-02-28T10:30")
        control.set_clock(NOW + dt.timedelta(days=28))
        assert self.period(client, to) == ("2026-02-28T10:30", "2026-03-31T10:30")
        control.set_clock(NOW + dt.timedelta(days=28 + 31 + 30))
        assert self.period(client, to) == ("2026-04-30T10:30", "2026-05-31T10:30")

    def test_begin_after_their_trial(self, client, control):
        to = subscribe(client, trial_period_days=14)
        trial_end = int(NOW.timestamp()) + 14 * 86_400
        made = client.v1.subscriptions.retrieve(to.subscription)
        assert (made.status, made.trial_end, made.billing_cycle_anchor) == ("trialing", trial_end, trial_end)
        assert self.period(client, to) == ("2026-01-31T10:30", "2026-02-14T10:30")
        control.set_clock(NOW + dt.timedelta(days=14))
        assert client.v1.subscriptions.retrieve(to.subscription).status == "active"
        assert self.period(client, to) == ("2026-02-14T10:30", "2026-03-14T10:30")

    def test_count_from_now_when_the_anchor_is_reset_or_the_trial_ended(self, client, control):
        to = subscribe(client, trial_period_days=14)
        control.set_clock(NOW + dt.timedelta(days=2))
        active = client.v1.subscriptions.update(to.subscription, {"trial_end": "now"})
        assert (active.status, active.trial_end) == ("active", int(NOW.timestamp()) + 2 * 86_400)
        assert self.period(client, to) == ("2026-02-02T10:30", "2026-03-02T10:30")
        control.set_clock(NOW + dt.timedelta(days=9))
        client.v1.subscriptions.update(to.subscription, {"billing_cycle_anchor": {"type": "now"}})
        assert self.period(client, to) == ("2026-02-09T10:30", "2026-03-09T10:30")
        later = int(NOW.timestamp()) + 20 * 86_400
        again = client.v1.subscriptions.update(to.subscription, {"trial_end": later})
        assert (again.status, again.billing_cycle_anchor) == ("trialing", later)
        assert self.period(client, to) == ("2026-02-09T10:30", "2026-02-20T10:30")

    def test_end_when_they_were_told_to(self, client, control):
        to = subscribe(client)
        client.v1.subscriptions.update(to.subscription, {"cancel_at_period_end": True})
        control.set_clock(NOW + dt.timedelta(days=60))
        ended = client.v1.subscriptions.retrieve(to.subscription)
        assert (ended.status, ended.ended_at) == ("canceled", unix("2026-02-28T10:30:00"))
        assert ended.canceled_at == int(NOW.timestamp())
        assert self.period(client, to) == ("2026-01-31T10:30", "2026-02-28T10:30")

    def test_end_at_an_instant_and_can_be_kept_after_all(self, client, control):
        to = subscribe(client, cancel_at=unix("2026-03-10T00:00:00"))
        kept = client.v1.subscriptions.update(to.subscription, {"cancel_at": ""})
        assert (kept.cancel_at, kept.canceled_at) == (None, None)
        client.v1.subscriptions.update(to.subscription, {"cancel_at": unix("2026-03-10T00:00:00")})
        control.set_clock(NOW + dt.timedelta(days=90))
        assert client.v1.subscriptions.retrieve(to.subscription).ended_at == unix("2026-03-10T00:00:00")
        assert self.period(client, to) == ("2026-02-28T10:30", "2026-03-31T10:30")

    def test_end_at_once_and_only_once(self, client):
        to = subscribe(client)
        ended = client.v1.subscriptions.cancel(to.subscription, {"invoice_now": True, "prorate": False})
        assert (ended.status, ended.ended_at) == ("canceled", int(NOW.timestamp()))
        with pytest.raises(stripe.InvalidRequestError) as refusal:
            client.v1.subscriptions.cancel(to.subscription)
        assert refusal.value.code == "resource_missing"
        client.v1.subscriptions.update(to.subscription, {"metadata": {"why": "left"}})
        with pytest.raises(stripe.InvalidRequestError, match="canceled subscription"):
            client.v1.subscriptions.update(to.subscription, {"description": "x"})

    def test_start_in_the_past_and_count_from_an_anchor(self, client):
        start, anchor = unix("2026-01-10T00:00:00"), unix("2026-02-05T00:00:00")
        to = subscribe(client, backdate_start_date=start, billing_cycle_anchor=anchor)
        assert client.v1.subscriptions.retrieve(to.subscription).start_date == start
        assert self.period(client, to) == ("2026-01-10T00:00", "2026-02-05T00:00")

    def test_are_listed_by_state_as_it_is_now(self, client, control):
        price = create_price(client)
        ending = subscribe(client, price, cancel_at=unix("2026-02-10T00:00:00"))
        trying = subscribe(client, price, trial_period_days=20)
        late = subscribe(client, price)
        control.patch_stripe(late.subscription, status="past_due")
        control.set_clock(NOW + dt.timedelta(days=12))

        def listed(**params: str) -> list[str]:
            return [row.id for row in client.v1.subscriptions.list(params).data]

        assert listed() == [late.subscription, trying.subscription]
        assert listed(status="all") == [late.subscription, trying.subscription, ending.subscription]
        assert listed(status="canceled") == listed(status="ended") == [ending.subscription]
        assert listed(status="past_due") == [late.subscription]
        assert listed(customer=trying.customer) == [trying.subscription]
        assert listed(price=price.id) == [late.subscription, trying.subscription]
        assert listed(price="price_other") == []

    def test_expand_at_most_four_levels(self, client):
        to = subscribe(client)
        listed = client.v1.subscriptions.list({"expand": ["data.customer"]})
        assert listed.data[0].customer.email == "ada@example.com"
        shown = client.v1.subscriptions.retrieve(to.subscription, {"expand": ["items.data.price.product"]})
        assert shown["items"].data[0].price.product.name == "AI Tokens"
        with pytest.raises(stripe.InvalidRequestError, match="more than 4 levels"):
            client.v1.subscriptions.list({"expand": ["data.items.data.price.product"]})
        with pytest.raises(stripe.InvalidRequestError, match="cannot be expanded"):
            client.v1.subscriptions.retrieve(to.subscription, {"expand": ["status"]})

    def test_show_ten_items_and_page_the_rest(self, client):
        product = client.v1.products.create({"name": "Seats"}).id
        prices = [
            client.v1.prices.create(
                {"currency": "usd", "product": product, "unit_amount": n, "recurring": {"interval": "month"}}
            ).id
            for n in range(12)
        ]
        customer = client.v1.customers.create().id
        items = [{"price": price} for price in prices]
        made = client.v1.subscriptions.create({"customer": customer, "items": items})
        assert (len(made["items"].data), made["items"].has_more) == (10, True)
        listed = client.v1.subscription_items.list({"subscription": made.id, "limit": 5})
        assert [item.price.id for item in listed.auto_paging_iter()] == prices
        assert [item.price.id for item in made["items"].auto_paging_iter()] == prices


class TestSubscriptionItems:
    def test_are_added_changed_and_removed(self, client, control):
        to = subscribe(client)
        other = create_price(client, event_name="calls")
        control.set_clock(NOW + dt.timedelta(days=3))
        item = client.v1.subscription_items.create({"subscription": to.subscription, "price": other.id})
        assert (item.created, item.current_period_end) == (
            int(NOW.timestamp()) + 3 * 86_400,
            unix("2026-02-28T10:30:00"),
        )
        changed = client.v1.subscription_items.update(item.id, {"metadata": {"om_meter_id": "calls"}})
        assert changed.metadata["om_meter_id"] == "calls"
        assert client.v1.subscription_items.delete(item.id).deleted is True
        with pytest.raises(stripe.InvalidRequestError, match="No such subscription_item"):
            client.v1.subscription_items.retrieve(item.id)
        with pytest.raises(stripe.InvalidRequestError, match="at least one active plan"):
            client.v1.subscription_items.delete(to.item)

    def test_are_swapped_through_the_subscription(self, client):
        to = subscribe(client)
        other = create_price(client, event_name="calls")
        items = [{"id": to.item, "deleted": True}, {"price": other.id}]
        changed = client.v1.subscriptions.update(to.subscription, {"items": items})
        assert [item.price.id for item in changed["items"].data] == [other.id]

    def test_refuse_a_second_of_the_same_price_and_a_quantity_on_a_metered_one(self, client):
        to = subscribe(client)
        with pytest.raises(stripe.InvalidRequestError, match="same plan"):
            client.v1.subscription_items.create({"subscription": to.subscription, "price": to.price})
        other = create_price(client, event_name="calls").id
        with pytest.raises(stripe.InvalidRequestError, match="metered"):
            client.v1.subscription_items.create(
                {"subscription": to.subscription, "price": other, "quantity": 2}
            )
