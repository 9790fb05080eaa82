"""What repeats itself in the background, declared here and created by `migrate`."""

from dataclasses import dataclass

from django_q.models import Schedule


@dataclass(frozen=True, slots=True, kw_only=True)
class DeclaredSchedule:
    """A task that runs every so many minutes. Staff switch it on and off; the rest is decided here."""

    name: str
    task: str
    minutes: int


SCHEDULES = (
    DeclaredSchedule(name="Report usage", task="sync.tasks.report_on_schedule", minutes=5),
    DeclaredSchedule(name="Sync with Stripe", task="sync.tasks.sync_on_schedule", minutes=24 * 60),
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
    for declared in SCHEDULES:
        row, _ = Schedule.objects.get_or_create(name=declared.name, defaults={"func": declared.task})
        row.func, row.schedule_type, row.minutes = declared.task, Schedule.MINUTES, declared.minutes
        row.save(update_fields=["func", "schedule_type", "minutes"])
