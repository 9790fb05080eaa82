"""What Release…, Dismiss… and Retry… have in common: each report is shown, and decided on by itself."""

from collections.abc import Sequence
from datetime import datetime
from typing import ClassVar

from django import forms
from django.utils import timezone

from sync.admin.dialogs.dialog import Dialog, Outcome, Place, Preview
from sync.admin.formats import amounts, from_to, units, wrapped
from sync.domain.stake import stake_of
from sync.models import UsageReport
from sync.operations.resolve_report import why_too_late
from sync.ports import InvalidInput
from sync.queries.report_moves import movements_of_reports

MOST_SHOWN = 50


class DecideReports(Dialog):
    """A person decides on reports that wait for one; each is decided by itself."""

    places = frozenset({Place.OBJECT, Place.SELECTION})
    holds_to_preview = True
    past: ClassVar[str]
    """What happened to them, as the message begins: "Released"."""
    waiting: ClassVar[frozenset[str]]
    """The statuses that this decision is for."""
    instead: ClassVar[str]
    """What is said of a report with another status."""
    sends: ClassVar[bool] = True
    """Whether Stripe is told afterwards, so that it must not be too late for that."""

    @classmethod
    def why_not(cls, row: UsageReport) -> str:
        """Only what waits for a person can be decided, and only what Stripe still bills can be sent."""
        if row.status not in cls.waiting:
            return f"Report {row.pk} is {row.status_word}: {cls.instead}"
        if row.next_attempt_at:
            return f"Report {row.pk} is tried again by itself; nobody has to decide yet."
        return why_too_late(row, now=timezone.now()) if cls.sends else ""

    def preview(self) -> Preview:
        """Show what is decided on, why it waits, and what it comes to."""
        movements = movements_of_reports(self.rows)
        shown = list(zip(self.rows, movements, strict=True))[:MOST_SHOWN]
        return Preview(
            headers=("report", "customer", "meter", "slice", "units", "amount", "why it waits"),
            rows=[
                (
                    row.pk,
                    row.enrolment.customer.label,
                    row.enrolment.meter.slug,
                    from_to(row.slice_start, row.slice_end),
                    units(row.value),
                    amounts(movement.amounts),
                    wrapped(row.error),
                )
                for row, movement in shown
            ],
            more=len(self.rows) - len(shown),
            facts=[
                (row.status, units(row.value), amounts(movement.amounts))
                for row, movement in zip(self.rows, movements, strict=True)
            ],
            stake=stake_of(movements),
        )

    def decide(self, row: UsageReport, *, why: str, now: datetime) -> Sequence[UsageReport]:
        """Decide on one report and return the rows that this changed or made."""
        raise NotImplementedError

    def act(self, form: forms.Form) -> Outcome:
        """Decide on each; what was decided meanwhile is said, the others are done."""
        now, why = timezone.now(), form.cleaned_data["why"]
        changed: list[UsageReport] = []
        refused: list[str] = []
        for row in self.rows:
            try:
                changed += self.decide(row, why=why, now=now)
            except InvalidInput as error:
                refused.append(str(error))
        done = len(self.rows) - len(refused)
        if not done:
            raise InvalidInput(" ".join(refused))
        return Outcome(
            message=f"{self.past} {done} {'report' if done == 1 else 'reports'}.",
            about=changed,
            warnings=refused,
            next_step=self.next_step(),
        )

    def next_step(self) -> str:
        """Return what people usually do next."""
        return ""
