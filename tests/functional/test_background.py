"""What repeats itself in the background: the schedules, and what their tasks do."""

import os
from datetime import timedelta

import pytest
from django.db import IntegrityError
from django.utils import timezone
from django_q.models import Schedule

from sync import tasks
from sync.conf import load_config
from sync.models import DeliveryAttempt, Finding, ReportRun, UsageReport
from sync.operations.fold_idle_runs import fold_idle_runs
from sync.operations.keep_run import RunIsTaken, begin_run
from sync.operations.report_request import ReportRequest
from sync.operations.report_usage import report_usage
from sync.schedules import SCHEDULES, declare_schedules
from sync.wiring import connect
from tests.world import HOUR

DAY = timedelta(days=1)
EVENTS = "POST /v1/billing/meter_events"


@pytest.fixture
def business(world):
    """Return a subscriber whose usage of the first hour has been reported."""
    who = world.subscriber(world.meter())
    world.use("ada", 5, world.now + HOUR / 2)
    world.later(hours=1, minutes=5)
    world.report()
    world.later(minutes=5)
    world.control.clear_requests()
    return who


def on_schedule(world, **rules):
    """Report as the schedule does."""
    from dataclasses import replace

    connections = connect(config=world.config)
    return report_usage(
        request=ReportRequest(sync=False, trigger=ReportRun.Trigger.SCHEDULE, requested_by="schedule"),
        stripe=connections.stripe,
        openmeter=connections.openmeter,
        rules=replace(world.rules(), **rules),
        clock=lambda: world.now,
    ).run


class TestSchedules:
    def test_are_declared_once_by_migrate(self, db):
        declare_schedules()
        rows = Schedule.objects.values_list("name", "func", "minutes", "repeats")
        assert set(rows) == {
            ("Report usage", "sync.tasks.report_on_schedule", 5, -1),
            ("Read Stripe's changes", "sync.tasks.read_changes_on_schedule", 15, -1),
            ("Sync with Stripe", "sync.tasks.sync_on_schedule", 1440, -1),
            ("Compare all sides", "sync.tasks.reconcile_on_schedule", 1440, -1),
            ("Handle Stripe's notices", "sync.tasks.handle_notices_of_stripe", 1, -1),
            ("Watch reporting", "sync.tasks.watch_on_schedule", 1, -1),
        }

    @pytest.mark.parametrize("declared", SCHEDULES, ids=lambda one: one.name)
    def test_name_tasks_that_exist(self, declared):
        module, _, name = declared.task.rpartition(".")
        assert module == "sync.tasks"
        assert callable(getattr(tasks, name))

    def test_stay_off_and_when_they_are_due_but_are_otherwise_as_declared(self, db):
        at = timezone.now() + timedelta(minutes=3)
        Schedule.objects.filter(name="Report usage").update(repeats=0, minutes=7, next_run=at)
        declare_schedules()
        row = Schedule.objects.get(name="Report usage")
        assert (row.repeats, row.minutes, row.next_run) == (0, 5, at)

    def test_leave_others_alone(self, db):
        Schedule.objects.create(name="mine", func="x.y", minutes=3)
        declare_schedules()
        assert Schedule.objects.get(name="mine").minutes == 3


class TestScheduledRun:
    def test_with_nothing_to_do_costs_one_query_per_meter(self, world, business):
        world.subscriber(world.meter("calls"), "bob")
        world.later(hours=1, minutes=5)
        world.report()
        on_schedule(world)  # compares the days of all meters, which is enough for today
        world.control.clear_requests()
        run = on_schedule(world)
        asked = [call["route"] for call in world.control.requests()]
        assert asked.pop(0) == "GET /v1/account"
        assert len(asked) == 2
        assert all(route.startswith("GET /api/v1/meters/") and route.endswith("/query") for route in asked)
        assert (run.status, run.error, any(run.counters.values())) == ("succeeded", "", False)

    def test_is_not_begun_while_the_last_one_goes_on(self, world, business):
        first = ReportRun(kind="report", trigger="schedule")
        begin_run(first, now=world.now)
        with pytest.raises(RunIsTaken):
            on_schedule(world)
        assert ReportRun.objects.filter(trigger="schedule").count() == 1
        world.later(minutes=1)
        world.use("ada", 2, world.now - HOUR / 2)
        assert world.report(sync=False).run.status == "succeeded"  # others are not kept from it

    def test_is_begun_once_the_killed_one_was_noticed(self, world, business):
        killed = ReportRun(kind="report", trigger="schedule")
        begin_run(killed, now=world.now)
        world.later(minutes=2, seconds=1)
        assert on_schedule(world).status == "succeeded"
        killed.refresh_from_db()
        assert killed.status == "interrupted"

    def test_of_another_kind_goes_on_beside_it(self, world, business):
        begin_run(ReportRun(kind="changes", trigger="schedule"), now=world.now)
        assert on_schedule(world).status == "succeeded"

    def test_cannot_be_queued_twice_even_by_mistake(self, db):
        for _ in range(1):
            ReportRun.objects.create(kind="sync", trigger="schedule", queued_at=timezone.now())
        with pytest.raises(IntegrityError):
            ReportRun.objects.create(kind="sync", trigger="schedule", queued_at=timezone.now())

    def test_sends_every_retry_that_is_due_and_no_other(self, world, business):
        world.use("ada", 7, world.now)
        world.later(hours=1)
        on_schedule(world, time_is_up=lambda: UsageReport.objects.filter(status="pending").exists())
        UsageReport.objects.filter(status="pending").update(attempts=1, next_attempt_at=world.now + HOUR / 12)
        on_schedule(world)
        assert world.statuses() == ["delivered", "pending"]
        world.later(minutes=5)
        assert on_schedule(world).counters["delivered"] == 1
        assert world.billed(business) == 12

    def test_leaves_the_rest_to_the_next_one_when_its_time_is_up(self, world):
        tokens = world.meter()
        people = [world.subscriber(tokens, f"c{number}") for number in range(6)]
        world.use_many([(who.subject, 3, world.now) for who in people])
        world.later(hours=1, minutes=5)
        world.sync()
        run = on_schedule(world, time_is_up=lambda: UsageReport.objects.exists())
        assert run.status == "partial"
        assert "It stopped in time for others to have their turn" in run.notes
        assert "6 planned reports are still pending" in run.notes
        assert world.statuses() == ["pending"] * 6
        assert on_schedule(world).status == "succeeded"
        assert {world.billed(who) for who in people} == {3}


class TestTasks:
    @pytest.fixture(autouse=True)
    def _settings(self, settings, config):
        settings.STRIPE_KEY, settings.STRIPE_API_BASE = config.stripe_key, config.stripe_api_base
        settings.OPENMETER_URL, settings.STRIPE_RATE_LIMIT = config.openmeter_url, 5000

    @pytest.mark.parametrize(
        ("task", "kind"),
        [
            (tasks.report_on_schedule, "report"),
            (tasks.read_changes_on_schedule, "changes"),
            (tasks.sync_on_schedule, "sync"),
        ],
    )
    def test_leave_a_run_with_its_trigger(self, sandbox, db, task, kind):
        task()
        run = ReportRun.objects.get()
        assert (run.kind, run.trigger, run.requested_by, run.status) == (
            kind,
            "schedule",
            "schedule",
            "succeeded",
        )

    def test_say_in_one_sentence_what_keeps_them_from_it(self, db, settings):
        settings.STRIPE_KEY = ""
        assert "STRIPE_KEY is not set" in tasks.report_on_schedule()
        assert not ReportRun.objects.exists()

    def test_carry_out_a_queued_run_whose_task_was_lost(self, sandbox, db):
        asked = ReportRequest(trigger="admin", requested_by="ada").as_run(now=timezone.now())
        asked.save()
        tasks.report_on_schedule()
        asked.refresh_from_db()
        assert asked.status == "queued"  # its task may still be on the way
        ReportRun.objects.filter(pk=asked.pk).update(queued_at=timezone.now() - timedelta(minutes=11))
        tasks.report_on_schedule()
        asked.refresh_from_db()
        assert asked.status == "succeeded"
        assert "Somebody else" in tasks.carry_out_run(asked.pk)

    def test_stop_when_the_worker_is_asked_to_end(self, monkeypatch):
        time_is_up = tasks._time_is_up(timedelta(hours=1))
        assert not time_is_up()
        monkeypatch.setattr(tasks, "is_asked_to_stop", lambda: True)
        assert time_is_up()
        assert tasks._time_is_up(timedelta(0))()

    def test_end_long_before_they_would_be_killed(self, settings):
        budget = load_config().run_budget.total_seconds()
        assert 2 * budget < settings.Q_CLUSTER["timeout"] < settings.Q_CLUSTER["retry"]
        assert settings.Q_CLUSTER["max_attempts"] == 1

    def test_show_which_process_works(self, sandbox, db):
        from sync.models import Worker

        tasks.watch_on_schedule()
        tasks.watch_on_schedule()
        assert f"process {os.getpid()}" in Worker.objects.get().name


class TestIdleRuns:
    def idle(self, world, *, minutes: int, **columns) -> ReportRun:
        at = world.now + timedelta(minutes=minutes)
        run = {
            "kind": "report",
            "trigger": "schedule",
            "status": "succeeded",
            "counters": {"planned": 0},
            "queued_at": at,
            "started_at": at,
            "finished_at": at,
        }
        return ReportRun.objects.create(**run | columns)

    def test_are_folded_into_one_of_their_day_and_kind_after_a_day(self, world):
        first = self.idle(world, minutes=0)
        for minutes in (5, 10):
            self.idle(world, minutes=minutes)
        other = self.idle(world, minutes=10, kind="changes")
        next_day = self.idle(world, minutes=15 * 60)
        young = self.idle(world, minutes=15 * 60 + 5)
        assert fold_idle_runs(now=world.now + DAY + timedelta(minutes=15 * 60 + 1)) == 2
        assert set(ReportRun.objects.values_list("pk", "idle_runs")) == {
            (first.pk, 2),
            (other.pk, 0),
            (next_day.pk, 0),
            (young.pk, 0),
        }

    def test_go_on_being_counted_by_the_same_row(self, world):
        first = self.idle(world, minutes=0)
        for minutes in (5, 10, 15):
            self.idle(world, minutes=minutes)
            fold_idle_runs(now=world.now + DAY + timedelta(minutes=minutes + 1))
        assert [(run.pk, run.idle_runs) for run in ReportRun.objects.all()] == [(first.pk, 3)]

    @pytest.mark.parametrize(
        "columns",
        [
            {"error": "Stripe could not be read"},
            {"notes": "Reporting of everything is paused"},
            {"counters": {"delivered": 1}},
            {"status": "partial"},
            {"trigger": "admin"},
            {"trigger": "command"},
            {"kind": "sync"},
        ],
    )
    def test_are_only_those_without_a_word(self, world, columns):
        self.idle(world, minutes=0)
        self.idle(world, minutes=5, **columns)
        assert fold_idle_runs(now=world.now + 2 * DAY) == 0

    def test_never_are_those_that_the_ledger_names(self, world, business):
        world.use("ada", 7, world.now)
        world.later(hours=1)
        with_report = on_schedule(world)
        with_attempt = self.idle(world, minutes=0)
        DeliveryAttempt.objects.create(
            report=UsageReport.objects.first(),
            run=with_attempt,
            number=1,
            outcome="temporary",
            attempted_at=world.now,
        )
        ReportRun.objects.update(counters={})
        idle = [self.idle(world, minutes=minutes) for minutes in (1, 2)]
        assert fold_idle_runs(now=world.now + 2 * DAY) == 1
        assert set(ReportRun.objects.filter(trigger="schedule").values_list("pk", flat=True)) == {
            with_report.pk,
            with_attempt.pk,
            idle[0].pk,
        }
        assert not Finding.objects.filter(kind="rejected").exists()
