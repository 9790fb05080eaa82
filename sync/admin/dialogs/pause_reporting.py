"""Pause… and Resume…: reporting of everything, a meter or a customer stands still, and goes on again."""

from dataclasses import replace
from typing import Any

from django import forms
from django.urls import reverse
from django.utils import timezone

from sync.admin.dialogs.dialog import Dialog, Outcome, Place, Preview
from sync.admin.dialogs.plan_preview import preview_plan
from sync.models import Customer, Meter, Pause
from sync.operations.pause_reporting import pause_reporting, resume_reporting
from sync.operations.preview_report import ReportPreview, preview_report
from sync.ports import SyncError
from sync.queries.pausable import Pausable
from sync.queries.pauses import open_pauses
from sync.queries.planning import Scope, enrolments_in
from sync.wiring import connect

NOBODY = "Nobody is billed by it, so nothing waits to be sent."


class PauseReporting(Dialog):
    """A person lets something stand still."""

    name = "pause"
    title = "Pause reporting"
    button = "Pause reporting…"
    icon = "pause_circle"
    submit = "Pause"
    permission = "sync.pause_reporting"
    places = frozenset({Place.OBJECT})
    dangerous = True

    @classmethod
    def why_not(cls, row: Any) -> str:
        """What a person paused already is resumed, not paused again."""
        pause = _pause_of(row)
        return pause.sentence if pause else ""

    def target(self) -> Pausable:
        """Return what would stand still."""
        row = self.rows[0] if self.rows else None
        return Pausable(
            meter=row if isinstance(row, Meter) else None, customer=row if isinstance(row, Customer) else None
        )

    def description(self) -> str:
        """Say what will happen."""
        what = self.target().words if self.rows or not self.asked else "it"
        return (
            f"Nothing more of {what} is measured or sent, whoever asks for it; calls to Stripe that are on "
            "their way end first. OpenMeter goes on measuring, and what it measured is sent once you resume. "
            "Usage whose billing period closes meanwhile comes too late and waits for a decision."
        )

    def preview(self) -> Preview:
        """Say what is paused already."""
        standing = [pause.sentence for pause in open_pauses() if not (pause.meter_id or pause.customer_id)]
        if standing and not self.rows:
            return Preview(nothing_to_do=standing[0])
        return Preview(sentences=standing)

    def act(self, form: forms.Form) -> Outcome:
        """Pause it."""
        target = self.target()
        pause = pause_reporting(
            meter=target.meter,
            customer=target.customer,
            why=form.cleaned_data["why"],
            who=self.who,
            now=timezone.now(),
        )
        return Outcome(
            message=f"Paused reporting of {target.words}.",
            about=[pause, *self.rows],
            url=reverse("admin:sync_pause_change", args=(pause.pk,)),
        )


class PauseEverything(PauseReporting):
    """The same for everything, where no row is chosen."""

    button = "Pause everything…"
    title = "Pause all reporting"
    places = frozenset({Place.LIST})


class ResumeReporting(Dialog):
    """A person lets go on what stood still: on the pause itself, or on what it names."""

    name = "resume"
    title = "Resume reporting"
    button = "Resume reporting…"
    icon = "play_circle"
    submit = "Resume"
    permission = "sync.resume_reporting"
    holds_to_preview = True
    places = frozenset({Place.OBJECT})

    @classmethod
    def why_not(cls, row: Any) -> str:
        """Only what a person paused is resumed by one."""
        pause = row if isinstance(row, Pause) else _pause_of(row)
        if pause is None or pause.resumed_at:
            return "It is not paused."
        if pause.by_stripe:
            return "Stripe refuses this meter's events: reactivate it there, and the next sync resumes it."
        return ""

    def description(self) -> str:
        """Say what will happen."""
        return "The next run measures and sends what has closed since, and what was still waiting."

    def preview(self) -> Preview:
        """Say who paused it and why, and show what waits and goes out once it is over."""
        pause = self._pause()
        scope = Scope(
            meter=pause.meter.stripe_id if pause.meter else "",
            customer=pause.customer.stripe_id if pause.customer else "",
        )
        if not enrolments_in(scope).exists():
            return Preview(sentences=[pause.sentence, NOBODY])
        try:
            plan = self._plan(scope, pause)
        except SyncError as error:
            return Preview(sentences=[pause.sentence, f"Nobody can say now what waits to be sent: {error}"])
        shown = preview_plan(plan) if plan.does_something else Preview(sentences=[*plan.notes, *plan.errors])
        return replace(shown, sentences=[pause.sentence, _outlook(plan), *shown.sentences])

    def act(self, form: forms.Form) -> Outcome:
        """Resume it."""
        pause = resume_reporting(
            pause_id=self._pause().pk, why=form.cleaned_data["why"], who=self.who, now=timezone.now()
        )
        words = Pausable(meter=pause.meter, customer=pause.customer).words
        named = [row for row in self.rows if not isinstance(row, Pause)]
        return Outcome(message=f"Resumed reporting of {words}.", about=[pause, *named])

    @staticmethod
    def _plan(scope: Scope, pause: Pause) -> ReportPreview:
        connections = connect()
        return preview_report(
            scope=scope,
            source=connections.openmeter,
            rules=connections.rules,
            now=timezone.now(),
            as_if_over=pause.pk,
        )

    def _pause(self) -> Pause:
        row = self.rows[0]
        pause = row if isinstance(row, Pause) else _pause_of(row)
        assert pause is not None  # noqa: S101 - why_not left out everything else
        return pause


def _outlook(plan: ReportPreview) -> str:
    """Return what a resumption lets go on, as far as anybody knows."""
    if plan.standing:
        return "Another pause keeps all of it back, too: nothing goes out until that one is resumed as well."
    if plan.errors:
        return "Some of what waits is not known now (see below), so more than this may go out."
    if not plan.does_something:
        return "Nothing waits to be sent by now; what is used from then on is reported as usual."
    return "This waits, and the next run sends it:"


def _pause_of(row: Any) -> Pause | None:
    """Return the pause in force by which a person let exactly this meter or customer stand still."""
    names = {"meter": row} if isinstance(row, Meter) else {"customer": row}
    return open_pauses().filter(by_stripe=False, **names).first()
