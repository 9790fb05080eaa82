"""Already billed…: what Stripe holds of held reports' slices counts as told, and only the rest is sent."""

from decimal import Decimal

from django import forms
from django.utils import timezone

from sync.admin.dialogs.decide_reports import MOST_SHOWN, DecideReports
from sync.admin.dialogs.dialog import Outcome, Preview
from sync.admin.formats import units
from sync.admin.links import report_usage_sentence
from sync.models import UsageReport
from sync.operations.count_as_billed import count_as_billed
from sync.ports import InvalidInput
from sync.wiring import connect


class AlreadyBilled(DecideReports):
    """Another tool reported this usage, or this console did before its database was put back."""

    name = "already_billed"
    title = "Already billed"
    button = "Already billed…"
    icon = "price_check"
    submit = "Count as billed"
    permission = "sync.adopt_usagereport"
    past = "Counted as billed:"
    waiting = frozenset({UsageReport.Status.HELD})
    instead = "only reports that are held because Stripe holds their usage already are counted so."
    sends = False
    atomic = False

    @classmethod
    def why_not(cls, row: UsageReport) -> str:
        """Only where Stripe holds something that the ledger did not tell it."""
        if row.beside is None:
            return f"Report {row.pk}: {cls.instead}"
        return super().why_not(row)

    def description(self) -> str:
        """Say what will happen."""
        return (
            "What Stripe holds of their hours counts as told by this console. Where more was measured, the "
            "next run sends the rest; where less was, it takes off the difference. Stripe is asked once more "
            "before."
        )

    def preview(self) -> Preview:
        """Show beside each report what Stripe holds, and what is left."""
        shown = super().preview()
        beside: list[Decimal] = [row.beside for row in self.rows]
        held = [
            (units(one), units(row.value - one))
            for row, one in list(zip(self.rows, beside, strict=True))[:MOST_SHOWN]
        ]
        shown.headers = (*shown.headers, "in Stripe", "left to send")
        shown.rows = [(*cells, *more) for cells, more in zip(shown.rows, held, strict=True)]
        shown.facts = [*shown.facts, [units(one) for one in beside]]
        return shown

    def act(self, form: forms.Form) -> Outcome:
        """Ask Stripe once more, and count what it holds."""
        counted = count_as_billed(
            [row.pk for row in self.rows],
            why=form.cleaned_data["why"],
            who=self.who,
            source=connect().stripe,
            clock=timezone.now,
        )
        if not counted.done:
            raise InvalidInput(" ".join(counted.refused))
        return Outcome(
            message=f"{self.past} {counted.done} {'report' if counted.done == 1 else 'reports'}.",
            about=counted.changed,
            warnings=counted.refused,
            next_step=report_usage_sentence(self.request),
        )
