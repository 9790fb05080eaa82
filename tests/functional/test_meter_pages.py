"""What staff see of a meter, and how they start a new definition of it."""

from decimal import Decimal
from html import unescape

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext

from sync.domain.meters import filters_sentence, style_sentence, units_sentence
from sync.models import Meter
from sync.operations.redefine_meter import Definition, redefine_meter
from sync.ports import InvalidInput
from sync.wiring import connect
from tests.factories import FindingFactory, MeterFactory, PauseFactory, UsageReportFactory, subscribe
from tests.office import dialog_url, log_of, text_of
from tests.world import HOUR, START

FORM = {
    "event_name": "tokens_2",
    "meter_name": "Tokens, in thousands",
    "window": "none",
    "openmeter_meter": "tokens",
    "filters": "{}",
    "scale": "0.001",
    "decimals": "3",
    "why": "Sold by the thousand.",
}


class TestMeterPage:
    def test_says_in_words_how_it_works_and_what_stands_in_the_way(self, office, db):
        meter = MeterFactory(event_time_window="hour", filters={"model": ["a", "b"]}, scale=Decimal("0.5"))
        PauseFactory(meter=meter, reason="Prices change.")
        FindingFactory(meter=meter, message="Something is odd.")
        page = text_of(office.get(office.browser(), dialog_url("meter", "change", meter.pk)))
        assert style_sentence("hour") in unescape(page)
        assert "Only usage whose model is a or b." in page
        assert "measured × 0.5" in page
        assert "Prices change." in page
        assert "Something is odd." in page
        assert "its definition can still change" in page
        assert "No price on this meter is known here" in page

    def test_shows_what_is_frozen_the_prices_and_how_many_are_on_it(self, office, db):
        enrolment = subscribe()
        UsageReportFactory(enrolment=enrolment)
        meter = enrolment.meter
        page = text_of(office.get(office.browser(), dialog_url("meter", "change", meter.pk)))
        assert "Frozen:" in page
        assert meter.prices.get().stripe_id in page
        assert "1 customer is enrolled" in page
        assert "1.000000" not in page
        assert "all usage of the meter" in page
        assert "{}" not in page
        Meter.objects.update(filters={"type": ["input", ""]})
        page = text_of(office.get(office.browser("bo"), dialog_url("meter", "change", meter.pk)))
        assert "type is input or empty" in page

    def test_a_viewer_sees_the_same_and_edits_nothing(self, office, db):
        meter = MeterFactory()
        browser = office.browser("eve", group="Billing viewer")
        page = text_of(office.get(browser, dialog_url("meter", "change", meter.pk)))
        assert 'name="scale"' not in page
        assert "1.000000" not in page

    def test_the_list_says_which_are_reported(self, office, db):
        MeterFactory(active=False)
        PauseFactory(meter=MeterFactory())
        MeterFactory()
        page = text_of(office.get(office.browser(), dialog_url("meter", "changelist")))
        assert all(word in page for word in ("not reported", "paused", ">reported"))


@pytest.mark.parametrize(
    ("filters", "sentence"),
    [
        ({}, "Everything that the OpenMeter meter counts."),
        (
            {"model": ["a"], "plan": ["x", "y"]},
            "Only usage whose model is a and whose plan is x or y.",
        ),
    ],
)
def test_filters_are_said_in_words(filters, sentence):
    assert filters_sentence(filters) == sentence


def test_units_are_said_in_words():
    assert units_sentence(scale="1", decimals=6).startswith("Billed units are usage as it is measured")


class TestNewDefinition:
    def test_is_a_new_meter_and_nothing_that_was_reported_changes(self, world, office):
        ada = world.subscriber(tokens := world.meter())
        world.use("ada", 500, START + HOUR / 2)
        world.later(hours=2)
        world.report()
        old, browser = Meter.objects.get(), office.browser()
        url = dialog_url("meter", "redefine", old.pk)
        assert "Show what it measures" in text_of(office.get(browser, url))
        page = text_of(office.get(browser, url, **FORM))
        assert f"{tokens.price} (tokens, living subscriptions: 1)" in page
        assert office.post(browser, url, **FORM).status_code == 302
        new = Meter.objects.get(event_name="tokens_2")
        assert (new.openmeter_slug, new.scale, new.decimals) == ("tokens", Decimal("0.001"), 3)
        assert new.history.latest().history_change_reason == "Sold by the thousand."
        sentence = "The meter tokens_2 carries the new definition of tokens. Sold by the thousand."
        assert log_of(new) == log_of(old) == [sentence]
        old.refresh_from_db()
        assert (old.scale, old.event_name) == (1, "tokens")
        assert world.billed(ada) == 500
        world.later(minutes=5)
        self.move(world, ada, new)
        world.sync()
        world.use("ada", 2000, world.now + HOUR / 2)
        world.later(hours=2)
        world.report()
        assert (world.billed(ada), world.billed(ada, "tokens_2")) == (500, 2)

    def move(self, world, who, meter):
        """Do in Stripe what the dialog says has to be done there."""
        price = world.stripe(
            "POST",
            "/prices",
            currency="usd",
            unit_amount=1000,
            product_data={"name": "tokens"},
            recurring={"interval": "month", "usage_type": "metered", "meter": meter.stripe_id},
        )
        world.stripe("POST", "/subscription_items", subscription=who.subscription, price=price["id"])
        world.stripe("DELETE", f"/subscription_items/{who.item}")

    def test_shows_what_both_definitions_come_to_before_anything_is_stored(self, world, office):
        """Of two days and the hours of today, asked once, of those who are billed on the old one."""
        world.measure("tokens", group_by={"type": "$.type"})
        tokens = world.bill("tokens")
        world.subscriber(tokens)
        for type_, amount, day in (("input", 500, 0), ("output", 3000, 0), ("input", 70, 1), ("image", 2, 2)):
            world.use("ada", amount, START + day * 24 * HOUR + HOUR / 2, type=type_)
        world.use("nobody", 9999, START + HOUR / 2, type="input")
        world.later(hours=50)
        world.report()
        browser, url = office.browser(), dialog_url("meter", "redefine", Meter.objects.get().pk)
        given = FORM | {"filters": "type: input"}
        world.control.clear_requests()
        shown = office.get(browser, url, **given)
        assert shown.context["preview"].headers == (
            "UTC day",
            "units of tokens",
            "units of tokens_2",
            "difference",
        )
        assert shown.context["preview"].rows == [
            ("all of it", "3,572", "0.57", "-3,571.43"),
            ("2026-03-10", "3,500", "0.5", "-3,499.5"),
            ("2026-03-11", "70", "0.07", "-69.93"),
            ("2026-03-12", "2", "0", "-2"),
        ]
        assert len(world.control.requests("GET /api/v1/meters/{meter}/query")) == 1
        assert not Meter.objects.filter(event_name="tokens_2").exists()
        assert len(world.stripe("GET", "/billing/meters")["data"]) == 1

    def test_shows_another_openmeter_meter_beside_the_old_one(self, world, office):
        world.subscriber(world.meter())
        world.measure("calls")
        world.use("ada", 5, START + HOUR / 2)
        world.use("ada", 7, START + HOUR / 2, "calls")
        world.later(hours=2)
        world.report()
        url = dialog_url("meter", "redefine", Meter.objects.get().pk)
        given = FORM | {"openmeter_meter": "calls", "scale": "1"}
        shown = office.get(office.browser(), url, **given)
        assert shown.context["preview"].rows[0] == ("all of it", "5", "7", "2")

    def test_says_so_where_neither_counts_anything(self, world, office):
        world.subscriber(world.meter())
        world.sync()
        old = Meter.objects.get()
        subscribe_and_report(old)
        url = dialog_url("meter", "redefine", old.pk)
        page = text_of(office.get(office.browser(), url, **FORM))
        assert "used nothing since 2026-03-10 that either definition counts" in page

    def test_asks_the_database_as_often_for_many_customers_as_for_few(self, world, office):
        tokens = world.meter()
        world.subscriber(tokens)
        world.use("ada", 5, START + HOUR / 2)
        world.later(hours=2)
        world.report()
        browser, url = office.browser(), dialog_url("meter", "redefine", Meter.objects.get().pk)

        def asked():
            with CaptureQueriesContext(connection) as queries:
                assert office.get(browser, url, **FORM).status_code == 200
            return len(queries)

        few = asked()
        for number in range(6):
            world.subscriber(tokens, f"c{number}")
        world.sync()
        assert asked() == few

    def test_is_refused_where_another_meter_takes_the_same(self, world, office):
        world.measure("tokens", group_by={"type": "$.type"})
        world.measure("calls")
        world.subscriber(world.bill("tokens"))
        world.bill("calls")
        world.sync()
        old = Meter.objects.get(event_name="tokens")
        Meter.objects.filter(event_name="calls").update(openmeter_slug="tokens", filters={"type": ["output"]})
        Meter.objects.filter(pk=old.pk).update(filters={"type": ["input"]})
        subscribe_and_report(old)
        page = text_of(office.get(office.browser(), dialog_url("meter", "redefine", old.pk), **FORM))
        assert "that calls bills already" in page

    def test_is_for_meters_that_were_reported_by(self, office, db):
        meter = MeterFactory()
        page = text_of(office.get(office.browser(), dialog_url("meter", "redefine", meter.pk)))
        assert "change its definition on its page" in page

    @pytest.mark.parametrize(
        ("change", "sentence"),
        [
            ({"event_name": "tokens"}, "choose another one"),
            ({"scale": "0"}, "above zero"),
            ({"filters": '{"model": "x"}'}, "Write filters like"),
            ({"filters": '{"model": ["x"]}'}, "does not group by model"),
            ({"openmeter_meter": "nothing"}, "has no meter nothing"),
            ({"event_name": "taken"}, "was reported by already"),
        ],
    )
    def test_refuses_what_cannot_be_measured_and_creates_nothing(self, world, office, change, sentence):
        world.meter()
        world.sync()
        old = Meter.objects.get()
        subscribe_and_report(old)
        subscribe_and_report(MeterFactory(event_name="taken"))
        answer = office.post(office.browser(), dialog_url("meter", "redefine", old.pk), **FORM | change)
        assert answer.status_code == 200
        assert sentence in text_of(answer).replace("&quot;", '"')
        assert not Meter.objects.filter(event_name="tokens_2").exists()

    def test_can_be_repeated_until_it_is_reported_by(self, world):
        world.meter()
        world.sync()
        old, connections = Meter.objects.get(), connect(config=world.config)
        for scale in (Decimal(2), Decimal(3)):
            new = redefine_meter(
                meter=old,
                definition=definition(scale),
                stripe=connections.stripe,
                openmeter=connections.openmeter,
                why="x",
                now=world.now,
            )
        assert (Meter.objects.count(), new.scale) == (2, 3)
        subscribe_and_report(new)
        with pytest.raises(InvalidInput, match="reported by already"):
            redefine_meter(
                meter=old,
                definition=definition(Decimal(4)),
                stripe=connections.stripe,
                openmeter=connections.openmeter,
                why="x",
                now=world.now,
            )

    def test_needs_its_permission(self, office, db):
        meter = MeterFactory()
        subscribe_and_report(meter)
        browser = office.browser("eve", group="Billing operator")
        assert office.post(browser, dialog_url("meter", "redefine", meter.pk), **FORM).status_code == 403


def definition(scale):
    return Definition(
        event_name="tokens_2",
        meter_name="Tokens",
        window="none",
        openmeter_slug="tokens",
        filters={},
        scale=scale,
        decimals=3,
    )


def subscribe_and_report(meter):
    """Let the meter have been reported by."""
    UsageReportFactory(enrolment__meter=meter)
