"""Schedules, tasks and the queue in the admin: switched by dialogs, shown without keys or tracebacks."""

from datetime import UTC, datetime, timedelta

import pytest
from django.contrib.admin.models import LogEntry
from django.urls import reverse
from django_q.models import Failure, Schedule, Success

from sync.models import ReportRun
from sync.schedules import declare_schedules
from sync.tasks import carry_out_run
from tests.office import text_of

NOW = datetime(2026, 3, 10, 9, tzinfo=UTC)


@pytest.fixture
def schedule(world):
    return Schedule.objects.get(name="Report usage")


@pytest.fixture
def browser(office):
    return office.browser("bert", group="Billing admin")


def dialog(schedule, name):
    return reverse(f"admin:django_q_schedule_{name}", args=(schedule.pk,))


def task(model, **options):
    return model.objects.create(
        id=options.pop("id", "a" * 32),
        name="one",
        func="sync.tasks.report_on_schedule",
        started=NOW,
        stopped=NOW + timedelta(seconds=3),
        **options,
    )


class TestSchedules:
    def test_are_switched_off_and_on_with_a_reason(self, office, browser, schedule):
        page = reverse("admin:django_q_schedule_change", args=(schedule.pk,))
        assert dialog(schedule, "switch_on") not in text_of(office.get(browser, page))
        office.get(browser, dialog(schedule, "switch_off"))
        office.post(browser, dialog(schedule, "switch_off"), why="Stripe moves house.")
        schedule.refresh_from_db()
        assert schedule.repeats == 0
        declare_schedules()
        schedule.refresh_from_db()
        assert schedule.repeats == 0
        assert dialog(schedule, "switch_off") not in text_of(office.get(browser, page))
        office.post(browser, dialog(schedule, "switch_on"), why="It is back.")
        schedule.refresh_from_db()
        assert schedule.repeats == -1
        sentences = [entry.change_message for entry in LogEntry.objects.order_by("pk")]
        assert sentences == [
            'Switched "Report usage" off. Stripe moves house.',
            'Switched "Report usage" on. It is back.',
        ]

    def test_are_not_switched_without_a_reason_or_the_permission(self, office, browser, schedule):
        office.post(browser, dialog(schedule, "switch_off"), why="")
        operator = office.browser("otto", group="Billing operator")
        assert office.get(operator, dialog(schedule, "switch_off")).status_code == 403
        assert office.post(operator, dialog(schedule, "switch_off"), why="x").status_code == 403
        schedule.refresh_from_db()
        assert schedule.repeats == -1

    def test_show_how_they_last_went_and_when_they_come_next(self, office, browser, schedule):
        schedule.task, schedule.next_run = "a" * 32, NOW + timedelta(minutes=5)
        schedule.save()
        task(Failure, success=False, result="boom")
        page = text_of(office.get(browser, reverse("admin:django_q_schedule_changelist")))
        for piece in (
            "every 5 minutes",
            "every day",
            "every minute",
            "failed",
            "2026-03-10 09:05 UTC",
            "2026-03-10 09:00 UTC",
        ):
            assert piece in page
        failures = text_of(office.get(browser, reverse("admin:django_q_failure_changelist")))
        assert "Report usage" in failures
        assert "sync.tasks" not in failures
        assert reverse("admin:django_q_failure_change", args=("a" * 32,)) in page


class TestTasks:
    def test_show_the_last_line_of_a_failure_and_no_key(self, office, browser, settings, world):
        settings.OPENMETER_TOKEN = "token-of-openmeter"
        result = (
            'ValueError: no : Traceback (most recent call last):\n  File "/secret/place.py", line 3\n'
            f"ValueError: {settings.STRIPE_KEY} and token-of-openmeter and sk_test_other1 do not fit"
        )
        failed = task(Failure, success=False, result=result)
        for page in (
            reverse("admin:django_q_failure_changelist"),
            reverse("admin:django_q_failure_change", args=(failed.pk,)),
        ):
            shown = text_of(office.get(browser, page))
            assert "ValueError: (hidden) and (hidden) and (hidden) do not fit" in shown
            assert "place.py" not in shown

    def test_cannot_be_submitted_again_changed_or_deleted(self, office, browser, world):
        done = task(Success, success=True, result="Run 1: succeeded")
        page = text_of(office.get(browser, reverse("admin:django_q_success_changelist")))
        assert "Run 1: succeeded" in page
        assert "Resubmit" not in page
        assert "delete_selected" not in page
        assert (
            office.post(browser, reverse("admin:django_q_success_delete", args=(done.pk,))).status_code == 403
        )

    def test_whose_settings_are_wrong_fail_their_run(self, settings, world):
        run = ReportRun.objects.create(trigger="admin", queued_at=NOW)
        settings.STRIPE_KEY = ""
        assert "STRIPE_KEY is not set" in carry_out_run(run.pk)
        run.refresh_from_db()
        assert run.status == "failed"
        assert "STRIPE_KEY is not set" in run.error
