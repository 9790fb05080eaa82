"""When usage is billed, as syncs learn of it: nothing that becomes billable later is passed over."""

import itertools
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext

from sync.models import BillingPeriod, Enrolment, Meter, Subject, Subscription, SubscriptionPause
from sync.operations.link_meters import link_meters
from sync.operations.measure_anew import measure_from
from sync.operations.register_meter import register_meter
from sync.ports import SourceMeter, StripeMeter
from tests.world import START

pytestmark = pytest.mark.django_db
HOUR = timedelta(hours=1)


def at(text: str) -> datetime:
    """Return the UTC instant of 2026 that "month-day hour:minute" names."""
    return datetime.fromisoformat(f"2026-{text.replace(' ', 'T')}").replace(tzinfo=UTC)


def measured_through(instant):
    """Pretend that everything up to then was measured."""
    Enrolment.objects.update(planned_through=instant)


def mark(customer):
    return Enrolment.objects.get(customer__stripe_id=customer).planned_through


def spans(item):
    return list(
        BillingPeriod.objects.filter(item__stripe_id=item).order_by("start").values_list("start", "end")
    )


class TestTheMarkGoesBack:
    """`planned_through` never says that something was measured which nobody could have looked for."""

    @pytest.fixture
    def tokens(self, world):
        return world.meter()

    @pytest.fixture
    def ada(self, world, tokens):
        ada = world.subscriber(tokens)
        world.sync()
        return ada

    def test_to_the_hour_in_which_a_new_period_begins(self, world, ada):
        world.at(at("04-12 10:00"))
        measured_through(at("04-12 09:00"))
        world.sync()
        assert mark(ada.customer) == at("04-10 09:00")

    def test_to_the_end_that_a_period_had_before(self, world, ada):
        BillingPeriod.objects.update(end=at("03-11 12:30:30"), closes_at=at("03-11 13:30:30"))
        measured_through(at("03-12 09:00"))
        world.at(at("03-12 09:03"))
        world.sync()
        assert mark(ada.customer) == at("03-11 12:00")

    def test_to_the_beginning_of_a_backdated_subscription(self, world, ada, tokens):
        world.at(at("03-11 10:00"))
        measured_through(at("03-11 09:00"))
        world.subscribe(ada.customer, tokens, "ada", backdate_start_date=int(at("03-05 07:00").timestamp()))
        world.sync()
        assert mark(ada.customer) == at("03-05 07:00")

    def test_to_the_beginning_of_a_subscription_whose_first_payment_came_late(self, world, tokens, ada):
        world.control.patch_stripe(ada.subscription, status="incomplete")
        world.sync()
        measured_through(at("03-10 20:00"))
        world.at(at("03-10 20:03"))
        world.sync()
        assert mark(ada.customer) == at("03-10 20:00")

        world.control.patch_stripe(ada.subscription, status="active")
        world.later(minutes=5)
        world.sync()
        assert mark(ada.customer) == START

    def test_to_the_beginning_of_an_item_that_gets_its_meter_later(self, world, tokens, ada):
        price = world.stripe("GET", f"/prices/{tokens.price}")
        world.control.patch_stripe(tokens.price, recurring=price["recurring"] | {"meter": None})
        world.later(hours=5)
        world.sync()
        measured_through(world.now)
        world.control.patch_stripe(tokens.price, recurring=price["recurring"])
        world.later(hours=5)
        world.sync()
        assert mark(ada.customer) == START

    def test_to_the_new_end_of_a_trial_and_to_an_end_that_is_no_more(self, world, tokens):
        bob = world.subscriber(tokens, "bob", trial_end=int(at("03-20 09:00").timestamp()))
        world.sync()
        world.at(at("03-12 10:30"))
        measured_through(world.now + HOUR)
        world.stripe("POST", f"/subscriptions/{bob.subscription}", trial_end="now")
        world.sync()
        assert mark(bob.customer) == at("03-12 10:00")

        Subscription.objects.update(cancel_at=at("03-13 07:10"))
        world.at(at("03-14 10:00"))
        measured_through(world.now)
        world.sync()
        assert mark(bob.customer) == at("03-13 07:00")

    def test_only_where_something_became_billable(self, world, tokens, ada):
        bob = world.subscriber(tokens, "bob")
        world.later(hours=1)
        world.sync()
        Enrolment.objects.filter(customer__stripe_id=bob.customer).update(planned_through=None)
        Enrolment.objects.filter(customer__stripe_id=ada.customer).update(planned_through=world.now + HOUR)
        world.subscriber(tokens, "eve")
        world.later(hours=1)
        world.sync()
        assert mark(ada.customer) == world.now
        assert mark(bob.customer) is None

    def test_with_as_many_queries_for_many_items_as_for_one(self, world, tokens, ada):
        for number in range(4):
            world.subscriber(tokens, f"c{number}")
        world.sync()
        counts = []
        for starts in ([1], [1, 2, 3, 4, 5]):
            measured_through(at("03-12 00:00"))
            items = BillingPeriod.objects.order_by("pk").values_list("item_id", flat=True)
            with CaptureQueriesContext(connection) as queries:
                measure_from({items[number - 1]: at("03-11 00:00") for number in starts})
            counts.append(len([q for q in queries if "sync_billingperiod" not in q["sql"]]))
            assert Enrolment.objects.filter(planned_through=at("03-11 00:00")).count() == len(starts)
        assert counts[0] == counts[1]

    def test_where_a_page_broke_off_the_rest_is_found_by_the_next_sync(self, world, tokens, ada, monkeypatch):
        """What a change made billable is stored with the change, or neither is."""
        world.control.patch_stripe(ada.subscription, status="incomplete")
        world.later(minutes=1)
        world.sync()
        world.at(at("03-10 20:03"))
        measured_through(at("03-10 20:00"))
        world.control.patch_stripe(ada.subscription, status="active")

        def fail(*_args, **_kwargs):
            message = "killed"
            raise RuntimeError(message)

        with monkeypatch.context() as broken:
            broken.setattr("sync.operations.mirror_subscriptions.measure_from", fail)
            with pytest.raises(RuntimeError):
                world.sync()
        world.later(minutes=1)
        world.sync()
        assert mark(ada.customer) == START


class TestAnotherMeasurement:
    """What was measured by another meter, or by another definition, was not measured."""

    @pytest.fixture
    def ada(self, world):
        ada = world.subscriber(world.meter(group_by={"a": "$.a"}))
        world.sync()
        measured_through(world.now + HOUR)
        return ada

    OTHER = SourceMeter(id="01OTHER", slug="other", aggregation="SUM")

    def test_registered(self, ada, world):
        meter = Meter.objects.get()
        shown = StripeMeter(
            id=meter.stripe_id,
            event_name=meter.event_name,
            display_name="",
            formula="sum",
            event_time_window="",
            customer_key="stripe_customer_id",
            value_key="value",
            active=True,
        )
        same = SourceMeter(id=meter.openmeter_id, slug="tokens", aggregation="SUM")
        register_meter(shown, source=same, now=world.now)
        assert mark(ada.customer) == world.now + HOUR
        register_meter(shown, source=self.OTHER, now=world.now)
        assert mark(ada.customer) is None

    def test_tied(self, ada, world):
        Meter.objects.update(openmeter_slug="other", openmeter_id="")
        link_meters([self.OTHER])
        assert mark(ada.customer) is None

    @pytest.mark.parametrize(
        ("changed", "anew"),
        [
            ({"openmeter_slug": "other"}, True),
            ({"filters": '{"a": ["b"]}'}, True),
            ({"scale": "2"}, True),
            ({"decimals": "2"}, True),
            ({"settle_seconds": "60"}, False),
        ],
    )
    def test_edited(self, ada, world, office, changed, anew):
        world.meter("other")
        browser, meter = office.browser(), Meter.objects.get()
        form = {"openmeter_slug": "tokens", "filters": "{}", "scale": "1", "decimals": "6"}
        form |= {"settle_seconds": "120", "max_units_per_slice": "", "why": "x"}
        page = f"/sync/meter/{meter.pk}/change/"
        assert office.post(browser, page, **form).status_code == 302
        assert mark(ada.customer) == world.now + HOUR
        assert office.post(browser, page, **form | changed).status_code == 302
        assert (mark(ada.customer) is None) is anew


class TestUnseenPeriods:
    @pytest.fixture
    def tokens(self, world):
        return world.meter()

    def test_the_first_short_period_of_an_item_that_came_after_us(self, world, tokens):
        world.sync()
        world.at(at("03-10 23:10"))
        midnight = int(at("03-11 00:00").timestamp())
        ada = world.subscriber(tokens, billing_cycle_anchor=midnight)
        world.at(at("03-11 00:05"))
        world.sync()
        first, second = spans(ada.item)
        assert first == (at("03-10 23:10"), at("03-11 00:00"))
        assert second[0] == at("03-11 00:00")
        assert BillingPeriod.objects.order_by("start")[0].closes_at == at("03-11 01:00")

    def test_not_what_was_before_us(self, world, tokens):
        ada = world.subscriber(tokens)
        world.at(at("06-12 00:00"))
        world.sync()
        world.later(hours=1)
        world.sync()
        assert spans(ada.item) == [(at("06-10 09:00"), at("07-10 09:00"))]

    @pytest.mark.parametrize("mode", ["flexible", "classic"])
    def test_the_past_of_a_backdated_subscription_with_the_invoice_that_it_is_on(self, world, tokens, mode):
        world.sync()
        created = at("03-11 10:00")
        world.at(created)
        start = int(at("02-05 00:00").timestamp())
        ada = world.subscriber(tokens, backdate_start_date=start, billing_mode={"type": mode})
        world.at(at("04-12 10:00"))
        world.sync()
        bounds = [at("02-05 00:00"), *(at(f"{month}-11 10:00") for month in ("02", "03", "04", "05"))]
        assert spans(ada.item) == list(itertools.pairwise(bounds))
        closing = [p.closes_at for p in BillingPeriod.objects.order_by("start")]
        later = [bound + HOUR for bound in bounds[3:]]
        # Flexible billing puts the past on the first invoice, which is final at once.
        assert closing == ([*bounds[1:3], *later] if mode == "flexible" else [later[0], later[0], *later])

    def test_a_gap_is_cut_as_the_price_says(self, world, tokens):
        daily = world.stripe(
            "POST",
            "/prices",
            currency="usd",
            unit_amount=1,
            product_data={"name": "daily"},
            recurring={"interval": "day", "usage_type": "metered", "meter": tokens.stripe_id},
        )
        ada = world.subscriber(replace(tokens, price=daily["id"]))
        world.sync()
        world.at(at("03-14 09:30"))
        world.sync()
        days = [at(f"03-{day} 09:00") for day in range(10, 16)]
        assert spans(ada.item) == list(itertools.pairwise(days))
        assert all(p.closes_at == p.end + HOUR for p in BillingPeriod.objects.all())

    def test_a_gap_of_months_follows_an_anchor_on_the_31st(self, world, tokens):
        world.at(at("01-31 10:30:05"))
        ada = world.subscriber(tokens)
        world.sync()
        world.at(at("05-01 00:00"))
        world.sync()
        assert [start for start, _ in spans(ada.item)] == [
            at(f"{day} 10:30:05") for day in ("01-31", "02-28", "03-31", "04-30")
        ]


class TestPauses:
    @pytest.fixture
    def tokens(self, world):
        return world.meter()

    def pauses(self):
        return list(SubscriptionPause.objects.order_by("start").values_list("start", "end"))

    def test_last_from_the_first_sync_that_saw_them_to_the_last(self, world, tokens):
        ada = world.subscriber(tokens)
        world.sync()
        world.later(hours=2)
        world.control.patch_stripe(ada.subscription, status="paused")
        paused_at = world.now
        for _ in range(2):
            world.sync()
            world.later(hours=1)
        assert self.pauses() == [(paused_at, None)]

        world.control.patch_stripe(ada.subscription, status="active")
        measured_through(world.now + HOUR)
        resumed_at = world.now
        world.sync()
        # It may have gone on right after it was last seen paused; measuring too much costs nobody.
        assert self.pauses() == [(paused_at, resumed_at - HOUR)]
        assert mark(ada.customer) == resumed_at - HOUR

    def test_begin_when_events_say_so_after_a_trial_that_nobody_saw_end(self, world, tokens):
        ends = at("03-12 09:00")
        ada = world.subscriber(tokens, trial_end=int(ends.timestamp()))
        item = world.stripe("GET", f"/subscription_items/{ada.item}")
        world.sync()
        world.at(ends + 5 * HOUR)
        period = {key: item[key] for key in ("current_period_start", "current_period_end")}
        world.control.patch_stripe(ada.subscription, status="paused")
        world.control.patch_stripe(ada.item, **period)
        world.later(hours=2)
        world.sync()
        assert self.pauses() == [(ends + 5 * HOUR, None)]

    def test_begin_with_the_end_of_the_trial(self, world, tokens):
        ends = at("03-12 09:00")
        ada = world.subscriber(tokens, trial_end=int(ends.timestamp()))
        item = world.stripe("GET", f"/subscription_items/{ada.item}")
        world.sync()
        world.at(ends)
        period = {key: item[key] for key in ("current_period_start", "current_period_end")}
        world.control.patch_stripe(ada.subscription, status="paused")
        world.control.patch_stripe(ada.item, **period)
        world.later(hours=2)
        world.sync()
        assert self.pauses() == [(ends, None)]

        world.control.patch_stripe(ada.subscription, status="active")
        world.later(hours=1)
        world.sync()
        again = world.now + HOUR
        world.at(again)
        world.control.patch_stripe(ada.subscription, status="paused")
        world.sync()
        assert self.pauses() == [(ends, ends + 2 * HOUR), (again, None)]

    def test_stay_open_where_the_subscription_ends(self, world, tokens):
        ada = world.subscriber(tokens)
        world.sync()
        world.later(hours=1)
        world.control.patch_stripe(ada.subscription, status="paused")
        world.sync()
        world.later(hours=1)
        world.control.patch_stripe(ada.subscription, status="canceled", ended_at=int(world.now.timestamp()))
        world.sync()
        assert self.pauses() == [(START + HOUR, None)]


class TestDeletedCustomers:
    @pytest.fixture
    def ada(self, world):
        ada = world.subscriber(world.meter())
        world.sync()
        return ada

    def held(self):
        rows = Subject.objects.order_by("pk").values_list("customer__stripe_id", "valid_from", "valid_to")
        return list(rows)

    def test_leave_their_key_to_the_customer_made_anew_from_the_hour_after(self, world, ada):
        world.at(at("03-10 11:20"))
        world.stripe("DELETE", f"/customers/{ada.customer}")
        world.at(at("03-10 15:05"))
        new = world.stripe("POST", "/customers", name="ada", metadata={"external_key": "ada"})["id"]
        world.sync()
        world.later(minutes=5)
        world.sync()
        noon = at("03-10 12:00")
        assert self.held() == [(ada.customer, None, noon), (new, noon, None)]

    def test_hold_it_until_the_hour_after_the_deletion_was_seen_where_nothing_says_more(self, world):
        old = world.stripe("POST", "/customers", name="ada", metadata={"external_key": "ada"})["id"]
        world.sync()
        world.stripe("DELETE", f"/customers/{old}")
        world.at(at("03-10 15:05"))
        world.sync()
        assert self.held() == [(old, None, at("03-10 16:00"))]

        world.later(minutes=5)
        new = world.stripe("POST", "/customers", name="ada", metadata={"external_key": "ada"})["id"]
        world.sync()
        assert self.held()[1] == (new, at("03-10 16:00"), None)

    def test_leave_it_to_a_customer_that_claimed_it_all_along_and_its_usage_is_measured(self, world, ada):
        world.later(hours=1)
        tokens = Meter.objects.get()
        price = tokens.prices.get().stripe_id
        other = world.stripe("POST", "/customers", name="eve", metadata={"external_key": "ada"})["id"]
        world.stripe("POST", "/subscriptions", customer=other, items=[{"price": price}])
        world.sync()
        assert self.held() == [(ada.customer, None, None)]

        world.at(at("03-10 11:20"))
        world.stripe("DELETE", f"/customers/{ada.customer}")
        world.at(at("03-10 15:05"))
        measured_through(at("03-10 15:00"))
        world.sync()
        noon = at("03-10 12:00")
        assert self.held() == [(ada.customer, None, noon), (other, noon, None)]
        assert mark(other) is None

    def test_never_held_what_was_to_become_theirs_later(self, world, ada):
        Subject.objects.update(valid_from=at("03-10 12:00"))
        world.at(at("03-10 11:20"))
        world.stripe("DELETE", f"/customers/{ada.customer}")
        world.sync()
        assert self.held() == []
