"""What the sandbox bills, to the cent: prices, drafts, what comes too late, and how subscriptions end."""

import datetime as dt
from collections.abc import Iterator
from typing import Any

import pytest

from sync.sandbox.server import SandboxServer
from tests.integration.billing_world import DAY, END, HOUR, Life, at, seconds
from tests.integration.sandbox_fixtures import *  # noqa: F403 - fixtures are found by name
from tests.integration.sandbox_fixtures import NOW
from tests.sandbox_client import SandboxControl

MINUTE = dt.timedelta(minutes=1)
SECOND = dt.timedelta(seconds=1)

TIERS = {
    "billing_scheme": "tiered",
    "tiers[0][up_to]": 10,
    "tiers[0][unit_amount]": 5,
    "tiers[0][flat_amount]": 100,
    "tiers[1][up_to]": 20,
    "tiers[1][unit_amount_decimal]": "2.5",
    "tiers[2][up_to]": "inf",
    "tiers[2][unit_amount_decimal]": "0.25",
    "tiers[2][flat_amount]": 7,
}
GRADUATED, VOLUME = TIERS | {"tiers_mode": "graduated"}, TIERS | {"tiers_mode": "volume"}
HUNDREDS = {"unit_amount": 30, "transform_quantity[divide_by]": 100}
UP = HUNDREDS | {"transform_quantity[round]": "up"}
DOWN = HUNDREDS | {"transform_quantity[round]": "down"}


@pytest.fixture
def life(sandbox) -> Iterator[Life]:
    with Life(sandbox) as life:
        yield life


class TestALine:
    @pytest.mark.parametrize(
        ("price", "used", "quantity", "cents"),
        [
            ({"unit_amount": 3}, ["7"], "7", 21),
            ({"unit_amount": 3}, [], "0", 0),
            # 2.5 units at 3 cents are 7.5 cents
            ({"unit_amount": 3}, ["2.5"], "2.5", 8),
            ({"unit_amount": 3}, ["2.49"], "2.49", 7),
            ({"unit_amount_decimal": "0.000000000001"}, ["999999999999999"], "999999999999999", 1000),
            ({"unit_amount_decimal": "0.015"}, ["33.3", "0.033333333333"], "33.333333333333", 0),
            ({"unit_amount": 10}, ["0.1", "0.2"], "0.3", 3),
            ({"unit_amount": 10}, ["5", "-2"], "3", 30),
            ({"unit_amount": 10}, ["2", "-5"], "0", 0),
            # 10 × 5 + 100, then 10 × 2.5, then 4.5 × 0.25 + 7 = 183.125
            (GRADUATED, ["24.5"], "24.5", 183),
            (GRADUATED, ["10"], "10", 150),
            # Of the eleventh unit on the second tier holds: 150 + 0.5 × 2.5 = 151.25
            (GRADUATED, ["10.5"], "10.5", 151),
            (GRADUATED, [], "0", 100),
            (VOLUME, ["10"], "10", 150),
            (VOLUME, ["10.5"], "10.5", 26),
            (VOLUME, ["20"], "20", 50),
            (VOLUME, ["100"], "100", 32),
            (UP, ["201"], "201", 90),
            (UP, ["200"], "200", 60),
            (DOWN, ["299.9"], "299.9", 60),
            (DOWN, ["99"], "99", 0),
        ],
    )
    def test_costs_what_the_price_makes_of_the_quantity(self, life, price, used, quantity, cents):
        life.subscribe(life.price(life.meter(), **price))
        for value in used:
            life.use(value)
        life.at(END + HOUR)
        assert life.billed() == [[(quantity, cents)]]

    @pytest.mark.parametrize(
        ("formula", "window", "quantity"),
        [("sum", "", "12"), ("count", "", "3"), ("last", "", "2"), ("sum", "hour", "7"), ("sum", "day", "2")],
    )
    def test_has_what_the_meter_makes_of_its_events(self, life, formula, window, quantity):
        life.subscribe(life.price(life.meter(formula=formula, window=window)))
        life.at("02-01 13:00")
        life.use(5, "02-01 11:50")
        life.use(5, "02-01 11:05")
        life.use(2, "02-01 12:00")
        life.at(END + HOUR)
        ((line,),) = life.billed()
        assert line[0] == quantity

    def test_carries_everything_that_names_it(self, life):
        price = life.price(life.meter(), unit_amount_decimal="1.5")
        made = life.subscribe(price)
        life.use("2.75")
        life.at(END + HOUR)
        (invoice,) = life.get("/invoices", subscription=made["id"])["data"]
        (line,) = invoice["lines"]["data"]
        assert (line["quantity"], line["quantity_decimal"], line["amount"]) == (2, "2.75", 4)
        assert line["period"] == {"start": seconds(NOW), "end": seconds(END)}
        assert line["pricing"]["price_details"]["price"] == price
        details = line["parent"]["subscription_item_details"]
        assert details["subscription_item"] == made["items"]["data"][0]["id"]
        assert invoice["parent"]["subscription_details"]["subscription"] == made["id"]
        assert life.get(f"/subscriptions/{made['id']}")["latest_invoice"] == invoice["id"]
        expanded = life.get(f"/subscriptions/{made['id']}", **{"expand[]": "latest_invoice"})
        assert expanded["latest_invoice"]["total"] == 4
        (exact,) = life.control.invoices()
        assert (exact["lines"][0]["exact_amount"], exact["total"]) == ("4.125", 4)


class TestADraft:
    @pytest.fixture
    def tokens(self, life) -> dict[str, Any]:
        return life.subscribe(life.price(life.meter()))

    def test_is_made_at_the_periods_end_and_final_an_hour_later(self, life, tokens):
        life.use(3)
        life.at(END)
        (draft,) = life.drafts()
        assert (draft["billing_reason"], draft["created"]) == ("subscription_cycle", seconds(END))
        assert draft["automatically_finalizes_at"] == seconds(END + HOUR)
        assert (draft["period_start"], draft["period_end"]) == (seconds(NOW), seconds(END))
        assert life.control.invoices() == []
        life.at(END + HOUR)
        (final,) = life.get("/invoices")["data"]
        assert (final["id"], final["status"], final["amount_paid"]) == (draft["id"], "paid", 30)
        transitions = final["status_transitions"]
        assert transitions["finalized_at"] == transitions["paid_at"] == seconds(END + HOUR)
        assert list(life.events()) == [
            ("invoice.created", seconds(END)),
            ("invoice.finalized", seconds(END + HOUR)),
            ("invoice.paid", seconds(END + HOUR)),
        ]

    def test_shows_what_was_there_and_counts_what_came_before_it_was_final(self, life, tokens):
        life.use(3)
        life.at(END + 59 * MINUTE)
        counted = life.use(4, END - SECOND)
        (draft,) = life.drafts()
        assert draft["lines"]["data"][0]["quantity"] == 3
        assert life.why(counted) == f"{draft['id']} is still a draft"
        life.at(END + HOUR)
        late, early = life.use(5, END - SECOND), life.use(6, END + SECOND)
        assert life.billed() == [[("7", 70)]]
        assert life.why(counted) is None
        assert life.why(late) == f"it was received after {draft['id']} was final"
        assert life.why(early) == "its period is still open"
        life.at(END + 31 * DAY + HOUR)
        assert life.billed() == [[("7", 70)], [("6", 60)]]

    @pytest.mark.parametrize("hours", [2, 72])
    def test_waits_as_long_as_the_account_says(self, life, tokens, hours):
        life.control.settings(invoice_finalization_hours=hours)
        life.at(END + (hours - 1) * HOUR)
        life.use(3, END - SECOND)
        assert life.billed() == []
        life.at(END + hours * HOUR)
        assert life.billed() == [[("3", 30)]]

    def test_is_held_until_somebody_makes_it_final(self, life, tokens):
        life.at(END)
        (draft,) = life.drafts()
        held = life.post(f"/invoices/{draft['id']}", auto_advance="false")
        assert (held["auto_advance"], held["automatically_finalizes_at"]) == (False, None)
        life.at(END + 5 * DAY)
        life.use(3, END - SECOND)
        assert life.billed() == []
        final = life.post(f"/invoices/{draft['id']}/finalize")
        assert (final["status"], final["total"]) == ("paid", 30)
        assert life.billed() == [[("3", 30)]]

    def test_is_final_when_it_is_told_to_be(self, life, tokens):
        life.at(END)
        (draft,) = life.drafts()
        life.post(f"/invoices/{draft['id']}", automatically_finalizes_at=seconds(END + 5 * HOUR))
        life.at(END + 5 * HOUR - SECOND)
        life.use(3, END - SECOND)
        life.at(END + 5 * HOUR)
        assert life.billed() == [[("3", 30)]]

    def test_of_months_that_pass_at_once_has_only_its_own(self, life, tokens):
        life.use(1)
        life.at("02-28 10:20")
        life.use(2)
        life.at("07-01 00:00")
        assert life.billed() == [[("3", 30)], *[[("0", 0)]] * 4]
        happened = [name for name, _ in life.events("customer.subscription.updated")]
        renewal = ["customer.subscription.updated", "invoice.created", "invoice.finalized", "invoice.paid"]
        assert happened == renewal  # of the last thirty days
        created = [row["created"] for row in life.control.invoices()]
        ends = ["02-28 10:30", "03-31 10:30", "04-30 10:30", "05-31 10:30", "06-30 10:30"]
        assert created == [seconds(at(end)) for end in ends]

    def test_is_previewed_before_it_is_there(self, life, tokens):
        life.use(3)
        upcoming = life.post("/invoices/create_preview", subscription=tokens["id"])
        assert (upcoming["total"], upcoming["billing_reason"]) == (30, "upcoming")
        assert life.get("/invoices")["data"] == []
        life.at(END + HOUR)
        assert life.billed() == [[("3", 30)]]

    def test_leaves_out_an_event_that_was_canceled(self, life, tokens):
        wrong, right = life.use(3), life.use(4)
        cancel = {"type": "cancel", "event_name": "tokens", "cancel[identifier]": wrong}
        life.post("/billing/meter_event_adjustments", cancel)
        assert life.control.totals() == {(life.customer, "tokens"): "4"}
        life.at(END + HOUR)
        assert life.billed() == [[("4", 40)]]
        assert (life.why(wrong), life.why(right)) == ("it was canceled", None)


class TestWhatIsNotEstablished:
    """Both readings, in a period that ends at half past ten."""

    @pytest.mark.parametrize(
        ("reading", "first", "second"), [("next", ("1", 10), ("2", 20)), ("this", ("3", 30), ("0", 0))]
    )
    def test_an_event_at_the_very_end_of_a_period(self, life, reading, first, second):
        life.control.settings(event_at_period_end=reading)
        life.subscribe(life.price(life.meter()))
        life.use(1, NOW)
        life.at(END)
        life.use(2, END)
        life.at(END + 31 * DAY + HOUR)
        assert life.billed() == [[first], [second]]

    @pytest.mark.parametrize(
        ("reading", "first", "second"), [("event", ("1", 10), ("7", 70)), ("start", ("8", 80), ("0", 0))]
    )
    def test_a_window_across_the_end_of_a_period(self, life, reading, first, second):
        life.control.settings(straddling_hour_window=reading)
        life.subscribe(life.price(life.meter(window="hour")))
        life.use(1, NOW + MINUTE)
        life.at("02-28 11:15")
        replaced = life.use(5, "02-28 10:29:59")
        life.use(7, "02-28 10:59:59")
        life.at(END + 31 * DAY + HOUR)
        assert life.billed() == [[first], [second]]
        assert life.why(replaced) == "a newer event of its window replaced it"

    @pytest.mark.parametrize(
        ("reading", "lines"),
        [
            ("one", [("24.5", 183)]),
            # 10 × 5 + 100, 10 × 2.5, 4.5 × 0.25 + 7 = 8.125
            ("each_tier", [("10", 150), ("10", 25), ("4.5", 8)]),
        ],
    )
    def test_the_lines_of_graduated_tiers(self, life, reading, lines):
        life.control.settings(graduated_lines=reading)
        life.subscribe(life.price(life.meter(), **GRADUATED))
        life.use("24.5")
        life.at(END + HOUR)
        (invoice,) = life.get("/invoices")["data"]
        for shown in (invoice["lines"], life.get(f"/invoices/{invoice['id']}/lines")):
            assert [(line["quantity_decimal"], line["amount"]) for line in shown["data"]] == lines
            assert len({line["id"] for line in shown["data"]}) == len(lines)
        assert invoice["total"] == 183
        assert life.billed() == [[("24.5", 183)]]

    @pytest.mark.parametrize(("reading", "first"), [("later", ("3", 30)), ("at_once", ("1", 10))])
    def test_the_first_invoice_of_all_where_it_is_a_periods(self, life, reading, first):
        life.control.settings(first_period_invoice_finalizes=reading)
        life.subscribe(life.price(life.meter()))
        life.use(1)
        for end in (END, END + 31 * DAY):
            life.at(end)
            life.use(2, end - SECOND)
        life.at(END + 40 * DAY)
        assert life.billed() == [[first], [("2", 20)]]


class TestItems:
    def test_on_one_meter_all_bill_the_same_usage(self, life):
        meter = life.meter()
        cheap, dear = life.price(meter, unit_amount=1), life.price(meter, unit_amount=5)
        life.subscribe(cheap, dear)
        life.subscribe(dear)
        used = life.use(3)
        life.at(END + HOUR)
        assert life.billed() == [[("3", 3), ("3", 15)], [("3", 15)]]
        (row,) = life.control.landings()
        assert (row["identifier"], len(row["lines"])) == (used, 3)

    def test_of_other_intervals_have_invoices_of_their_own(self, life):
        meter = life.meter()
        life.subscribe(life.price(meter), life.price(meter, interval="week", unit_amount=1))
        life.use(3)
        life.at("02-10 00:00")
        life.use(4)
        life.at(END + HOUR)
        # weeks end on February 7, 14, 21 and, with the month, 28
        assert life.billed() == [[("3", 3)], [("4", 4)], [("0", 0)], [("7", 70), ("0", 0)]]

    def test_that_are_licensed_are_billed_ahead_and_at_once(self, life):
        life.subscribe(life.price(None, unit_amount=500), life.price(life.meter()))
        (first,) = life.get("/invoices")["data"]
        assert (first["billing_reason"], first["status"], first["total"]) == (
            "subscription_create",
            "paid",
            500,
        )
        life.use(3)
        life.at(END + HOUR)
        assert life.billed() == [[("1", 500)], [("3", 30), ("1", 500)]]

    def test_in_classic_mode_begin_with_a_line_of_nothing(self, life):
        life.subscribe(life.price(life.meter(), **GRADUATED), **{"billing_mode[type]": "classic"})
        assert life.billed() == [[("0", 0)]]
        life.use(3)
        life.at(END + HOUR)
        assert life.billed() == [[("0", 0)], [("3", 115)]]

    def test_nobody_subscribed_to_are_billed_nowhere(self, life):
        life.subscribe(life.price(life.meter()))
        life.meter("calls")
        used = life.use(3, meter="calls")
        life.at(END + HOUR)
        assert life.billed() == [[("0", 0)]]
        assert life.why(used) == "no subscription item measured the meter at its time"


class TestARestart:
    def test_loses_no_draft_and_nothing_that_was_canceled(self, tmp_path):
        state = tmp_path / "sandbox.sqlite3"
        with SandboxServer(state=state) as server, SandboxControl(server.base_url) as control:
            control.set_clock(NOW)
            with Life(server) as life:
                made = life.subscribe(life.price(life.meter()), life.price(life.meter("calls")))
                life.use(3)
                wrong = life.use(4)
                cancel = {"type": "cancel", "event_name": "tokens", "cancel[identifier]": wrong}
                life.post("/billing/meter_event_adjustments", cancel)
                life.use(2, meter="calls")
                life.delete(f"/subscription_items/{made['items']['data'][1]['id']}")
                life.at(END + 5 * MINUTE)
        with SandboxServer(state=state) as server, Life(server) as life:
            life.at(END + HOUR)
            assert life.billed() == [[("3", 30), ("2", 20)]]


class TestWhatWasTakenAway:
    def test_stops_the_time_of_its_subscription_only(self, life):
        gone, kept = life.price(life.meter("calls")), life.price(life.meter())
        life.subscribe(gone)
        fine = life.subscribe(kept)
        life.control.delete_stripe(gone)
        life.use(3)
        life.at(END + HOUR)
        assert life.billed() == [[("3", 30)]]
        assert life.get(f"/subscriptions/{fine['id']}")["status"] == "active"


class TestTheList:
    def test_is_filtered_and_paged(self, life):
        price = life.price(life.meter())
        one, two = life.subscribe(price), life.subscribe(price)
        life.at(END + HOUR)
        life.at(END + 31 * DAY)

        def ids(**filters: Any) -> list[str]:
            return [row["id"] for row in life.get("/invoices", **filters)["data"]]

        assert len(ids()) == 4
        assert len(ids(subscription=one["id"])) == len(ids(subscription=two["id"])) == 2
        assert len(ids(customer=life.customer, status="draft")) == 2
        assert len(ids(status="paid")) == 2
        assert len(ids(**{"created[gt]": seconds(END)})) == 2
        assert ids(limit=3) + ids(starting_after=ids(limit=3)[-1]) == ids()
        assert life._http.get("/invoices", params={"subscription": "sub_none"}).status_code == 400
        assert life._http.get("/invoices/in_none").status_code == 404
