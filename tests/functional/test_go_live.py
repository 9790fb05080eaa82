"""Before something is sent for the first time, Stripe says whether it holds it already."""

from datetime import timedelta

import pytest

from sync.models import Enrolment, Finding, UsageReport
from sync.operations.count_as_billed import count_as_billed
from sync.operations.resolve_report import dismiss_report, release_report
from sync.wiring import connect
from tests.office import Office, dialog_url, text_of
from tests.simulation.tables import back_up, put_back
from tests.world import HOUR, START

SUMMARIES = "GET /v1/billing/meters/{id}/event_summaries"
DAY = timedelta(days=1)


@pytest.fixture(params=["", "hour"], ids=["delta", "set"])
def tokens(world, request):
    return world.meter(window=request.param)


def report_by_another_tool(world, who, value, at):
    world.stripe(
        "POST",
        "/billing/meter_events",
        event_name="tokens",
        payload={"stripe_customer_id": who.customer, "value": value},
        timestamp=int(at.timestamp()),
    )


def asked_for_totals(world):
    return len([one for one in world.control.requests() if one["path"].endswith("/event_summaries")])


def held():
    return list(UsageReport.objects.filter(status="held", beside__isnull=False).order_by("slice_start"))


class TestFirstDelivery:
    @pytest.fixture
    def half_reported(self, world, tokens):
        """Return a customer of whose first two hours another tool reported the first."""
        who = world.subscriber(tokens)
        world.sync()
        world.use_many([("ada", 5, START + HOUR / 2), ("ada", 7, START + 1.5 * HOUR)])
        world.later(hours=2, minutes=3)
        report_by_another_tool(world, who, 5, START + HOUR / 2)
        return who

    def test_waits_for_a_person_where_another_tool_reported(self, world, half_reported):
        run = world.report().run
        assert world.statuses() == ["held", "delivered"]
        assert run.counters["held"] == 1
        (report,) = held()
        assert report.beside == 5
        assert "Stripe holds 5 units that this console did not send" in report.error
        (finding,) = Finding.objects.filter(kind="already_billed", resolved_at=None)
        assert finding.message.startswith("1 held on tokens: ")
        assert world.billed(half_reported) == 12
        world.report()
        assert world.billed(half_reported) == 12

    def test_is_billed_on_top_where_a_person_sends_it(self, world, half_reported):
        world.report()
        (report,) = held()
        release_report(report_id=report.pk, why="two shops", who="eve", run=None, now=world.now)
        world.report()
        meter = report.enrolment.meter
        assert world.billed(half_reported) == (12 if meter.sets_hours else 17)
        assert not Finding.objects.filter(kind="already_billed", resolved_at=None).exists()

    def test_is_never_sent_once_dismissed_and_what_comes_later_is(self, world, half_reported):
        world.report()
        dismiss_report(report_id=held()[0].pk, why="billed by the old tool", who="eve", now=world.now)
        world.use("ada", 3, START + HOUR / 2)
        world.report()
        assert world.statuses() == ["dismissed", "delivered", "delivered"]

    def test_costs_one_question_for_each_customer_once(self, world, tokens):
        people = [world.subscriber(tokens, f"c{number}") for number in range(3)]
        for hour in range(2):
            world.use_many([(who.subject, 4, START + (hour + 0.5) * HOUR) for who in people])
        world.later(hours=1, minutes=3)
        world.report()
        assert asked_for_totals(world) == 3
        world.later(hours=1)
        world.report()
        assert asked_for_totals(world) == 3
        assert [world.billed(who) for who in people] == [8, 8, 8]
        assert not Enrolment.objects.filter(checked_at=None).exists()

    def test_waits_until_stripe_answers_and_everything_else_does_not(self, world, tokens):
        ada = world.subscriber(tokens)
        world.use("ada", 5, START + HOUR / 2)
        world.later(hours=1, minutes=3)
        world.report()
        bob = world.subscriber(tokens, "bob")
        world.use_many([("ada", 7, START + 1.5 * HOUR), ("bob", 9, START + 1.5 * HOUR)])
        world.later(hours=1)
        world.control.fault(SUMMARIES, status=401)
        result = world.report()
        assert (world.billed(ada), world.billed(bob)) == (12, 0)
        assert result.run.status == "partial"
        assert "First deliveries of 1 customer wait until Stripe's totals can be read" in result.errors[-1]
        world.report()
        assert (world.billed(ada), world.billed(bob)) == (12, 9)


def test_of_two_slices_of_an_hour_only_the_one_that_stripe_has_is_held(world):
    boundary = START + HOUR + timedelta(minutes=7, seconds=18)
    who = world.subscriber(world.meter(), billing_cycle_anchor=int(boundary.timestamp()))
    world.sync()
    world.use_many([("ada", 100, boundary - HOUR / 10), ("ada", 7, boundary + HOUR / 10)])
    world.later(hours=2, minutes=3)
    report_by_another_tool(world, who, 7, boundary + HOUR / 10)
    world.report()
    assert [(report.value, report.slice_start) for report in held()] == [(7, boundary.replace(second=0))]
    assert world.billed(who) == 107


class TestOldSlices:
    def test_of_an_outage_are_compared_and_sent(self, world, tokens):
        ada = world.subscriber(tokens)
        world.use("ada", 5, START + HOUR / 2)
        world.later(hours=1, minutes=3)
        world.report()
        world.use("ada", 7, START + 3 * HOUR)
        world.later(days=2)
        before = asked_for_totals(world)
        world.report()
        assert asked_for_totals(world) == before + 1
        assert world.billed(ada) == 12

    @pytest.mark.parametrize("days", [1, 2])
    def test_of_a_database_that_was_put_back_are_not_billed_twice(self, world, tokens, days):
        ada = world.subscriber(tokens)
        world.use("ada", 1, START + HOUR / 2)
        world.later(hours=1, minutes=3)
        world.report()
        backup = back_up()
        for hour in range(days * 24):
            world.use("ada", 1, START + (hour + 1.5) * HOUR)
            if hour % 5 == 4:
                world.at(START + (hour + 2) * HOUR + timedelta(minutes=3))
                world.report()
        world.at(START + (days * 24 + 1) * HOUR + timedelta(minutes=3))
        world.report()
        total = days * 24 + 1
        assert world.billed(ada) == total
        put_back(backup)
        world.later(minutes=30)
        world.report()
        assert world.billed(ada) == total
        assert held()
        world.later(minutes=30)
        world.report()
        assert world.billed(ada) == total


class TestDecisions:
    @pytest.fixture
    def office(self, world, settings, django_capture_on_commit_callbacks):
        return Office(world, settings, django_capture_on_commit_callbacks)

    @pytest.fixture
    def who(self, world, tokens):
        """Return a customer of whose 5 units in the first hour another tool reported 3."""
        made = world.subscriber(tokens)
        world.use_many([("ada", 5, START + HOUR / 2), ("ada", 7, START + 1.5 * HOUR)])
        world.later(hours=2, minutes=3)
        report_by_another_tool(world, made, 3, START + HOUR / 2)
        world.report()
        return made

    def test_already_billed_counts_what_stripe_holds_and_sends_the_rest(self, world, office, who):
        browser, url = office.browser(), dialog_url("usagereport", "already_billed", held()[0].pk)
        shown = text_of(office.get(browser, url))
        assert "left to send" in shown.lower()
        office.confirm(browser, url, why="by the old tool")
        world.report()
        assert world.billed(who) == 12
        assert world.statuses() == ["replaced", "delivered", "delivered", "delivered"]
        assert not Finding.objects.filter(kind="already_billed", resolved_at=None).exists()
        world.use("ada", 2, START + HOUR / 2)
        world.report()
        assert world.billed(who) == 14

    def test_start_at_leaves_everything_before_to_the_other_tool(self, world, office, who):
        browser, enrolment = office.browser(), Enrolment.objects.get()
        url = dialog_url("enrolment", "start_at", enrolment.pk)
        start = f"{START + HOUR:%Y-%m-%d %H:%M}"
        assert "Reports that are never sent: 1." in text_of(office.get(browser, url, start=start))
        office.confirm(browser, url, start=start, why="by the old tool")
        assert world.statuses() == ["dismissed", "delivered"]
        world.use_many([("ada", 100, START + HOUR / 2), ("ada", 2, START + 1.5 * HOUR)])
        world.report()
        assert world.billed(who) == 3 + 9

    def test_start_at_takes_no_instant_inside_of_a_report(self, world, office, who):
        UsageReport.objects.filter(status="held").update(slice_end=START + 2 * HOUR)
        url = dialog_url("enrolment", "start_at", Enrolment.objects.get().pk)
        answer = office.confirm(
            office.browser(), url, start=f"{START + HOUR:%Y-%m-%d %H:%M}", why="by the old tool"
        )
        assert "A report begins before then and ends after it" in text_of(answer)


def test_a_database_of_two_days_ago_loses_nothing_that_was_used_since(world, tokens):
    """What was sent is counted as billed, what was measured since is sent."""
    ada = world.subscriber(tokens)
    world.use("ada", 1, START + HOUR / 2)
    world.later(hours=1, minutes=3)
    world.report()
    backup = back_up()
    for hour in range(0, 48, 4):
        world.use("ada", 1, START + (hour + 1.5) * HOUR)
        world.later(hours=4)
        world.report()
    assert world.billed(ada) == 13
    put_back(backup)
    # Learned of since: of the first day, of the second, and of the last hours.
    for hour in (5, 29, 46):
        world.use("ada", 10, START + (hour + 0.5) * HOUR)
    for _ in range(4):
        world.later(minutes=15)
        world.report()
        stripe = connect(config=world.config).stripe
        ids = [row.pk for row in held()]
        count_as_billed(ids, why="put back", who="eve", source=stripe, clock=lambda: world.now)
    assert world.billed(ada) == 43
    assert not UsageReport.objects.exclude(status__in=["delivered", "replaced", "dismissed"]).exists()
