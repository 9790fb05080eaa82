"""django-q2's own pages, in the console's theme, and without its Resubmit.

Sending a task again past the ledger is never needed: the next run does what is left.
"""

import re
from typing import Any

import django_q.admin  # noqa: F401 - registers its pages, which are replaced below
from django.contrib import admin
from django.db.models import OuterRef, QuerySet, Subquery
from django.http import HttpRequest
from django.urls import reverse
from django.utils.html import format_html
from django.utils.safestring import SafeString
from django_q import admin as original  # registers its own pages, whoever imports this first
from django_q.models import Failure, OrmQ, Schedule, Success, Task

from sync.admin.chips import QUIET, chip, yes_no_chip
from sync.admin.console_admin import ReadOnlyAdmin
from sync.admin.dialogs.switch_schedule import SwitchOff, SwitchOn
from sync.admin.formats import NOTHING, when
from sync.admin.run_words import duration
from sync.conf import load_config
from sync.enqueue import CARRY_OUT
from sync.schedules import SCHEDULES, is_on

for model in (original.Schedule, original.Success, original.Failure, OrmQ):
    if admin.site.is_registered(model):  # the queue is where it lives in the database only
        admin.site.unregister(model)

_KEY = re.compile(r"(sk|rk|whsec)_\w+")
WORK = {CARRY_OUT: "Carry out a run"} | {declared.task: declared.name for declared in SCHEDULES}
"""What tasks do, by what the queue calls."""
LONGEST = 500
"""Characters of a result that are shown; our tasks return a sentence."""


@admin.register(Schedule)
class ScheduleAdmin(ReadOnlyAdmin):
    """What repeats itself: declared in sync/schedules.py, switched on and off here."""

    dialogs = (SwitchOff, SwitchOn)

    list_display = ["name", "state", "how_often", "next_run_shown", "last_run", "last_result"]
    search_fields = ["name", "func"]
    ordering = ["name", "id"]
    fields = ["name", "state", "how_often", "next_run_shown", "last_run", "last_result"]
    readonly_fields = ["state", "how_often", "next_run_shown", "last_run", "last_result"]

    def get_queryset(self, request: HttpRequest) -> QuerySet[Schedule]:
        """Bring along how each last went."""
        last = Task.objects.filter(pk=OuterRef("task"))
        rows: QuerySet[Schedule] = (
            super()
            .get_queryset(request)
            .annotate(
                last_stopped=Subquery(last.values("stopped")[:1]),
                last_went_well=Subquery(last.values("success")[:1]),
            )
        )
        return rows

    @admin.display(description="state")
    def state(self, schedule: Schedule) -> SafeString:
        """Whether it comes again."""
        if is_on(schedule):
            return yes_no_chip(is_good=True, good="on", bad="")
        return chip("off", tone=QUIET, icon="toggle_off")

    @admin.display(description="how often")
    def how_often(self, schedule: Schedule) -> str:
        """How much time lies between two runs, as declared."""
        if not schedule.minutes:
            return str(schedule.get_schedule_type_display())
        if schedule.minutes % 1440 == 0:
            days = schedule.minutes // 1440
            return "every day" if days == 1 else f"every {days} days"
        return "every minute" if schedule.minutes == 1 else f"every {schedule.minutes} minutes"

    @admin.display(description="next run", ordering="next_run")
    def next_run_shown(self, schedule: Schedule) -> str | SafeString:
        """When it comes next; never while it is off."""
        return when(schedule.next_run) if is_on(schedule) else NOTHING

    @admin.display(description="last run")
    def last_run(self, schedule: Any) -> str | SafeString:
        """When it last ended, as far as tasks are kept."""
        return when(schedule.last_stopped)

    @admin.display(description="last result")
    def last_result(self, schedule: Any) -> str | SafeString:
        """How it last went, and the task that says more."""
        if schedule.last_went_well is None:
            return NOTHING
        kind = "success" if schedule.last_went_well else "failure"
        shown = yes_no_chip(is_good=schedule.last_went_well, good="done", bad="failed")
        url = reverse(f"admin:django_q_{kind}_change", args=(schedule.task,))
        return format_html('<a href="{}">{}</a>', url, shown)


class TaskAdmin(ReadOnlyAdmin):
    """What a worker did in the background."""

    list_display = ["name", "what", "started", "took", "outcome"]
    search_fields = ["name", "func", "group"]
    ordering = ["-stopped", "id"]
    fields = ["name", "what", "group", "started", "stopped", "took", "attempt_count", "outcome"]
    readonly_fields = ["what", "took", "outcome"]

    @admin.display(description="what it did")
    def what(self, task: Task) -> str:
        """What it is called where people ask for it."""
        return WORK.get(task.func, str(task.func))

    @admin.display(description="duration")
    def took(self, task: Task) -> str:
        """How long it took."""
        return duration(task.stopped - task.started)

    @admin.display(description="result")
    def outcome(self, task: Task) -> str:
        """What the task returned, or the last line of how it failed: all of that is in the worker's log."""
        return _in_short(str(task.result))


class SuccessAdmin(TaskAdmin):
    """Tasks that ended well."""


class FailureAdmin(TaskAdmin):
    """Tasks that failed."""


admin.site.register(Success, SuccessAdmin)
admin.site.register(Failure, FailureAdmin)


@admin.register(OrmQ)
class QueueAdmin(ReadOnlyAdmin):
    """What waits for a worker, where the queue lives in the database."""

    list_display = ["key", "lock"]
    search_fields = ["key"]
    ordering = ["lock", "id"]
    fields = ["key", "lock"]


def _in_short(result: str) -> str:
    """Return one line without any key: a traceback's last, which names what went wrong."""
    lines = [line.strip() for line in result.strip().splitlines() if line.strip()]
    if not lines:
        return NOTHING
    line = lines[-1] if "Traceback (most recent call last)" in result else " ".join(lines)
    config = load_config()
    for secret in (config.stripe_key, config.openmeter_token):
        line = line.replace(secret, "(hidden)") if secret else line
    return _KEY.sub("(hidden)", line)[:LONGEST]
