"""What each meter's days come to, kept beside the ledger."""

from datetime import UTC, date, timedelta
from decimal import Decimal
from importlib import import_module

import pytest
from django.apps import apps

from sync.models import UsageDay, UsageReport
from sync.operations import sum_up_days as module
from sync.operations.resolve_report import dismiss_report, release_report
from sync.operations.sum_up_days import mark_days, sum_up_days, try_to_sum_up_days
from tests.factories import HOUR, NOW, EnrolmentFactory, MeterFactory, UsageReportFactory
from tests.functional.test_report_usage import at

pytestmark = pytest.mark.django_db

TODAY = NOW.date()


def report(enrolment, units, hour=0, **changes) -> UsageReport:
    """Store a report and say that its day changed, as planning does."""
    made = UsageReportFactory(
        enrolment=enrolment, units=Decimal(units), slice_start=NOW + hour * HOUR, **changes
    )
    mark_days([(enrolment.meter_id, made.slice_start)], now=NOW)
    return made


def summed() -> UsageDay:
    sum_up_days(now=NOW)
    return UsageDay.objects.get()


def states(day) -> tuple[int, int, int]:
    return day.delivered, day.waiting, day.failed


class TestSumUpDays:
    @pytest.mark.parametrize(
        ("status", "changes", "expected"),
        [
            ("delivered", {}, (1, 0, 0)),
            ("pending", {}, (0, 1, 0)),
            ("sending", {}, (0, 1, 0)),
            ("unknown", {"next_attempt_at": NOW}, (0, 1, 0)),
            ("unknown", {}, (0, 0, 1)),
            ("held", {}, (0, 0, 1)),
            ("late", {}, (0, 0, 1)),
            ("rejected", {}, (0, 0, 1)),
            ("superseded", {}, (0, 0, 0)),
            ("replaced", {}, (0, 0, 0)),
            ("dismissed", {}, (0, 0, 0)),
            ("carried", {}, (0, 0, 0)),
        ],
    )
    def test_counts_reports_by_what_becomes_of_them(self, status, changes, expected):
        report(EnrolmentFactory(), 1, status=status, **changes)
        assert states(summed()) == expected

    def test_adds_up_what_was_measured_and_what_stripe_has(self):
        enrolment = EnrolmentFactory()
        report(enrolment, "0.1", status="delivered")
        report(enrolment, "0.2", 1, status="delivered")
        report(EnrolmentFactory(meter=enrolment.meter), "12345678901234567890.000000000000000001")
        day = summed()
        assert day.measured_units == Decimal("12345678901234567890.300000000000000001")
        assert day.delivered_units == Decimal("0.3")

    def test_a_correction_is_measured_once_and_delivered_as_a_difference(self):
        enrolment = EnrolmentFactory()
        report(enrolment, 10, status="delivered")
        report(enrolment, 10, revision=2, quantity=Decimal(12), value=Decimal(2), status="delivered")
        day = summed()
        assert (day.measured_units, day.delivered_units) == (12, 12)

    def test_where_one_value_stands_for_an_hour_the_newest_counts(self):
        enrolment = EnrolmentFactory(meter=MeterFactory(event_time_window="hour"))
        report(enrolment, 10, status="delivered")
        report(enrolment, 12, revision=2, status="delivered")
        report(enrolment, 99, revision=3, status="held")
        day = summed()
        assert (day.measured_units, day.delivered_units) == (99, 12)

    def test_a_measurement_that_a_person_refused_does_not_count_but_one_written_off_does(self):
        enrolment = EnrolmentFactory()
        report(enrolment, 10, status="delivered")
        report(enrolment, 99, revision=2, status="dismissed")
        report(enrolment, 5, 1, status="dismissed", written_off=True)
        day = summed()
        assert (day.measured_units, day.delivered_units) == (15, 10)

    def test_days_are_utc_days_of_one_meter_each(self):
        enrolment = EnrolmentFactory()
        report(enrolment, 1, 14)  # 23:00
        report(enrolment, 2, 15)  # midnight
        report(EnrolmentFactory(), 4, 14)
        sum_up_days(now=NOW)
        assert list(UsageDay.objects.order_by("measured_units").values_list("day", "measured_units")) == [
            (TODAY, 1),
            (TODAY + timedelta(days=1), 2),
            (TODAY, 4),
        ]

    def test_does_nothing_where_nothing_changed_or_waits(self, django_assert_num_queries):
        report(EnrolmentFactory(), 1, status="held")
        summed()
        with django_assert_num_queries(1):
            assert sum_up_days(now=NOW) == 0

    def test_a_day_in_which_something_waits_is_added_up_again(self):
        waiting = report(EnrolmentFactory(), 1)
        summed()
        UsageReport.objects.filter(pk=waiting.pk).update(
            status="delivered", delivered_at=NOW, first_sent_at=NOW
        )
        assert states(summed()) == (1, 0, 0)

    def test_leaves_the_oldest_to_the_next_call(self, monkeypatch):
        monkeypatch.setattr(module, "MOST_DAYS", 1)
        enrolment = EnrolmentFactory()
        report(enrolment, 1)
        report(enrolment, 2, 24, status="delivered")
        assert sum_up_days(now=NOW) == 1
        assert UsageDay.objects.get(stale=True).day == TODAY
        assert sum_up_days(now=NOW) == 1
        assert not UsageDay.objects.filter(stale=True).exists()

    def test_what_fails_is_left_to_the_next_call(self, monkeypatch, caplog):
        report(EnrolmentFactory(), 1)
        monkeypatch.setattr(module, "sum_rows", lambda *_: 1 / 0)
        try_to_sum_up_days(now=NOW)
        assert "days.not_summed" in caplog.text
        assert UsageDay.objects.filter(stale=True).exists()


class TestMarkDays:
    def test_keeps_the_sums_until_they_are_made_again(self):
        enrolment = EnrolmentFactory()
        report(enrolment, 7)
        summed()
        mark_days([(enrolment.meter_id, NOW), (enrolment.meter_id, NOW + HOUR)], now=NOW)
        day = UsageDay.objects.get()
        assert (day.stale, day.measured_units) == (True, 7)


class TestDaysOfRuns:
    def test_a_runs_end_adds_up_what_it_planned_and_sent(self, world):
        world.subscriber(world.meter())
        world.use("ada", 10, at("2026-03-10T09:30"))
        world.at(at("2026-03-10T10:03"))
        world.report()
        day = UsageDay.objects.get()
        assert (day.day, day.measured_units, day.delivered_units) == (date(2026, 3, 10), 10, 10)
        assert states(day) == (1, 0, 0)
        assert not day.stale

    def test_a_run_goes_well_though_days_cannot_be_added_up(self, world, monkeypatch):
        monkeypatch.setattr(module, "sum_rows", lambda *_: 1 / 0)
        world.subscriber(world.meter())
        world.use("ada", 10, at("2026-03-10T09:30"))
        world.at(at("2026-03-10T10:03"))
        assert world.report().run.status == "succeeded"


class TestDaysOfDecisions:
    def test_a_released_report_waits(self, django_capture_on_commit_callbacks):
        held = report(EnrolmentFactory(), 10, status="held")
        summed()
        with django_capture_on_commit_callbacks(execute=True):
            release_report(report_id=held.pk, why="right", who="ada", run=None, now=NOW)
        assert states(UsageDay.objects.get()) == (0, 1, 0)

    def test_a_dismissed_report_is_not_measured(self, django_capture_on_commit_callbacks):
        held = report(EnrolmentFactory(), 10, status="held")
        summed()
        with django_capture_on_commit_callbacks(execute=True):
            dismiss_report(report_id=held.pk, why="wrong", who="ada", now=NOW)
        day = UsageDay.objects.get()
        assert (states(day), day.measured_units) == ((0, 0, 0), 0)


class TestDaysOfAnOldLedger:
    def test_are_marked_when_the_table_comes_to_be(self):
        migration = import_module("sync.migrations.0013_usage_days_of_ledger")
        reported = UsageReportFactory(slice_start=NOW.astimezone(UTC))
        migration.mark_all(apps, None)
        migration.mark_all(apps, None)
        day = UsageDay.objects.get()
        assert (day.meter_id, day.day, day.stale) == (reported.enrolment.meter_id, TODAY, True)
