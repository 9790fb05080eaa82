"""What the sandbox bills when subscriptions change: prices, items, anchors, trials, pauses and ends."""

from collections.abc import Iterator

import pytest

from tests.integration.billing_world import DAY, END, HOUR, Life, at, seconds
from tests.integration.sandbox_fixtures import *  # noqa: F403 - fixtures are found by name
from tests.integration.sandbox_fixtures import NOW

MODES = ("flexible", "classic")
NEXT_END = END + 31 * DAY
MID = "02-10 12:00"
BEGINNING = {"classic": [[("0", 0)]], "flexible": []}
"""The first invoice of a metered subscription."""


@pytest.fixture
def life(sandbox) -> Iterator[Life]:
    with Life(sandbox) as life:
        yield life


def mode(name: str) -> dict[str, str]:
    return {"billing_mode[type]": name}


class TestASwappedPrice:
    """From ten cents to a cent, in the middle of the period."""

    @pytest.fixture(params=MODES)
    def swapped(self, life, request) -> Iterator[str]:
        meter = life.meter()
        old, new = life.price(meter), life.price(meter, unit_amount=1)
        made = life.subscribe(old, **mode(request.param))
        self.item = made["items"]["data"][0]["id"]
        life.at(MID)
        life.use(100, "02-10 11:00")
        life.post(f"/subscription_items/{self.item}", price=new)
        return request.param

    def test_bills_each_unit_at_the_price_when_it_was_reported_or_only_what_came_after(self, life, swapped):
        delayed = life.use(7, "02-10 11:30")
        life.use(30, "02-10 12:00")
        life.at(END)
        in_grace = life.use(1000, "02-28 10:00")
        life.at(END + HOUR)
        expected = {"flexible": [("37", 37), ("100", 1000)], "classic": [("30", 30)]}[swapped]
        assert life.billed() == [*BEGINNING[swapped], expected]
        assert life.why(in_grace) == (
            "the price had changed in its period, and it was received after the period's end"
        )
        lost = "classic billing mode bills nothing of a price that goes in mid-period"
        assert life.why(delayed) == (lost if swapped == "classic" else None)
        life.use(5)
        life.at(NEXT_END + HOUR)
        assert life.billed()[-1] == [("5", 5)]

    @pytest.mark.parametrize(("reading", "revised"), [("difference", ("30", 30)), ("whole", ("130", 130))])
    def test_on_a_windowed_meter_bills_what_is_new_in_a_revised_hour(self, life, reading, revised):
        life.control.settings(window_revised_after_price_change=reading)
        meter = life.meter(window="hour")
        old, new = life.price(meter), life.price(meter, unit_amount=1)
        made = life.subscribe(old)
        life.at(MID)
        life.use(100, "02-10 11:00")
        life.post(f"/subscription_items/{made['items']['data'][0]['id']}", price=new)
        life.use(130, "02-10 11:00")
        life.at(END + HOUR)
        assert life.billed() == [[revised, ("100", 1000)]]

    @pytest.mark.parametrize(
        ("behavior", "expected"),
        [
            ("create_prorations", [[("0", 0), ("100", 1000)]]),
            ("always_invoice", [[("100", 1000)], [("0", 0)]]),
            ("none", [[("0", 0)]]),
        ],
    )
    def test_is_billed_when_it_is_to_be(self, life, behavior, expected):
        meter = life.meter()
        old, new = life.price(meter), life.price(meter, unit_amount=1)
        made = life.subscribe(old)
        life.use(100)
        life.at(MID)
        form = {"items[0][id]": made["items"]["data"][0]["id"], "items[0][price]": new}
        life.post(f"/subscriptions/{made['id']}", form, proration_behavior=behavior)
        life.at(END + HOUR)
        assert life.billed() == expected

    @pytest.mark.parametrize("name", MODES)
    def test_at_the_very_start_of_a_period_bills_nothing_twice(self, life, name):
        life.control.settings(event_at_period_end="this")
        meter = life.meter()
        made = life.subscribe(life.price(meter), **mode(name))
        life.at(END)
        life.use(3)
        new = life.price(meter, unit_amount=1)
        life.post(f"/subscription_items/{made['items']['data'][0]['id']}", price=new)
        life.at(NEXT_END + HOUR)
        assert life.billed() == [*BEGINNING[name], [("3", 30)], [("0", 0)]]


class TestItems:
    @pytest.mark.parametrize("name", MODES)
    def test_that_are_replaced_hand_over(self, life, name):
        meter = life.meter()
        old, new = life.price(meter), life.price(meter, unit_amount=1)
        made = life.subscribe(old, **mode(name))
        life.use(100)
        life.at(MID)
        form = {
            "items[0][id]": made["items"]["data"][0]["id"],
            "items[0][deleted]": "true",
            "items[1][price]": new,
        }
        life.post(f"/subscriptions/{made['id']}", form)
        life.use(7, "02-10 11:30")
        life.use(30)
        life.at(END)
        life.use(2, "02-28 10:00")
        life.at(END + HOUR)
        expected = {"flexible": [("39", 39), ("100", 1000)], "classic": [("32", 32)]}[name]
        assert life.billed() == [*BEGINNING[name], expected]

    @pytest.mark.parametrize("name", MODES)
    @pytest.mark.parametrize(
        ("form", "flexible"),
        [
            ({}, [("0", 0), ("3", 3)]),
            ({"proration_behavior": "none"}, [("0", 0)]),
            ({"clear_usage": "true"}, [("0", 0)]),
        ],
    )
    def test_that_are_removed_bill_what_was_reported_or_nothing(self, life, name, form, flexible):
        calls = life.meter("calls")
        made = life.subscribe(life.price(life.meter()), life.price(calls, unit_amount=1), **mode(name))
        life.use(3, meter="calls")
        life.at(MID)
        life.delete(f"/subscription_items/{made['items']['data'][1]['id']}", **form)
        late = life.use(4, "02-10 11:00", meter="calls")
        life.at(END + HOUR)
        beginning = [[("0", 0), ("0", 0)]] if name == "classic" else []
        assert life.billed() == [*beginning, [("0", 0)] if name == "classic" else flexible]
        assert life.why(late) is not None

    @pytest.mark.parametrize("name", MODES)
    def test_that_are_added_count_from_then(self, life, name):
        calls = life.meter("calls")
        made = life.subscribe(life.price(life.meter()), **mode(name))
        life.use(3, meter="calls")
        life.at(MID)
        life.post("/subscription_items", subscription=made["id"], price=life.price(calls))
        life.use(4, "02-10 11:59:59", meter="calls")
        life.use(5, meter="calls")
        life.at(END + HOUR)
        expected = {"flexible": ("9", 90), "classic": ("5", 50)}[name]
        assert life.billed() == [*BEGINNING[name], [("0", 0), expected]]


class TestABackdatedStart:
    def test_is_one_line_for_each_period_on_the_first_invoice_if_flexible(self, life):
        price = life.price(life.meter())
        life.use(1, "01-08")
        life.use(2, "01-11")
        life.use(4, "01-31 10:29:59")
        too_early = life.use(8, "01-07")
        life.subscribe(price, backdate_start_date=seconds(at("01-08")))
        late = life.use(16, "01-20")
        life.use(32)
        life.at(END + HOUR)
        assert life.billed() == [[("7", 70)], [("32", 320)]]
        assert life.why(too_early) == "no subscription item measured the meter at its time"
        assert "was final" in str(life.why(late))

    def test_has_a_line_for_each_week(self, life):
        price = life.price(life.meter(), interval="week")
        life.use(1, "01-15")
        life.use(2, "01-18")
        life.use(4, "01-30")
        life.subscribe(price, backdate_start_date=seconds(at("01-11")))
        (first,) = life.get("/invoices")["data"]
        periods = [line["period"] for line in first["lines"]["data"]]
        # 11 to 17 January had 1, to the 24th 2, to the 31st 4
        assert life.billed() == [[("1", 10), ("2", 20), ("4", 40)]]
        assert periods[0] == {"start": seconds(at("01-11")), "end": seconds(at("01-17 10:30"))}

    def test_is_on_the_next_invoice_if_classic(self, life):
        price = life.price(life.meter())
        life.use(1, "01-08")
        life.subscribe(price, backdate_start_date=seconds(at("01-08")), **mode("classic"))
        life.use(16, "01-20")
        life.use(32)
        life.at(END + HOUR)
        assert life.billed() == [[("0", 0)], [("49", 490)]]

    def test_without_it_nothing_earlier_counts(self, life):
        price = life.price(life.meter())
        life.use(1, "01-31 10:29:59")
        life.subscribe(price)
        life.at(END + HOUR)
        assert life.billed() == [[("0", 0)]]


class TestAShortenedPeriod:
    @pytest.mark.parametrize(("how", "counted"), [("later", 2), ("at_once", 0)])
    def test_is_billed_when_the_anchor_is_reset(self, life, how, counted):
        life.control.settings(change_invoice_finalizes=how)
        made = life.subscribe(life.price(life.meter()))
        life.use(3)
        life.at(MID)
        life.post(f"/subscriptions/{made['id']}", {"billing_cycle_anchor[type]": "now"})
        life.at(at(MID) + HOUR / 2)
        life.use(2, "02-10 11:59:59")
        life.use(5)
        life.at(at("03-10 13:00"))
        first = 3 + counted
        assert life.billed() == [[(str(first), first * 10)], [("5", 50)]]

    @pytest.mark.parametrize(("reading", "expected"), [("billed", [[("3", 30)]]), ("discarded", [])])
    def test_is_billed_or_not_when_cancel_at_cuts_it(self, life, reading, expected):
        life.control.settings(cancel_at_mid_period=reading)
        life.subscribe(life.price(life.meter()), cancel_at=seconds(at(MID)))
        life.use(3)
        life.at(at(MID) + HOUR)
        life.use(5)
        life.at(NEXT_END)
        assert life.billed() == expected


class TestATrial:
    def test_is_not_billed(self, life):
        life.subscribe(life.price(life.meter()), trial_period_days=14)
        during = life.use(3)
        life.at("02-14 11:00")
        assert life.get("/invoices")["data"] == []
        life.use(4, "02-14 10:29:59")
        life.use(5, "02-14 10:30:00")
        life.at("03-14 11:30")
        assert life.billed() == [[("5", 50)]]
        assert life.why(during) == "it lies in the trial"

    def test_that_is_ended_early_neither(self, life):
        made = life.subscribe(life.price(life.meter()), trial_period_days=14)
        life.use(3)
        life.at(MID)
        life.post(f"/subscriptions/{made['id']}", trial_end="now")
        life.use(4, "02-10 11:00")
        life.use(5)
        life.at("03-10 13:00")
        assert life.billed() == [[("5", 50)]]

    def test_that_comes_later_leaves_what_was_before(self, life):
        made = life.subscribe(life.price(life.meter()))
        life.use(3)
        life.at(MID)
        life.post(f"/subscriptions/{made['id']}", trial_end=seconds(at("02-20")))
        life.use(5)
        life.at("03-20 01:00")
        assert life.billed() == [[("3", 30)], [("0", 0)]]


class TestAPause:
    @pytest.mark.parametrize(("reading", "quantity"), [("billed", 9), ("dropped", 8)])
    def test_is_not_billed_and_what_comes_after_it_is(self, life, reading, quantity):
        life.control.settings(usage_before_pause=reading)
        made = life.subscribe(life.price(life.meter()))
        life.use(1)
        life.at(MID)
        life.control.patch_stripe(made["id"], status="paused")
        life.use(2)
        life.at("02-12")
        life.control.patch_stripe(made["id"], status="active")
        during = life.use(4, "02-11 23:59:59")
        life.use(8)
        life.at(END + HOUR)
        assert life.billed() == [[(str(quantity), quantity * 10)]]
        assert life.why(during) is not None

    def test_over_the_end_of_a_period_has_no_invoice(self, life):
        made = life.subscribe(life.price(life.meter()))
        life.use(1)
        life.at(MID)
        life.control.patch_stripe(made["id"], status="paused")
        life.at(END + DAY)
        assert life.get("/invoices")["data"] == []
        life.control.patch_stripe(made["id"], status="active")
        life.use(2, END + DAY / 2)
        life.use(4)
        life.at(NEXT_END + HOUR)
        assert life.billed() == [[("4", 40)]]


class TestAStateOfPayment:
    @pytest.mark.parametrize(
        ("status", "becomes"), [("active", "paid"), ("past_due", "open"), ("unpaid", "draft")]
    )
    def test_decides_what_becomes_of_the_invoice(self, life, status, becomes):
        made = life.subscribe(life.price(life.meter()))
        life.control.patch_stripe(made["id"], status=status)
        life.use(3)
        life.at(END + DAY)
        (invoice,) = life.get("/invoices")["data"]
        assert (invoice["status"], invoice["total"]) == (becomes, 30)

    @pytest.mark.parametrize(
        ("behavior", "becomes"),
        [("keep_as_draft", "draft"), ("mark_uncollectible", "uncollectible"), ("void", "void")],
    )
    def test_that_is_not_collected_goes_on(self, life, behavior, becomes):
        made = life.subscribe(life.price(life.meter()))
        life.post(f"/subscriptions/{made['id']}", {"pause_collection[behavior]": behavior})
        life.use(3)
        life.at(END + DAY)
        (invoice,) = life.get("/invoices")["data"]
        assert (invoice["status"], invoice["total"]) == (becomes, 30)

    def test_by_bill_stays_open(self, life):
        form = {"collection_method": "send_invoice", "days_until_due": 30}
        life.subscribe(life.price(None, unit_amount=500), **form)
        assert len(life.drafts()) == 1
        life.at(NOW + HOUR)
        (invoice,) = life.get("/invoices", status="open")["data"]
        assert invoice["amount_remaining"] == 500


class TestAnEnd:
    def test_at_once_discards_the_usage(self, life):
        made = life.subscribe(life.price(life.meter()))
        lost = life.use(3)
        life.at(MID)
        life.delete(f"/subscriptions/{made['id']}")
        life.at(NEXT_END)
        assert life.get("/invoices")["data"] == []
        assert life.why(lost) == "the subscription was canceled at once, without invoice_now"

    @pytest.mark.parametrize(("how", "quantity"), [("later", 5), ("at_once", 3)])
    def test_at_once_with_invoice_now_bills_it(self, life, how, quantity):
        life.control.settings(change_invoice_finalizes=how)
        made = life.subscribe(life.price(life.meter()))
        life.use(3)
        life.at(MID)
        life.delete(f"/subscriptions/{made['id']}", invoice_now="true")
        life.use(2, "02-10 11:59:59")
        after = life.use(7)
        life.at(NEXT_END)
        assert life.billed() == [[(str(quantity), quantity * 10)]]
        assert life.why(after) == "no subscription item measured the meter at its time"

    def test_holds_the_drafts_that_wait(self, life):
        made = life.subscribe(life.price(life.meter()))
        life.use(3)
        life.at(END + HOUR / 2)
        (draft,) = life.drafts()
        life.delete(f"/subscriptions/{made['id']}")
        life.at(END + DAY)
        (held,) = life.drafts()
        assert (held["id"], held["auto_advance"]) == (draft["id"], False)
        assert ("invoice.updated", seconds(END + HOUR / 2)) in list(life.events())
        assert life.post(f"/invoices/{draft['id']}/finalize")["total"] == 30

    @pytest.mark.parametrize(("hours", "quantity"), [(None, 7), (1, 3)])
    def test_with_the_period_bills_the_last_one(self, life, hours, quantity):
        life.control.settings(invoice_finalization_hours=72, last_invoice_finalization_hours=hours)
        made = life.subscribe(life.price(life.meter()))
        life.post(f"/subscriptions/{made['id']}", cancel_at_period_end="true")
        life.use(3)
        life.at(END + 2 * HOUR)
        life.use(4, END - HOUR)
        life.use(5)
        life.at(NEXT_END + DAY)
        assert life.billed() == [[(str(quantity), quantity * 10)]]
        assert life.get(f"/subscriptions/{made['id']}")["status"] == "canceled"

    def test_of_the_customer_ends_everything(self, life):
        life.subscribe(life.price(life.meter()))
        life.use(3)
        life.at(END)
        life.delete(f"/customers/{life.customer}")
        life.at(NEXT_END)
        assert life.billed() == []


class TestADay:
    def test_with_72_hours_has_several_drafts_that_keep_apart(self, life):
        life.control.settings(invoice_finalization_hours=72)
        life.subscribe(life.price(life.meter(), interval="day"))
        for day in range(3):
            life.at(NOW + day * DAY + HOUR)
            life.use(10**day)
        life.at(NOW + 3 * DAY)
        life.use(5, NOW + DAY - HOUR)
        assert len(life.drafts()) == 3
        life.at(NOW + 6 * DAY)
        assert life.billed() == [[("6", 60)], [("10", 100)], [("100", 1000)]]


def test_settings_say_how_long_and_refuse_what_is_not_admitted(sandbox, control):
    for wrong in ({"invoice_finalization_hours": 73}, {"event_at_period_end": "both"}):
        answer = control._http.patch("/settings", json=wrong)
        assert answer.status_code == 400
    assert control.settings()["event_at_period_end"] == "next"


def test_an_old_setting_holds_for_what_was_due_before_it_changed(life):
    life.subscribe(life.price(life.meter()))
    life.use(1, NOW)
    life.at(END)
    life.use(2, END)
    life.at(END + HOUR)
    life.control.settings(event_at_period_end="this")
    assert life.billed() == [[("1", 10)]]
