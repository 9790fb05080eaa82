"""What Stripe holds beside what the ledger told it: by hours, or by days where those agree."""

from datetime import timedelta
from decimal import Decimal

import pytest

from sync.domain.comparison import SUMMARY_LAG
from sync.domain.timeline import Span
from sync.models import Enrolment, UsageReport
from sync.operations.compare_with_stripe import Unreadable, Wanted, compare_with_stripe
from sync.wiring import connect
from tests.world import HOUR, START

DAY = timedelta(days=1)


def compare(world, span, *enrolments):
    rows = Enrolment.objects.select_related("customer", "meter").order_by("pk")
    wanted = [Wanted(enrolment=row, span=span) for row in enrolments or rows]
    stripe = connect(config=world.config).stripe
    pages = compare_with_stripe(wanted, source=stripe, clock=lambda: world.now)
    return [one for page in pages for one in page]


def sent_by_another_tool(world, who, units, at):
    world.stripe(
        "POST",
        "/billing/meter_events",
        event_name="tokens",
        payload={"stripe_customer_id": who.customer, "value": units},
        timestamp=int(at.timestamp()),
    )


def summary_calls(world):
    return [one for one in world.control.requests() if one["path"].endswith("/event_summaries")]


def report_two_hours(world, window):
    """Report two hours of a subscriber, and revise the first."""
    made = world.subscriber(world.meter(window=window))
    world.use_many([("ada", 5, START + HOUR / 2), ("ada", 7, START + 1.5 * HOUR)])
    world.later(hours=2, minutes=3)
    world.sync()
    world.report()
    world.use("ada", "0.1", START + HOUR / 2)
    world.report()
    world.later(minutes=20)
    return made


@pytest.fixture(params=["", "hour"])
def who(world, stage, request):
    """Return a subscriber who used 5 and 7 units in two hours, which are reported; the first was revised."""
    name = f"two hours reported, window {request.param!r}"
    return stage.play(name, lambda: report_two_hours(world, request.param))


class TestComparison:
    def test_agrees_where_stripe_holds_what_it_was_told(self, world, who):
        (found,) = compare(world, Span(START, START + 2 * HOUR))
        assert [(cell.units, cell.ledger) for cell in found.cells] == [
            (Decimal("5.1"), Decimal("5.1")),
            (Decimal(7), Decimal(7)),
        ]
        assert found.agrees
        assert not found.doubtful

    def test_shows_what_somebody_else_sent(self, world, who):
        sent_by_another_tool(world, who, "2.5", START + 1.2 * HOUR)
        (found,) = compare(world, Span(START + timedelta(minutes=5), START + 2 * HOUR))
        first, second = found.cells
        assert first.agrees
        assert not second.agrees
        # Of one value an hour the one received last stands.
        assert second.units in (Decimal("9.5"), Decimal("2.5"))
        assert found.within(Span(START, START + HOUR)).agrees

    def test_does_not_expect_to_see_what_was_sent_just_now(self, world, who):
        world.control.settings(summary_lag_seconds=int(SUMMARY_LAG.total_seconds()))
        world.use("ada", 1, START + 1.5 * HOUR)
        world.report()
        (found,) = compare(world, Span(START, START + 2 * HOUR))
        assert [one.value for one in found.doubtful] in ([Decimal(1)], [Decimal(8)])
        assert found.agrees
        assert found.beside == 0

    def test_takes_what_nobody_knows_for_possible(self, world, who):
        row = UsageReport.objects.get(slice_start=START + HOUR)
        UsageReport.objects.filter(pk=row.pk).update(status="unknown", delivered_at=None)
        (found,) = compare(world, Span(START, START + 2 * HOUR))
        assert found.agrees
        assert (found.beside, [one.report_id for one in found.doubtful]) == (7, [row.pk])
        assert found.cells[1].holds(found.doubtful[0])


class TestSharedHours:
    def test_are_told_apart_where_they_differ(self, world):
        boundary = START + HOUR + timedelta(minutes=7, seconds=18)
        who = world.subscriber(world.meter(), billing_cycle_anchor=int(boundary.timestamp()))
        world.sync()
        world.use_many([("ada", 5, boundary - HOUR / 10), ("ada", 7, boundary + HOUR / 10)])
        world.later(hours=2, minutes=3)
        world.sync()
        world.report()
        world.later(minutes=20)
        sent_by_another_tool(world, who, 3, boundary + timedelta(minutes=1))
        (found,) = compare(world, Span(START, START + 2 * HOUR))
        before, after = found.cells[1:]
        assert before.span == Span(START + HOUR, boundary.replace(second=0))
        assert (before.units, before.ledger, before.agrees) == (5, 5, True)
        assert (after.units, after.ledger, after.agrees) == (10, 7, False)

    def test_cost_no_call_where_they_agree(self, world):
        boundary = START + HOUR + timedelta(minutes=7)
        world.subscriber(world.meter(), billing_cycle_anchor=int(boundary.timestamp()))
        world.sync()
        world.use_many([("ada", 5, boundary - HOUR / 10), ("ada", 7, boundary + HOUR / 10)])
        world.later(hours=2, minutes=3)
        world.sync()
        world.report()
        world.later(minutes=20)
        before = len(summary_calls(world))
        (found,) = compare(world, Span(START, START + 2 * HOUR))
        assert found.agrees
        assert len(summary_calls(world)) - before == 1


class TestCalls:
    def test_are_two_for_a_month_of_which_one_day_differs(self, world, who):
        sent_by_another_tool(world, who, 3, START - 20 * DAY)
        month = Span(START - 30 * DAY, START + 3 * HOUR)
        before = len(summary_calls(world))
        (found,) = compare(world, month)
        assert len(summary_calls(world)) - before <= 3  # where hours are revised, days do not add up
        assert found.beside == 3
        (wrong,) = [cell for cell in found.cells if not cell.agrees]
        assert wrong.span == Span(START - 20 * DAY, START - 20 * DAY + HOUR)
        assert sum(len(one.told) for one in found.cells) == 3

    def test_end_with_the_first_that_is_not_answered(self, world, who):
        world.control.fault("GET /v1/billing/meters/{id}/event_summaries", status=401, times=50)
        enrolment = Enrolment.objects.select_related("customer", "meter").get()
        (found,) = compare(world, Span(START, START + HOUR), enrolment)
        assert isinstance(found, Unreadable)

    def test_find_nothing_of_who_is_gone(self, world, who):
        enrolment = Enrolment.objects.select_related("customer", "meter").get()
        enrolment.customer.stripe_id = "cus_gone"
        (found,) = compare(world, Span(START, START + HOUR), enrolment)
        assert found.units == 0, found
