"""Prices that change in the middle of a period, items that move to another meter, and items taken off."""

from datetime import UTC, datetime, timedelta
from decimal import Decimal

import pytest

from sync.models import Finding, ItemPrice, Meter, SubscriptionItem, UsageReport
from sync.operations.plan_carry import plan_carry
from sync.operations.redefine_meter import Definition, redefine_meter
from sync.ports import InvalidInput
from sync.wiring import connect
from tests.office import dialog_url, text_of
from tests.world import Metered, Subscriber, World

pytestmark = pytest.mark.django_db

MINUTE, HOUR = timedelta(minutes=1), timedelta(hours=1)
START = datetime(2026, 3, 10, 9, 0, 33, tzinfo=UTC)
END = datetime(2026, 4, 10, 9, 0, 33, tzinfo=UTC)
SWAP = datetime(2026, 3, 20, 10, 20, 17, tzinfo=UTC)


@pytest.fixture
def tokens(world):
    """Return a meter that the console knew before anybody subscribed; it is an odd second."""
    world.at(START)
    tokens = world.meter()
    world.sync()
    return tokens


@pytest.fixture
def calls(world, tokens):
    """Return another meter, with a price of ten cents."""
    return world.meter("calls", unit_amount=10)


def another_price(world: World, metered: Metered, unit_amount: int = 2, **recurring: str) -> str:
    return world.stripe(
        "POST",
        "/prices",
        currency="usd",
        unit_amount=unit_amount,
        product_data={"name": "dearer"},
        recurring={"interval": "month", "usage_type": "metered", "meter": metered.stripe_id, **recurring},
    )["id"]


def swap(world: World, who: Subscriber, price: str, **form: str) -> None:
    world.stripe("POST", f"/subscription_items/{who.item}", price=price, **form)


def subscriber(world: World, metered: Metered, mode: str = "flexible") -> Subscriber:
    return world.subscriber(metered, billing_mode={"type": mode})


def lines(world: World, who: Subscriber) -> list[tuple[Decimal, int]]:
    """Return quantity and amount of what final invoices bill of an item, that of nothing left out."""
    found = world.control.invoices(subscription=who.subscription)
    return sorted(
        (Decimal(line["quantity"]), line["amount"])
        for one in found
        for line in one["lines"]
        if line["item"] == who.item and one["finalized_at"] and Decimal(line["quantity"])
    )


def rows(metered: Metered, *statuses: str) -> list[Decimal]:
    found = UsageReport.objects.filter(enrolment__meter__stripe_id=metered.stripe_id)
    return list(
        found.filter(status__in=statuses).order_by("slice_start", "revision").values_list("value", flat=True)
    )


def messages(kind: str) -> list[str]:
    return list(Finding.objects.filter(kind=kind, resolved_at=None).values_list("message", flat=True))


class TestTheHistory:
    def test_dates_each_change_by_stripes_events(self, world, tokens, calls):
        ada = subscriber(world, tokens)
        world.sync()
        world.at(SWAP)
        swap(world, ada, dearer := another_price(world, tokens))
        world.at(SWAP + HOUR)
        swap(world, ada, calls.price)
        world.at(SWAP + 5 * HOUR)
        world.sync()
        world.later(hours=1)
        world.sync()
        kept = ItemPrice.objects.order_by("start").values_list(
            "price__stripe_id", "meter__event_name", "start", "end"
        )
        assert list(kept) == [
            (tokens.price, "tokens", START, SWAP),
            (dearer, "tokens", SWAP, SWAP + HOUR),
            (calls.price, "calls", SWAP + HOUR, None),
        ]
        assert not messages("swap_undated")

    def test_dates_a_change_by_the_read_where_events_may_not_be_read(self, world, tokens, calls):
        ada = subscriber(world, tokens)
        world.sync()
        world.at(SWAP)
        swap(world, ada, calls.price)
        world.at(SWAP + 5 * HOUR)
        forbidden = {"error": {"type": "invalid_request_error", "message": "rak_event_read"}}
        world.control.fault("GET /v1/events", status=403, body=forbidden, times=100)
        world.sync()
        old, new = ItemPrice.objects.order_by("start")
        assert (old.end, new.start, new.end) == (SWAP + 5 * HOUR, SWAP + 5 * HOUR, None)
        assert old.not_before == START
        (said,) = messages("swap_undated")
        assert "between 2026-03-10 09:00:33 UTC and 2026-03-20 15:20:17 UTC" in said

    def test_begins_before_anybody_saw_the_item(self, world, tokens, calls):
        ada = subscriber(world, tokens)
        world.use("ada", 5, SWAP - HOUR)
        world.at(SWAP)
        swap(world, ada, calls.price)
        world.use("ada", 11, SWAP + MINUTE, "calls")
        world.at(SWAP + 2 * HOUR)
        world.report()
        kept = ItemPrice.objects.order_by("start").values_list("meter__event_name", "start", "end")
        assert list(kept) == [("tokens", START, SWAP), ("calls", SWAP, None)]
        assert (rows(tokens, "late"), rows(calls, "delivered")) == ([5], [11])

    def test_has_items_that_came_and_went_unseen(self, world, tokens):
        ada = subscriber(world, tokens)
        world.use("ada", 5, SWAP - HOUR)
        world.at(SWAP)
        items = [{"id": ada.item, "deleted": True}, {"price": another_price(world, tokens)}]
        world.stripe("POST", f"/subscriptions/{ada.subscription}", items=items)
        world.use("ada", 11, SWAP + MINUTE)
        world.at(SWAP + 2 * HOUR)
        world.report()
        gone = SubscriptionItem.objects.get(stripe_id=ada.item)
        assert (gone.created_at, gone.deleted_at) == (START, SWAP)
        assert (rows(tokens, "late"), rows(tokens, "delivered")) == ([5], [11])

    def test_ends_with_an_item_that_is_taken_off(self, world, tokens, calls):
        ada = subscriber(world, tokens)
        world.stripe("POST", "/subscription_items", subscription=ada.subscription, price=calls.price)
        world.sync()
        world.at(SWAP)
        world.stripe("DELETE", f"/subscription_items/{ada.item}")
        world.at(SWAP + 5 * HOUR)
        world.sync()
        assert ItemPrice.objects.get(item__stripe_id=ada.item).end == SWAP
        assert SubscriptionItem.objects.get(stripe_id=ada.item).deleted_at == SWAP


class TestAnItemThatMovesToAnotherMeter:
    @pytest.mark.parametrize("window", ["", "hour"])
    def test_is_billed_by_each_in_its_time_and_never_by_both(self, world, tokens, window):
        calls = world.meter("calls", unit_amount=10, window=window)
        world.sync()
        ada = subscriber(world, tokens)
        world.sync()
        world.use("ada", 5, SWAP - 2 * HOUR)
        world.use("ada", 1000, SWAP - 2 * HOUR, "calls")
        world.at(SWAP - MINUTE)
        world.report()
        world.use("ada", 7, SWAP - 2 * MINUTE)
        world.at(SWAP)
        swap(world, ada, calls.price)
        world.use("ada", 300, SWAP + MINUTE)
        world.use("ada", 11, SWAP + MINUTE, "calls")
        world.at(SWAP + HOUR)
        world.report()
        assert (rows(tokens, "delivered"), rows(tokens, "late")) == ([5], [7])
        assert messages("late")
        world.at(END + 2 * HOUR)
        world.report()
        assert lines(world, ada) == [(Decimal(5), 5), (Decimal(11), 110)]
        assert (rows(tokens, "delivered"), rows(tokens, "late")) == ([5], [7])
        assert (rows(calls, "delivered"), rows(calls, "late")) == ([11], [])

    def test_that_was_reported_by_the_old_one_before_anybody_saw_it(self, world, tokens, calls):
        world.sync()
        ada = subscriber(world, tokens)
        world.sync()
        world.at(SWAP)
        world.report()
        swap(world, ada, calls.price)
        world.use("ada", 7, SWAP - 2 * MINUTE)
        world.use("ada", 300, SWAP + MINUTE)
        world.use("ada", 11, SWAP + MINUTE, "calls")
        world.at(SWAP + HOUR)
        world.report(sync=False)
        assert rows(tokens, "delivered") == [307]
        world.at(SWAP + 2 * HOUR)
        world.report()
        world.at(END + 2 * HOUR)
        world.report()
        assert lines(world, ada) == [(Decimal(11), 110)]
        (said,) = messages("swap_not_billed")
        assert "7 units" in said


class TestAnotherPriceOfTheSameMeter:
    def test_in_flexible_billing_mode_is_that_of_what_is_reported_after_it(self, world, tokens):
        ada = subscriber(world, tokens)
        world.sync()
        world.use("ada", 5, SWAP - 2 * HOUR)
        world.at(SWAP - MINUTE)
        world.report()
        world.use("ada", 7, SWAP - 2 * MINUTE)
        world.at(SWAP)
        swap(world, ada, another_price(world, tokens))
        world.use("ada", 11, SWAP + MINUTE)
        for _ in range(2):
            world.later(hours=1)
            world.report()
        assert rows(tokens, "delivered") == [5, 7, 11]
        world.at(END + 2 * HOUR)
        world.report()
        assert lines(world, ada) == [(Decimal(5), 5), (Decimal(18), 36)]
        (said,) = messages("swap_repriced")
        assert "7 units of tokens were used before" in said
        assert "bills 0.14 USD for them; at the price when they were used it is 0.07 USD" in said

    def test_in_classic_billing_mode_drops_what_was_used_before(self, world, tokens):
        ada = subscriber(world, tokens, "classic")
        world.sync()
        world.use("ada", 5, SWAP - 2 * HOUR)
        world.at(SWAP - MINUTE)
        world.report()
        world.use("ada", 7, SWAP - 2 * MINUTE)
        world.at(SWAP)
        swap(world, ada, another_price(world, tokens))
        world.use("ada", 11, SWAP + MINUTE)
        world.later(hours=1)
        world.report()
        assert (rows(tokens, "delivered"), rows(tokens, "late")) == ([5, 11], [7])
        (said,) = messages("swap_not_billed")
        assert "5 units of tokens were used and reported before: in classic billing mode" in said
        assert "(0.05 USD)" in said
        Finding.objects.filter(kind="swap_not_billed").update(
            resolved_at=world.now, resolution="paid otherwise"
        )
        world.at(END + 2 * HOUR)
        world.report()
        assert lines(world, ada) == [(Decimal(11), 22)]
        assert not messages("swap_not_billed")

    def test_on_a_meter_that_keeps_one_value_an_hour_bills_no_hour_twice(self, world):
        world.control.settings(window_revised_after_price_change="whole")
        world.at(START)
        tokens = world.meter(window="hour")
        world.sync()
        ada = subscriber(world, tokens)
        world.sync()
        world.use("ada", 5, SWAP - 2 * HOUR)
        world.at(SWAP - MINUTE)
        world.report()
        world.at(SWAP)
        swap(world, ada, another_price(world, tokens))
        world.use("ada", 1, SWAP - 2 * HOUR)
        world.use("ada", 11, SWAP + MINUTE)
        world.later(hours=1)
        world.report()
        assert (rows(tokens, "delivered"), rows(tokens, "late")) == ([5, 11], [6])
        world.at(END + 2 * HOUR)
        world.report()
        assert lines(world, ada) == [(Decimal(5), 5), (Decimal(11), 22)]


@pytest.mark.parametrize("mode", ["flexible", "classic"])
def test_what_was_used_of_an_item_that_is_taken_off_and_not_reported_is_late(world, tokens, calls, mode):
    ada = subscriber(world, tokens, mode)
    world.stripe("POST", "/subscription_items", subscription=ada.subscription, price=calls.price)
    world.sync()
    world.use("ada", 5, SWAP - 2 * HOUR)
    world.at(SWAP - MINUTE)
    world.report()
    world.use("ada", 7, SWAP - 2 * MINUTE)
    world.at(SWAP)
    world.stripe("DELETE", f"/subscription_items/{ada.item}")
    world.use("ada", 300, SWAP + MINUTE)
    world.later(hours=1)
    world.report()
    assert (rows(tokens, "delivered"), rows(tokens, "late")) == ([5], [7])
    world.at(END + 2 * HOUR)
    world.report()
    assert lines(world, ada) == ([(Decimal(5), 5)] if mode == "flexible" else [])
    assert ["5 units" in said for said in messages("swap_not_billed")] == (
        [] if mode == "flexible" else [True]
    )


def test_what_follows_a_swapped_period_is_billed_as_ever(world, tokens):
    ada = subscriber(world, tokens)
    world.sync()
    world.at(SWAP)
    swap(world, ada, another_price(world, tokens))
    world.at(SWAP + HOUR)
    world.report()
    world.use("ada", 2, END - 2 * HOUR)
    world.use("ada", 3, END - 5 * MINUTE)
    world.at(END - 3 * MINUTE)
    world.report()
    # Stripe puts nothing on an invoice any more that comes in once a period is over whose price changed.
    world.at(END + 10 * MINUTE)
    world.report()
    assert rows(tokens, "late") == [3]
    world.use("ada", 4, END + HOUR)
    world.at(END + 5 * HOUR)
    world.report()
    world.later(days=31)
    assert lines(world, ada) == [(Decimal(2), 4), (Decimal(4), 8)]


def test_a_new_definition_of_a_meter_is_billed_to_the_cent_and_never_beside_the_old_one(world, tokens):
    ada, bob = subscriber(world, tokens), world.subscriber(tokens, "bob")
    world.sync()
    for who, amount in (("ada", 5000), ("bob", 3000)):
        world.use(who, amount, SWAP - 2 * HOUR)
    world.at(SWAP - 15 * MINUTE)
    world.report()
    connections = connect(config=world.config)
    new = redefine_meter(
        meter=Meter.objects.get(event_name="tokens"),
        definition=Definition(
            event_name="tokens_2",
            meter_name="Tokens, in thousands",
            window="none",
            openmeter_slug="tokens",
            filters={},
            scale=Decimal("0.001"),
            decimals=3,
        ),
        stripe=connections.stripe,
        openmeter=connections.openmeter,
        why="Sold by the thousand.",
        now=world.now,
    )
    price = another_price(world, Metered("tokens", new.stripe_id, ""), unit_amount=1000)
    world.use("ada", 70, SWAP - 16 * MINUTE)
    world.at(SWAP)
    swap(world, ada, price)
    for who in ("ada", "bob"):
        world.use(who, 2500, SWAP + MINUTE)
    for _ in range(2):
        world.later(hours=1)
        world.report()
    world.at(END + 2 * HOUR)
    world.report()
    assert lines(world, ada) == [(Decimal("2.5"), 2500), (Decimal(5000), 5000)]
    assert lines(world, bob) == [(Decimal(5500), 5500)]
    assert rows(tokens, "late") == [70]


class TestPages:
    @pytest.fixture
    def moved(self, office, tokens, calls):
        """Return an item that moved from one meter to another, and nothing was on time but the first use."""
        world = office.world
        world.sync()
        ada = subscriber(world, tokens)
        world.sync()
        world.use("ada", 5, SWAP - 2 * HOUR)
        world.at(SWAP - MINUTE)
        world.report()
        world.at(SWAP)
        swap(world, ada, calls.price)
        world.use("ada", 11, SWAP + MINUTE, "calls")
        world.later(hours=1)
        world.report()
        return SubscriptionItem.objects.get(stripe_id=ada.item)

    def test_show_which_prices_an_item_had(self, office, moved, tokens, calls):
        browser = office.browser()
        for model, pk in (("subscriptionitem", moved.pk), ("subscription", moved.subscription_id)):
            page = text_of(office.get(browser, dialog_url(model, "change", pk)))
            assert "Prices that the item had" in page
            assert "2026-03-20 10:20:17" in page
            assert all(price in page for price in (tokens.price, calls.price))
        # Five at a cent, eleven at ten.
        assert "1.15 USD" in page

    def test_tell_of_a_period_by_each_of_its_meters(self, office, moved):
        browser, period = office.browser(), moved.periods.get()
        url = dialog_url("billingperiod", "change", period.pk)
        page = text_of(office.get(browser, url))
        assert "which measured it instead" in page
        old = Meter.objects.get(event_name="tokens")
        assert f"?meter={old.pk}" in page
        by_old = office.get(browser, url, meter=old.pk).context["story"]
        assert (by_old.enrolment.meter, by_old.measured, by_old.line.delivered) == (old, 5, 16)
        assert office.get(browser, url, meter="²").context["story"].measured == 11
        report = UsageReport.objects.get(enrolment__meter=old)
        page = text_of(office.get(browser, dialog_url("usagereport", "change", report.pk)))
        assert url in page


def test_what_is_carried_costs_what_its_price_was(world, tokens):
    """LATE_USAGE=carry_forward must not take a dearer price for the one at which something was used."""
    ada = subscriber(world, tokens, "classic")
    world.sync()
    world.use("ada", 5, SWAP - HOUR)
    world.at(SWAP)
    swap(world, ada, another_price(world, tokens))
    world.use("ada", 1, SWAP + MINUTE)
    world.later(hours=2)
    world.report()
    (late,) = UsageReport.objects.filter(status="late").select_related(
        "enrolment__meter", "enrolment__customer"
    )
    plan = plan_carry(late, now=world.now)
    assert [money.text for money in (*plan.amounts_then, *plan.amounts_now)] == ["0.05 USD", "0.10 USD"]
    assert not plan.amounts_agree


def test_what_turns_out_to_be_less_than_was_billed_at_an_old_price_waits_for_a_person(world, tokens):
    ada = subscriber(world, tokens)
    world.sync()
    world.use("ada", 500, SWAP - 2 * HOUR)
    world.use("ada", 1, SWAP - 2 * HOUR - MINUTE)
    world.at(SWAP - 15 * MINUTE)
    world.report()
    world.at(SWAP)
    swap(world, ada, another_price(world, tokens))
    lost = SWAP - 2 * HOUR - MINUTE
    world.forget(
        meter="tokens", subject="ada", **{"from": lost.isoformat(), "to": (lost + MINUTE).isoformat()}
    )
    for _ in range(2):
        world.later(hours=1)
        world.report()
    (late,) = UsageReport.objects.filter(status="late").select_related(
        "enrolment__meter", "enrolment__customer"
    )
    assert (late.value, "at the price that came" in late.error) == (-1, True)
    # Nothing was used since, so there is nothing to take it off.
    with pytest.raises(InvalidInput, match="takes 1 units away"):
        plan_carry(late, now=world.now)
    world.use("ada", 3, world.now - HOUR)
    world.later(hours=1)
    world.report()
    plan = plan_carry(late, now=world.now)
    assert [money.text for money in (*plan.amounts_then, *plan.amounts_now)] == ["-0.01 USD", "-0.02 USD"]
    world.at(END + 2 * HOUR)
    assert lines(world, ada) == [(Decimal(3), 6), (Decimal(501), 501)]
