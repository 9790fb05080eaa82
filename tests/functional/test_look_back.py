"""OpenMeter has no cut-off: what changes in it later than the tail is found within a day."""

from datetime import timedelta

import pytest

from sync.models import Enrolment, Finding, Meter, ReportRun, UsageReport
from sync.operations import plan_changed_days
from tests.functional.test_report_usage import at

QUERY = "GET /api/v1/meters/{meter}/query"
SCHEDULE = ReportRun.Trigger.SCHEDULE


@pytest.fixture
def ada(world):
    """A customer whose usage of two days was reported; it is the morning of the third."""
    tokens = world.meter(window=getattr(world, "window", ""))
    who = world.subscriber(tokens)
    world.use("ada", 1000, at("2026-03-10T09:30"))
    world.at(at("2026-03-10T10:03"))
    world.report()
    world.use("ada", 1000, at("2026-03-11T14:30"))
    world.at(at("2026-03-12T08:03"))
    look(world)
    assert world.billed(who) == 2000
    return who


def look(world, **passed):
    """Let a scheduled run come by a day after the last one."""
    Meter.objects.update(days_compared_at=None)
    return world.report(trigger=SCHEDULE, **passed)


class TestLookBack:
    @pytest.mark.parametrize("window", ["", "hour"])
    def test_bills_what_changed_later_than_the_tail(self, world, window):
        tokens = world.meter(window=window)
        ada = world.subscriber(tokens)
        world.use("ada", 1000, at("2026-03-10T09:30"))
        world.at(at("2026-03-12T08:03"))
        world.report()
        world.use("ada", 5, at("2026-03-10T11:30"))
        world.use("ada", 7, at("2026-03-11T14:30"))
        world.use("ada", -2, at("2026-03-10T09:35"))
        world.report()
        assert world.billed(ada) == 1000
        look(world)
        assert world.billed(ada) == 1010
        before = UsageReport.objects.count()
        look(world)
        assert UsageReport.objects.count() == before

    def test_compares_once_a_day_and_asks_for_hours_only_of_a_day_that_is_not_billed_as_a_whole(
        self, world, ada
    ):
        assert questions(world) == ["the last hours"]
        world.later(hours=24)
        assert questions(world) == ["the last hours", "all days", "hours of a day"]  # when she subscribed
        assert Meter.objects.get().days_compared_at == world.now

    def test_what_belongs_to_a_closed_period_is_late(self, world, ada):
        world.at(at("2026-04-10T12:03"))
        world.report()
        world.use("ada", 5, at("2026-04-10T08:30"))
        look(world)
        assert world.billed(ada) == 2000
        late = UsageReport.objects.get(status="late")
        assert (late.value, late.slice_start) == (5, at("2026-04-10T08:00"))

    @pytest.mark.parametrize("window", ["", "hour"])
    def test_finds_what_moved_over_a_period_boundary_within_a_day(self, world, window):
        ada = world.subscriber(world.meter(window=window))
        world.at(at("2026-03-10T10:03"))
        world.report()
        world.use("ada", 5, at("2026-04-10T09:30"))
        world.at(at("2026-04-12T08:03"))
        world.report()
        world.forget()
        world.use("ada", 5, at("2026-04-10T08:30"))
        look(world)
        late = UsageReport.objects.get(status="late")
        assert (late.value, late.slice_start) == (5, at("2026-04-10T08:00"))
        assert UsageReport.objects.get(slice_start=at("2026-04-10T09:00"), revision=2).quantity == 0
        assert world.billed(ada) == 5  # a loss of all is held until somebody decides

    def test_a_dismissed_false_reading_is_not_what_was_measured(self, world, ada):
        held = UsageReport.objects.get(slice_start=at("2026-03-10T09:00"))
        UsageReport.objects.create(
            **{
                name: getattr(held, name)
                for name in ("enrolment", "slice_start", "slice_end", "event_at", "closes_at", "run")
            },
            revision=2,
            measured=0,
            quantity=0,
            value=-1000,
            identifier="false",
            status="dismissed",
            decision="OpenMeter was empty",
            created_at=world.now,
        )
        Meter.objects.update(days_compared_at=None)
        assert questions(world) == ["the last hours", "all days", "hours of a day"]  # when she subscribed
        assert world.billed(ada) == 2001

    def test_a_lost_day_is_held(self, world, ada):
        world.forget()
        look(world)
        assert world.billed(ada) == 2000
        assert UsageReport.objects.filter(status="held").count() == 2

    def test_a_loss_that_nobody_could_decide_on_is_told_and_nothing_else(self, world, ada, monkeypatch):
        monkeypatch.setattr(plan_changed_days, "MOST_DAYS_TO_HOLD", 1)
        world.control.fault(QUERY, status=200, body={"data": []}, times=100)
        look(world)
        assert not UsageReport.objects.filter(status="held").exists()
        finding = Finding.objects.get(kind=Finding.Kind.BRAKE)
        assert finding.message.startswith("By OpenMeter's word now, tokens comes to 2000 of 2000 units less")
        world.control.clear_faults()
        look(world)
        finding.refresh_from_db()
        assert finding.resolved_at

    def test_days_that_a_start_or_a_move_cuts_change_nothing(self, world, ada):
        # Used before it was billed, and on a day in whose middle the subject becomes another's.
        world.use("ada", 3, at("2026-03-10T08:30"))
        look(world)
        assert world.billed(ada) == 2000
        assert world.statuses() == ["delivered", "delivered"]

    def test_goes_on_with_the_meter_that_failed(self, world, ada):
        world.use("ada", 5, at("2026-03-10T11:30"))
        world.report(sync=False)
        Meter.objects.update(days_compared_at=None)
        world.control.fault(QUERY, delay_ms=1, times=1)
        world.control.fault(QUERY, status=503, times=100)
        failed = world.report(trigger=SCHEDULE, sync=False)
        assert "The days of tokens could not be compared" in failed.run.error
        world.control.clear_faults()
        world.report(trigger=SCHEDULE, sync=False)
        assert world.billed(ada) == 2005


class TestQuietMeter:
    def test_hours_without_any_usage_count_as_measured(self, world, ada):
        world.at(at("2026-03-13T08:03"))
        world.report()
        assert Enrolment.objects.get().planned_through == at("2026-03-13T08:00")

    def test_an_empty_answer_that_a_second_one_contradicts_moves_nothing(self, world, ada):
        mark = Enrolment.objects.get().planned_through
        world.use("ada", 9, at("2026-03-12T10:30"))
        world.at(at("2026-03-13T08:03"))
        world.control.fault(QUERY, status=200, body={"data": []}, times=1)
        world.report()
        assert Enrolment.objects.get().planned_through == mark
        world.later(minutes=5)
        world.report()
        assert world.billed(ada) == 2009

    def test_one_that_stays_empty_moves_nothing(self, world, ada):
        mark = Enrolment.objects.get().planned_through
        world.at(at("2026-03-13T08:03") + timedelta(hours=1))
        world.control.fault(QUERY, status=200, body={"data": []}, times=100)
        world.report()
        assert Enrolment.objects.get().planned_through == mark


def questions(world) -> list[str]:
    """Return what OpenMeter is asked for by a scheduled run in whose last hours something was used."""
    world.use("ada", 1, world.now - timedelta(hours=1))
    world.control.clear_requests()
    world.report(trigger=SCHEDULE, sync=False)
    asked = len(world.control.requests(QUERY))
    return ["the last hours", "all days", *["hours of a day"] * (asked - 2)][:asked]
