"""What became of a report is found out by Stripe's totals, or shown with both numbers."""

from dataclasses import replace

import pytest

from sync.domain.identifiers import report_identifier
from sync.models import Finding, UsageReport
from tests.world import HOUR, START

EVENTS = "POST /v1/billing/meter_events"
SUMMARIES = "GET /v1/billing/meters/{id}/event_summaries"


@pytest.fixture(autouse=True)
def _one_try(monkeypatch):
    monkeypatch.setattr("sync.operations.deliver_reports.TRIES_PER_RUN", 1)


def report_first_hour(world, window):
    """Report a subscriber's first hour; 10 units are used in the second, which is over."""
    made = world.subscriber(world.meter(window=window))
    world.use_many([("ada", 1, START + HOUR / 2), ("ada", 10, START + 1.5 * HOUR)])
    world.later(hours=1, minutes=3)
    world.report()
    world.later(hours=1)
    return made


@pytest.fixture(params=["", "hour"], ids=["delta", "set"])
def who(world, stage, request):
    """Return a subscriber whose first hour is reported, and who used 10 units in the second."""
    name = f"first hour reported, window {request.param!r}"
    return stage.play(name, lambda: report_first_hour(world, request.param))


def put_into_stripe(world, who, value, identifier=""):
    world.stripe(
        "POST",
        "/billing/meter_events",
        event_name="tokens",
        payload={"stripe_customer_id": who.customer, "value": value},
        timestamp=int((START + 2 * HOUR).timestamp()) - 1,
        **({"identifier": identifier} if identifier else {}),
    )


def name_of_second_hour(world, who):
    return report_identifier(
        meter_id=UsageReport.objects.get().enrolment.meter.stripe_id,
        customer_id=who.customer,
        slice_start=START + HOUR,
        revision=1,
    )


def open_findings():
    return list(Finding.objects.filter(kind="unknown_outcome", resolved_at=None))


class TestUnknownForADay:
    @pytest.mark.parametrize("cut", ["before", "after"])
    def test_is_told_by_stripes_totals(self, world, who, cut):
        world.control.fault(EVENTS, cut=cut)
        world.report()
        assert world.statuses() == ["delivered", "unknown"]
        world.later(hours=24)
        run = world.report().run
        assert world.billed(who) == 11
        arrived = ["delivered", "delivered"]
        assert world.statuses() == (arrived if cut == "after" else ["delivered", "replaced", "delivered"])
        assert open_findings() == []
        (ended,) = Finding.objects.filter(kind="unknown_outcome")
        held = 10 if cut == "after" else 0
        if who and held:
            assert "Stripe holds 10 units, and was told 0 without this report of 10." in ended.resolution
        assert "1 had" in run.notes
        world.report()
        assert world.billed(who) == 11

    def test_says_both_numbers_where_they_do_not_add_up(self, world, who):
        world.control.fault(EVENTS, cut="before")
        world.report()
        put_into_stripe(world, who, "2.5")
        world.later(hours=24)
        world.report()
        assert world.statuses() == ["delivered", "unknown"]
        (finding,) = open_findings()
        assert "Stripe holds 2.5 units, and was told 0 without this report of 10." in finding.message
        before = len(world.control.requests())
        world.report(sync=False)
        asked = world.control.requests()[before:]
        assert [one for one in asked if one["path"].endswith("event_summaries")] == []
        assert world.billed(who) == 3.5

    def test_waits_for_what_stripe_does_not_show_yet(self, world, who):
        world.control.fault(EVENTS, cut="before")
        world.report()
        world.later(hours=22, minutes=58)
        world.control.fault(EVENTS, cut="before")
        world.report()
        world.later(minutes=3)
        world.report()
        assert world.statuses() == ["delivered", "unknown"]
        assert len(open_findings()) == 1
        world.later(minutes=10)
        world.report()
        assert world.statuses() == ["delivered", "replaced", "delivered"]

    def test_stays_so_while_stripe_cannot_be_asked(self, world, who):
        world.control.fault(EVENTS, cut="after")
        world.report()
        world.later(hours=24)
        world.control.fault(SUMMARIES, status=401)
        run = world.report(sync=False).run
        assert world.statuses() == ["delivered", "unknown"]
        assert "could not be compared with Stripe" in run.notes

    def test_that_never_arrived_is_late_once_its_period_has_closed(self, world, who):
        world.control.fault(EVENTS, cut="before")
        world.report()
        world.later(hours=24)
        world.control.fault(SUMMARIES, status=401)
        world.stripe("DELETE", f"/subscriptions/{who.subscription}")
        world.report()
        assert world.statuses() == ["delivered", "unknown"]
        world.later(hours=2)
        world.report()
        assert world.statuses() == ["delivered", "late"]
        assert [one.kind for one in Finding.objects.filter(resolved_at=None)].count("late") == 1


class TestNameThatIsTaken:
    @pytest.mark.parametrize("held", ["10", "3"])
    def test_counts_what_stripe_holds_under_it_and_sends_the_rest(self, world, who, held):
        put_into_stripe(world, who, held, name_of_second_hour(world, who))
        world.report()
        assert world.statuses() == ["delivered", "unknown"]
        world.later(minutes=12)
        world.report()
        assert world.billed(who) == 11
        assert open_findings() == []
        expected = ["delivered"] if held == "10" else ["replaced", "delivered", "delivered"]
        assert world.statuses() == ["delivered", *expected]
        world.use("ada", 5, START + 1.5 * HOUR)
        world.report()
        assert world.billed(who) == 16

    def test_is_passed_over_where_it_brought_nothing(self, world, who):
        another = world.stripe("POST", "/customers", name="somebody else")["id"]
        put_into_stripe(world, replace(who, customer=another), "10", name_of_second_hour(world, who))
        world.report()
        assert world.statuses() == ["delivered", "unknown"]
        world.later(minutes=12)
        world.report()
        assert world.statuses() == ["delivered", "replaced", "delivered"]
        assert world.billed(who) == 11
