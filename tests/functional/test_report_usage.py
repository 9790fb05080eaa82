"""The main job, end to end: what Stripe would bill is what OpenMeter measured."""

from datetime import UTC, datetime, timedelta
from decimal import Decimal

import pytest

from sync.domain.timeline import Span
from sync.management.report_output import line_text
from sync.models import DeliveryAttempt, Enrolment, Finding, Meter, Pause, ReportRun, Subject, UsageReport
from sync.ports import InvalidInput
from sync.queries.planning import Scope

HOUR = timedelta(hours=1)


def at(text: str) -> datetime:
    """Return the UTC instant that a short text names."""
    return datetime.fromisoformat(text).replace(tzinfo=UTC)


class TestReportUsage:
    def test_reports_an_hour_once(self, world):
        tokens = world.meter()
        ada = world.subscriber(tokens)
        world.use("ada", 10, at("2026-03-10T09:30"))
        world.at(at("2026-03-10T10:03"))

        first = world.report()
        second = world.report()

        assert world.billed(ada) == 10
        assert world.sent() == [("10", int(at("2026-03-10T09:59:59").timestamp()))]
        assert first.run.status == ReportRun.Status.SUCCEEDED
        assert [line_text(line) for line in first.lines] == [
            f"stripe_customer: {ada.customer}, stripe_price: {tokens.price}, meter: tokens, "
            "total_usage: 10.000000, from: 2026-03-10T09:00:00Z, to: 2026-03-10T10:00:00Z"
        ]
        assert second.lines == []
        assert second.run.status == ReportRun.Status.SUCCEEDED

    def test_waits_until_a_slice_has_settled(self, world):
        tokens = world.meter()
        ada = world.subscriber(tokens)
        world.use("ada", 10, at("2026-03-10T09:30"))
        world.at(at("2026-03-10T10:01:59"))
        world.report()
        assert world.billed(ada) == 0
        world.at(at("2026-03-10T10:02:00"))
        world.report()
        assert world.billed(ada) == 10

    def test_a_dry_run_leaves_no_row(self, world):
        tokens = world.meter()
        world.subscriber(tokens)
        world.use("ada", 10, at("2026-03-10T09:30"))
        world.at(at("2026-03-10T10:03"))

        result = world.report(dry_run=True)

        assert [line.total_usage for line in result.lines] == [10]
        assert not UsageReport.objects.exists()
        assert world.sent() == []
        assert Enrolment.objects.get().planned_through is None
        assert ReportRun.objects.get().dry_run

    @pytest.mark.parametrize("window", ["", "hour"])
    def test_follows_usage_that_changes_after_it_was_reported(self, world, window):
        tokens = world.meter(window=window)
        ada = world.subscriber(tokens)
        world.use("ada", 1000, at("2026-03-10T09:30"))
        world.at(at("2026-03-10T10:03"))
        world.report()
        world.use("ada", 500, at("2026-03-10T09:40"))
        world.report()
        assert world.billed(ada) == 1500
        world.use("ada", -20, at("2026-03-10T09:45"))
        world.report()
        assert world.billed(ada) == 1480
        world.report()
        expected = ["1000", "500", "-20"] if window == "" else ["1000", "1500", "1480"]
        assert [value for value, _ in world.sent()] == expected

    def test_an_outage_of_nine_hours_is_caught_up(self, world):
        tokens = world.meter()
        ada = world.subscriber(tokens)
        for hour in range(12):
            world.use("ada", 1, at("2026-03-10T09:30") + hour * HOUR)
        world.at(at("2026-03-10T10:03"))
        world.report()
        world.later(hours=9)
        world.report()
        assert world.billed(ada) == 10
        assert len(world.sent()) == 10

    @pytest.mark.parametrize("window", ["", "hour"])
    def test_a_backlog_is_reported_by_whole_days(self, world, window):
        tokens = world.meter(window=window)
        ada = world.subscriber(tokens)
        for hour in range(0, 24 * 5, 3):
            world.use("ada", 2, at("2026-03-10T09:30") + hour * HOUR)
        world.at(at("2026-03-15T10:03"))
        world.report()
        world.report()
        assert world.billed(ada) == 80
        starts = list(UsageReport.objects.order_by("slice_start").values_list("slice_start", "slice_end"))
        days = [start for start, end in starts if end - start == timedelta(days=1)]
        assert days == [at("2026-03-11T00:00") + timedelta(days=day) for day in range(4)]

    def test_usage_is_never_billed_twice_where_two_prices_share_a_meter(self, world):
        tokens = world.meter()
        ada = world.subscriber(tokens)
        world.subscribe(ada.customer, tokens, "ada")
        world.use("ada", 10, at("2026-03-10T09:30"))
        world.at(at("2026-03-10T10:03"))
        world.report()
        assert world.billed(ada) == 10
        assert Finding.objects.filter(kind=Finding.Kind.BILLED_TWICE, resolved_at=None).exists()

    def test_fractions_are_rounded_half_even_once(self, world):
        tokens = world.meter()
        ada = world.subscriber(tokens)
        for amount in ("0.1", "0.2", "0.3", "0.0000005"):
            world.use("ada", amount, at("2026-03-10T09:30"))
        world.at(at("2026-03-10T10:03"))
        world.report()
        assert world.billed(ada) == Decimal("0.6")

    def test_the_scale_turns_measured_units_into_billed_ones(self, world):
        tokens = world.meter()
        ada = world.subscriber(tokens)
        world.sync()
        Meter.objects.update(scale=Decimal("0.001"))
        world.use("ada", 1500, at("2026-03-10T09:30"))
        world.at(at("2026-03-10T10:03"))
        world.report()
        assert world.billed(ada) == Decimal("1.5")


class TestPeriods:
    def test_the_first_slice_begins_to_the_second(self, world):
        world.at(at("2026-03-10T09:20:33"))
        tokens = world.meter()
        ada = world.subscriber(tokens)
        world.use("ada", 100, at("2026-03-10T09:20:32"))
        world.use("ada", 1, at("2026-03-10T09:20:33"))
        world.at(at("2026-03-10T10:03"))
        world.report()
        assert world.billed(ada) == 1

    @pytest.mark.parametrize("window", ["", "hour"])
    def test_a_boundary_inside_an_hour_puts_each_unit_into_one_period(self, world, window):
        world.at(at("2026-03-10T09:20:33"))
        tokens = world.meter(window=window)
        ada = world.subscriber(tokens)
        world.report()
        world.at(at("2026-04-10T10:05"))
        minutes = {"09:00": 1, "09:19": 2, "09:20": 4, "09:21": 8, "09:59": 16}
        for minute, amount in minutes.items():
            world.use("ada", amount, at(f"2026-04-10T{minute}:30"))
        world.report()

        boundary = int(at("2026-04-10T09:20:33").timestamp())
        before = sum(int(value) for value, when in world.sent(ada) if when < boundary)
        after = sum(int(value) for value, when in world.sent(ada) if when >= boundary)
        assert (before, after) == ((3, 28) if window == "" else (0, 31))

    def test_a_subscription_that_ends_is_reported_to_its_last_second(self, world):
        tokens = world.meter()
        ada = world.subscriber(tokens)
        world.report()
        world.at(at("2026-03-10T11:30:20"))
        world.stripe("DELETE", f"/subscriptions/{ada.subscription}")
        world.use("ada", 5, at("2026-03-10T11:30:19"))
        world.use("ada", 7, at("2026-03-10T11:30:20"))
        world.at(at("2026-03-10T12:03"))
        world.report()
        assert world.billed(ada) == 5

    def test_usage_of_a_trial_is_not_reported(self, world):
        tokens = world.meter()
        ada = world.subscriber(tokens, trial_end=int(at("2026-03-11T09:10:10").timestamp()))
        world.use("ada", 100, at("2026-03-10T12:00"))
        world.use("ada", 100, at("2026-03-11T09:10:09"))
        world.use("ada", 3, at("2026-03-11T09:10:10"))
        world.at(at("2026-03-11T10:03"))
        world.report()
        assert world.billed(ada) == 3

    def test_usage_of_a_closed_period_is_late_and_not_sent(self, world):
        tokens = world.meter()
        ada = world.subscriber(tokens)
        world.report()
        world.at(at("2026-04-10T10:30"))
        world.use("ada", 5, at("2026-04-10T08:30"))
        world.use("ada", 7, at("2026-04-10T09:30"))
        world.report()
        assert world.billed(ada) == 7
        assert world.statuses() == ["late", "delivered"]
        assert Finding.objects.filter(kind=Finding.Kind.LATE, resolved_at=None).exists()

    def test_nothing_beyond_the_known_period_is_planned_without_a_sync(self, world):
        tokens = world.meter()
        ada = world.subscriber(tokens)
        world.report()
        world.at(at("2026-04-10T10:03"))
        world.use("ada", 7, at("2026-04-10T09:30"))
        world.report(sync=False)
        assert world.billed(ada) == 0
        world.report()
        assert world.billed(ada) == 7


class TestBrake:
    def test_an_empty_answer_sends_nothing(self, world):
        tokens = world.meter()
        ada = world.subscriber(tokens)
        world.use("ada", 10, at("2026-03-10T09:30"))
        world.at(at("2026-03-10T10:03"))
        world.report()
        world.forget()
        world.report()
        assert world.billed(ada) == 10
        assert world.statuses() == ["delivered", "held"]
        assert Finding.objects.filter(kind=Finding.Kind.BRAKE, resolved_at=None).count() == 1

    def test_too_much_in_one_slice_is_held(self, world):
        tokens = world.meter()
        ada = world.subscriber(tokens)
        world.sync()
        Meter.objects.update(max_units_per_slice=100)
        world.use("ada", 101, at("2026-03-10T09:30"))
        world.at(at("2026-03-10T10:03"))
        world.report()
        assert world.billed(ada) == 0
        assert world.statuses() == ["held"]

    def test_more_than_fifteen_digits_are_refused_before_sending(self, world):
        tokens = world.meter()
        ada = world.subscriber(tokens)
        world.use("ada", "1234567890.123456", at("2026-03-10T09:30"))
        world.at(at("2026-03-10T10:03"))
        result = world.report()
        assert world.billed(ada) == 0
        assert world.statuses() == ["rejected"]
        assert result.run.status == ReportRun.Status.PARTIAL
        assert "15 digits" in UsageReport.objects.get().error


class TestSubjects:
    def test_a_moved_subject_counts_for_the_new_customer_from_the_next_window(self, world):
        tokens = world.meter()
        ada = world.subscriber(tokens)
        bob = world.subscriber(tokens, "bob")
        world.use("ada", 1, at("2026-03-10T09:30"))
        world.use("ada", 2, at("2026-03-10T10:30"))
        world.sync()
        Subject.objects.filter(key="ada").update(valid_to=at("2026-03-10T10:00"))
        moved = Subject.objects.get(key="bob").customer
        Subject.objects.create(key="ada", customer=moved, valid_from=at("2026-03-10T10:00"))
        world.at(at("2026-03-10T11:03"))
        world.report()
        assert (world.billed(ada), world.billed(bob)) == (1, 2)

    def test_two_subjects_of_one_customer_add_up(self, world):
        tokens = world.meter()
        ada = world.subscriber(tokens)
        world.sync()
        Subject.objects.create(key="ada-2", customer=Subject.objects.get(key="ada").customer)
        world.use("ada", 1, at("2026-03-10T09:30"))
        world.use("ada-2", 2, at("2026-03-10T09:30"))
        world.at(at("2026-03-10T10:03"))
        world.report()
        assert world.billed(ada) == 3


class TestScope:
    def test_limits_the_run_to_a_subscription(self, world):
        tokens = world.meter()
        ada, bob = world.subscriber(tokens), world.subscriber(tokens, "bob")
        for name in ("ada", "bob"):
            world.use(name, 1, at("2026-03-10T09:30"))
        world.at(at("2026-03-10T10:03"))
        world.report(scope=Scope(subscriptions=(ada.subscription,)))
        assert (world.billed(ada), world.billed(bob)) == (1, 0)
        world.report(scope=Scope(customer=bob.customer, meter="tokens"))
        assert world.billed(bob) == 1

    def test_of_a_subscription_leaves_the_customers_other_meters_alone(self, world):
        tokens, calls = world.meter(), world.meter("calls")
        ada = world.subscriber(tokens)
        other = world.subscribe(ada.customer, calls, "ada")
        for slug in ("tokens", "calls"):
            world.use("ada", 3, at("2026-03-10T09:30"), slug)
        world.at(at("2026-03-10T10:03"))
        world.report(scope=Scope(subscriptions=(other.subscription,)))
        assert (world.billed(ada), world.billed(ada, "calls")) == (0, 3)
        world.report()
        assert (world.billed(ada), world.billed(ada, "calls")) == (3, 3)

    @pytest.mark.parametrize(
        "scope", [Scope(subscriptions=("sub_x",)), Scope(customer="cus_x"), Scope(meter="minutes")]
    )
    def test_refuses_what_it_does_not_know(self, world, scope):
        world.subscriber(world.meter())
        with pytest.raises(InvalidInput, match="There is no"):
            world.report(scope=scope)
        assert ReportRun.objects.get().status == ReportRun.Status.FAILED

    def test_a_window_leaves_no_gap_behind(self, world):
        tokens = world.meter()
        ada = world.subscriber(tokens)
        for hour in range(5):
            world.use("ada", 10**hour, at("2026-03-10T09:30") + hour * HOUR)
        world.at(at("2026-03-10T14:03"))
        world.report(window=Span(at("2026-03-10T11:00"), at("2026-03-10T12:00")))
        assert world.billed(ada) == 100
        world.report()
        assert world.billed(ada) == 11111


class TestRefusals:
    def test_a_refused_customer_stops_nobody_else(self, world):
        tokens = world.meter()
        others = [world.subscriber(tokens, f"c{number}") for number in range(51)]
        ghost = others[17]
        world.use_many([(who.subject, 1, at("2026-03-10T09:30")) for who in others])
        world.sync()
        world.control.delete_stripe(ghost.customer)
        world.at(at("2026-03-10T10:03"))
        result = world.report(sync=False)
        assert [world.billed(who) for who in others] == [int(who is not ghost) for who in others]
        assert result.run.status == ReportRun.Status.PARTIAL
        assert result.run.counters["rejected"] == 1
        assert UsageReport.objects.get(status="rejected").enrolment.customer.stripe_id == ghost.customer
        assert DeliveryAttempt.objects.count() == 1

    def test_a_deactivated_meter_waits_until_it_is_active_again(self, world):
        tokens = world.meter()
        ada = world.subscriber(tokens)
        world.sync()
        world.use("ada", 5, at("2026-03-10T09:30"))
        world.at(at("2026-03-10T10:03"))
        world.stripe("POST", f"/billing/meters/{tokens.stripe_id}/deactivate")
        result = world.report(sync=False)
        assert world.statuses() == ["pending"]
        assert Pause.objects.get(resumed_at=None).by_stripe
        assert result.run.status == ReportRun.Status.PARTIAL
        world.stripe("POST", f"/billing/meters/{tokens.stripe_id}/reactivate")
        world.later(minutes=1)
        world.report()
        assert world.billed(ada) == 5

    @pytest.mark.parametrize(
        "fault",
        [
            {"status": 429},
            {"status": 409},
            {"status": 500},
            {"status": 500, "store": True},
            {"status": 503},
            {"cut": "before"},
            {"cut": "after"},
        ],
        ids=str,
    )
    @pytest.mark.parametrize("window", ["", "hour"])
    def test_trouble_on_the_way_neither_loses_nor_doubles(self, world, fault, window):
        tokens = world.meter(window=window)
        people = [world.subscriber(tokens, f"c{number}") for number in range(3)]
        world.use_many([(who.subject, 7, at("2026-03-10T09:30")) for who in people])
        world.at(at("2026-03-10T10:03"))
        world.control.fault("POST /v1/billing/meter_events", times=2, **fault)
        result = world.report()
        assert [world.billed(who) for who in people] == [7, 7, 7]
        assert result.run.status == ReportRun.Status.SUCCEEDED
        assert world.statuses() == ["delivered"] * 3
