"""django-q2's own pages, in the console's theme, and without its Resubmit.

Sending a task again past the ledger is never needed: the next run does what is left.
"""

from typing import Any

from django.contrib import admin
from django_q import admin as original  # registers its own pages, whoever imports this first
from django_q.models import Failure, OrmQ, Schedule, Success

from sync.admin.console_admin import ReadOnlyAdmin

for model in (original.Schedule, original.Success, original.Failure, OrmQ):
    if admin.site.is_registered(model):  # the queue is where it lives in the database only
        admin.site.unregister(model)


@admin.register(Schedule)
class ScheduleAdmin(ReadOnlyAdmin):
    """What repeats itself: declared in sync/schedules.py, switched on and off here."""

    list_display = ["name", "func", "minutes", "next_run", "is_on"]
    search_fields = ["name", "func"]
    ordering = ["name", "id"]
    fields = ["name", "func", "schedule_type", "minutes", "next_run", "is_on"]

    @admin.display(boolean=True, description="on")
    def is_on(self, schedule: Schedule) -> bool:
        """Whether it will run; django-q2 leaves out schedules with no repeats left."""
        return bool(schedule.repeats != 0)


class TaskAdmin(ReadOnlyAdmin):
    """What a worker did in the background."""

    list_display = ["name", "func", "started", "stopped", "attempt_count"]
    search_fields = ["name", "func", "group"]
    ordering = ["-stopped", "id"]
    fields = ["name", "func", "group", "started", "stopped", "attempt_count", "outcome"]
    readonly_fields = ["outcome"]

    @admin.display(description="result")
    def outcome(self, task: Any) -> str:
        """What the task returned or how it failed."""
        return str(task.result)


admin.site.register(Success, type("SuccessAdmin", (TaskAdmin,), {"__doc__": "Tasks that ended well."}))
admin.site.register(Failure, type("FailureAdmin", (TaskAdmin,), {"__doc__": "Tasks that failed."}))


@admin.register(OrmQ)
class QueueAdmin(ReadOnlyAdmin):
    """What waits for a worker, where the queue lives in the database."""

    list_display = ["key", "lock"]
    search_fields = ["key"]
    ordering = ["lock", "id"]
    fields = ["key", "lock"]
