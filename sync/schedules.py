"""What repeats itself in the background, declared here and created by `migrate`."""

from dataclasses import dataclass
from datetime import timedelta

from django.utils import timezone
from django_q.models import Schedule

from sync.queries.reporting_health import REPORT_TASK

REPORT_MINUTES = 5
"""How often usage is reported; the check sync.E004 holds it against the time that invoices leave."""


@dataclass(frozen=True, slots=True, kw_only=True)
class DeclaredSchedule:
    """A task that runs every so many minutes. Staff switch it on and off; the rest is decided here."""

    name: str
    task: str
    minutes: int
    first_after_minutes: int = 0
    """How long after its creation it runs for the first time."""
    keeps_result: bool = True
    """Whether what it returned is kept; failures always are."""


SCHEDULES = (
    DeclaredSchedule(name="Sync with Stripe", task="sync.tasks.sync_on_schedule", minutes=24 * 60),
    DeclaredSchedule(name="Report usage", task=REPORT_TASK, minutes=REPORT_MINUTES),
    DeclaredSchedule(
        name="Read Stripe's changes",
        task="sync.tasks.read_changes_on_schedule",
        minutes=15,
        # The full sync, which is due at once, reads everything that has changed until then.
        first_after_minutes=15,
    ),
    DeclaredSchedule(
        name="Compare all sides",
        task="sync.tasks.reconcile_on_schedule",
        minutes=24 * 60,
        # There is nothing to compare before the first reports are a day old.
        first_after_minutes=24 * 60,
    ),
    DeclaredSchedule(
        # A webhook asks for this by itself; here comes what the queue lost, and what failed before.
        name="Handle Stripe's notices",
        task="sync.tasks.handle_notices_of_stripe",
        minutes=1,
        keeps_result=False,
    ),
    DeclaredSchedule(
        name="Watch reporting", task="sync.tasks.watch_on_schedule", minutes=1, keeps_result=False
    ),
)


FOR_EVER, OFF = -1, 0
"""django-q2 counts `repeats` down to 0, where a schedule rests; below 0 it goes on for ever."""


def switch_schedule(*, schedule_id: int, on: bool) -> Schedule:
    """The schedule is on or off; return it. One that was due while it was off comes at the next tick."""
    Schedule.objects.filter(pk=schedule_id).update(repeats=FOR_EVER if on else OFF)
    return Schedule.objects.get(pk=schedule_id)


def is_on(schedule: Schedule) -> bool:
    """Return whether the schedule will come again."""
    return bool(schedule.repeats != OFF)


def declare_schedules() -> None:
    """Every declared schedule exists once, as declared. Safe to repeat: one that is off stays off."""
    now = timezone.now()
    for declared in SCHEDULES:
        options = {} if declared.keeps_result else {"q_options": {"save": False}}
        decided = {
            "func": declared.task,
            "schedule_type": Schedule.MINUTES,
            "minutes": declared.minutes,
            "kwargs": str(options) if options else None,
        }
        first = now + timedelta(minutes=declared.first_after_minutes)
        row, is_new = Schedule.objects.get_or_create(
            name=declared.name, defaults={**decided, "next_run": first}
        )
        if not is_new:
            for column, value in decided.items():
                setattr(row, column, value)
            row.save(update_fields=list(decided))
