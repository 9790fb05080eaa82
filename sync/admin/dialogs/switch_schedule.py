"""Switch off… and Switch on…: whether something repeats itself in the background."""

from typing import ClassVar

from django import forms
from django_q.models import Schedule

from sync.admin.dialogs.dialog import Dialog, Outcome, Place
from sync.schedules import is_on, switch_schedule


class SwitchOff(Dialog):
    """A person lets a schedule rest."""

    name = "switch_off"
    title = "Switch schedule off"
    button = "Switch off…"
    icon = "toggle_off"
    submit = "Switch off"
    permission = "sync.switch_off_schedule"
    places = frozenset({Place.OBJECT})
    dangerous = True
    turns_on: ClassVar[bool] = False

    @classmethod
    def why_not(cls, row: Schedule) -> str:
        """What rests already is not switched off again."""
        if is_on(row) == cls.turns_on:
            return f'"{row.name}" is {"on" if cls.turns_on else "off"} already.'
        return ""

    def description(self) -> str:
        """Say what will happen."""
        return (
            "It does not come again until somebody switches it on; one that is going on ends as usual. "
            "Commands and people can do the same work meanwhile: to let reporting stand still, pause it."
        )

    def act(self, form: forms.Form) -> Outcome:  # noqa: ARG002 - the reason goes into the log
        """Switch it."""
        schedule = switch_schedule(schedule_id=self.rows[0].pk, on=self.turns_on)
        state = "on" if self.turns_on else "off"
        return Outcome(message=f'Switched "{schedule.name}" {state}.', about=[schedule])


class SwitchOn(SwitchOff):
    """A person lets a schedule come again."""

    name = "switch_on"
    title = "Switch schedule on"
    button = "Switch on…"
    icon = "toggle_on"
    submit = "Switch on"
    permission = "sync.switch_on_schedule"
    dangerous = False
    turns_on = True

    def description(self) -> str:
        """Say what will happen."""
        return "A worker does it within a minute if it is due, and from then on as often as it is declared."
