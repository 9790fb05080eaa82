"""Whether usage is being reported: what counts as trouble, and since when."""

from datetime import timedelta

import pytest
import time_machine
from django.core.management import CommandError, call_command

from sync.models import Incident, Meter, ReportRun, StripeAccount, UsageReport, Worker
from sync.operations.pause_reporting import pause_reporting
from sync.operations.watch_reporting import watch_reporting
from sync.queries.closing_periods import closing_periods
from sync.queries.reporting_health import reporting_health
from sync.schedules import declare_schedules
from tests.staff import log_in
from tests.world import HOUR

Kind = Incident.Kind


def kinds(world) -> set[str]:
    return {problem.kind for problem in reporting_health(now=world.now).problems}


def sentence(world, kind) -> str:
    problems = reporting_health(now=world.now).problems
    return next(problem.sentence for problem in problems if problem.kind == kind)


def see_worker(world) -> None:
    Worker.objects.update_or_create(name="w", defaults={"seen_at": world.now})


def report_first_hour(world):
    tokens = world.meter()
    who = world.subscriber(tokens)
    world.use("ada", 5, world.now + HOUR / 2)
    world.later(hours=1, minutes=5)
    world.report()
    see_worker(world)
    return who


@pytest.fixture
def business(world, stage):
    """Return a subscriber whose usage of the first hour has been reported."""
    return stage.play("first hour reported, worker seen", lambda: report_first_hour(world))


class TestReportingHealth:
    def test_misses_nothing_before_anything_was_set_up(self, world):
        health = reporting_health(now=world.now)
        assert not health.in_use
        assert health.is_well
        assert health.last_full_run is None
        assert not health.worker_alive

    def test_is_well_after_a_report_with_a_living_worker(self, world, business):
        health = reporting_health(now=world.now)
        assert health.is_well
        assert health.last_full_run_at == world.now
        assert health.worker_alive
        assert health.oldest_undelivered_end is None

    def test_takes_a_constant_number_of_queries(self, world, business, django_assert_max_num_queries):
        with django_assert_max_num_queries(14):
            reporting_health(now=world.now)

    def test_names_the_oldest_slice_that_is_not_settled(self, world, business):
        UsageReport.objects.update(status="held", delivered_at=None)
        assert reporting_health(now=world.now).oldest_undelivered_end == UsageReport.objects.get().slice_end

    def test_knows_when_the_schedule_reports_next(self, world, business):
        from django_q.models import Schedule

        declare_schedules()
        assert reporting_health(now=world.now).next_run_at is not None
        Schedule.objects.update(repeats=0)
        assert reporting_health(now=world.now).next_run_at is None


class TestNoFullRun:
    def test_is_a_problem_after_half_an_hour(self, world, business):
        world.later(minutes=30)
        see_worker(world)
        assert kinds(world) == set()
        world.later(seconds=1)
        assert kinds(world) == {Kind.NO_FULL_RUN}
        assert "No run over everything went through since 2026-03-10 10:05" in sentence(
            world, Kind.NO_FULL_RUN
        )

    def test_says_that_the_schedule_is_off(self, world, business):
        from django_q.models import Schedule

        declare_schedules()
        Schedule.objects.update(repeats=0)
        world.later(minutes=31)
        see_worker(world)
        assert "switched off" in sentence(world, Kind.NO_FULL_RUN)

    @pytest.mark.parametrize("changes", [{"dry_run": True}, {"is_full": False}])
    def test_is_not_ended_by_a_run_that_did_not_go_through(self, world, business, changes):
        world.later(minutes=31)
        see_worker(world)
        run = world.report(sync=False).run
        assert kinds(world) == set()
        ReportRun.objects.filter(pk=run.pk).update(**changes)
        assert kinds(world) == {Kind.NO_FULL_RUN}

    def test_is_not_ended_by_runs_that_openmeter_did_not_answer_and_every_page_says_so(
        self, world, business, client, capsys, monkeypatch, settings
    ):
        """One of two meters is measured, so the runs are partial."""
        calls = world.meter("calls")
        world.subscribe(business.customer, calls, "ada")
        world.sync()
        full = reporting_health(now=world.now).last_full_run
        world.use("ada", 5, world.now)
        world.later(minutes=61)
        see_worker(world)
        world.openmeter_http.delete("/api/v1/meters/calls")
        run = world.report(sync=False).run
        assert (run.status, run.is_full, run.counters["delivered"]) == ("partial", False, 1)
        health = watch_reporting(now=world.now)
        assert (health.last_full_run, [one.kind for one in health.problems]) == (full, [Kind.NO_FULL_RUN])
        monkeypatch.setattr("sync.management.base.timezone.now", lambda: world.now)
        with pytest.raises(CommandError):
            call_command("check_reporting")
        assert "went through since 2026-03-10 10:05" in capsys.readouterr().out
        settings.SECURE_SSL_REDIRECT = False
        with time_machine.travel(world.now, tick=False):
            page = log_in(client).get("/").content.decode()
        assert f"{full}</a>" in page
        assert "went through since 2026-03-10 10:05" in page
        ReportRun.objects.filter(pk=run.pk).update(status="running", finished_at=None)
        # Whoever was told once is not told that it is over by the next attempt.
        assert kinds(world) == {Kind.NO_FULL_RUN}
        ReportRun.objects.filter(pk=run.pk).update(status="failed", finished_at=world.now)
        made = {"slug": "calls", "aggregation": "SUM", "eventType": "calls", "valueProperty": "$.amount"}
        world.openmeter_http.post("/api/v1/meters", json=made)
        assert world.report(sync=False).run.is_full
        assert kinds(world) == set()

    def test_is_ended_by_a_run_in_which_stripe_refused_a_customer(self, world, business):
        world.control.delete_stripe(business.customer)
        world.use("ada", 5, world.now)
        world.later(minutes=61)
        see_worker(world)
        run = world.report(sync=False).run
        assert (run.status, run.is_full) == ("partial", True)
        assert kinds(world) == {Kind.REJECTED}

    def test_is_one_where_stripe_takes_nothing_or_no_meter_can_be_planned(self, world, business):
        world.use("ada", 5, world.now)
        world.later(minutes=61)
        world.control.fault("POST /v1/billing/meter_events", status=401)
        assert not world.report(sync=False).run.is_full
        world.control.clear_faults()
        Meter.objects.update(formula="last")
        assert not world.report(sync=False).run.is_full

    def test_is_not_ended_by_a_run_of_one_customer(self, world, business):
        from sync.queries.planning import Scope

        world.later(minutes=31)
        see_worker(world)
        world.report(sync=False, scope=Scope(customer=business.customer))
        assert kinds(world) == {Kind.NO_FULL_RUN}

    def test_is_none_while_a_full_run_goes_on(self, world, business):
        world.later(minutes=31)
        see_worker(world)
        run = world.report(sync=False).run
        ReportRun.objects.filter(pk=run.pk).update(status="running", finished_at=None)
        assert kinds(world) == set()

    def test_is_none_where_nobody_is_to_be_billed(self, world):
        world.meter()
        world.sync()
        world.later(minutes=31)
        see_worker(world)
        assert kinds(world) == set()

    def test_is_none_where_everything_is_paused(self, world, business):
        pause_reporting(why="Prices change", who="ada", now=world.now)
        world.later(hours=3)
        see_worker(world)
        assert kinds(world) == set()


class TestWorker:
    def test_is_dead_after_five_minutes_without_a_sign(self, world, business):
        world.later(minutes=5)
        assert kinds(world) == set()
        world.later(seconds=1)
        assert kinds(world) == {Kind.WORKER_DEAD}
        assert "manage.py qcluster" in sentence(world, Kind.WORKER_DEAD)

    def test_lives_while_a_run_of_its_has_a_heart(self, world, business):
        world.later(minutes=6)
        ReportRun.objects.filter(kind="report").update(trigger="schedule", heartbeat_at=world.now)
        assert reporting_health(now=world.now).worker_alive

    def test_does_not_live_by_the_heart_of_a_command(self, world, business):
        world.later(minutes=6)
        ReportRun.objects.filter(kind="report").update(trigger="command", heartbeat_at=world.now)
        assert not reporting_health(now=world.now).worker_alive

    def test_is_missed_where_there_never_was_one(self, world, business):
        Worker.objects.all().delete()
        StripeAccount.objects.update(pinned_at=world.now - timedelta(minutes=6))
        assert "No background worker was seen yet" in sentence(world, Kind.WORKER_DEAD)


class TestWaiting:
    @pytest.mark.parametrize(("status", "word"), [("held",) * 2, ("late",) * 2, ("rejected", "refused")])
    def test_is_a_problem_that_is_counted_and_names_no_customer(self, world, business, status, word):
        UsageReport.objects.update(status=status, delivered_at=None)
        assert f"(1 {word})" in sentence(world, Kind(status))

    def test_counts_what_nobody_will_learn_of(self, world, business):
        UsageReport.objects.update(status="unknown", delivered_at=None, next_attempt_at=None)
        assert "(1 of unknown outcome)" in sentence(world, Kind.UNKNOWN)

    def test_leaves_out_what_is_still_tried(self, world, business):
        UsageReport.objects.update(status="unknown", delivered_at=None, next_attempt_at=world.now)
        assert kinds(world) == set()


class TestPeriodThatCloses:
    """The period of `business` ends on April 10th at 9:00 and closes at 10:00."""

    def go_to_its_end(self, world, *, report: bool) -> None:
        end = world.now.replace(month=4, day=10, hour=9, minute=0)
        world.use("ada", 3, end - HOUR / 2)
        world.at(end + timedelta(minutes=5))
        if report:
            world.report()
        world.at(end + timedelta(minutes=41))
        see_worker(world)

    def test_is_a_problem_while_its_usage_is_not_in(self, world, business):
        self.go_to_its_end(world, report=False)
        assert Kind.PERIOD_CLOSES in kinds(world)
        assert "Usage of 1 billing period is not in, and it closes at 2026-04-10 10:00" in sentence(
            world, Kind.PERIOD_CLOSES
        )

    def test_is_none_once_its_usage_is_in(self, world, business):
        self.go_to_its_end(world, report=True)
        assert Kind.PERIOD_CLOSES not in kinds(world)

    def test_is_one_while_a_report_of_it_waits(self, world, business):
        self.go_to_its_end(world, report=True)
        last = UsageReport.objects.order_by("slice_end").last()
        UsageReport.objects.filter(pk=last.pk).update(status="pending", delivered_at=None)
        assert Kind.PERIOD_CLOSES in kinds(world)

    def test_is_none_more_than_twenty_minutes_before(self, world, business):
        self.go_to_its_end(world, report=False)
        world.at(world.now - timedelta(minutes=2))
        assert Kind.PERIOD_CLOSES not in kinds(world)

    def test_says_that_it_is_paused(self, world, business):
        pause_reporting(why="Prices change", who="ada", now=world.now)
        self.go_to_its_end(world, report=True)
        assert "paused for 1 of them" in sentence(world, Kind.PERIOD_CLOSES)

    def test_is_none_where_all_of_it_was_a_trial(self, world):
        tokens = world.meter()
        world.subscriber(tokens, trial_period_days=31)
        world.sync()
        see_worker(world)
        period_end = world.now + timedelta(days=31)
        world.at(period_end + timedelta(minutes=45))
        assert Kind.PERIOD_CLOSES not in kinds(world)

    def test_is_listed_with_what_is_in(self, world, business):
        self.go_to_its_end(world, report=True)
        listed = closing_periods(now=world.now, until=world.now + 24 * HOUR)
        assert [(one.customer, one.meter, one.is_in, one.paused) for one in listed] == [
            (f"ada ({business.customer})", "tokens", True, False)
        ]

    def test_of_an_hourly_meter_is_in_up_to_the_last_whole_hour(self, world):
        world.later(minutes=30)
        calls = world.meter("calls", window="hour")
        world.subscriber(calls)
        world.report()
        end = world.now.replace(month=4, day=10)
        world.use("ada", 3, end - HOUR, slug="calls")
        world.at(end + timedelta(minutes=5))
        world.report()
        world.at(end + timedelta(minutes=41))
        assert Meter.objects.get().sets_hours
        assert Kind.PERIOD_CLOSES not in kinds(world)
