"""Start at…: usage before an hour was billed by another tool, and is never reported by this console."""

from datetime import UTC

from django import forms
from django.utils import timezone
from unfold.widgets import UnfoldAdminTextInputWidget

from sync.admin.dialogs.choose_first import ChooseFirst
from sync.admin.dialogs.dialog import DialogForm, Outcome, Place, Preview
from sync.admin.formats import amounts, from_to, units, wrapped
from sync.domain.stake import stake_of
from sync.models import Enrolment
from sync.operations.start_reporting import start_reporting, unsent_before, why_not_from
from sync.queries.report_moves import movements_of_reports

MOST_SHOWN = 50


class StartChoice(DialogForm):
    """Asks from when on."""

    start = forms.DateTimeField(
        label="Report usage from",
        help_text="A full hour in UTC, like 2026-03-10 14:00.",
        widget=UnfoldAdminTextInputWidget,
    )


class StartReporting(ChooseFirst):
    """Another tool billed everything up to an hour."""

    name = "start_at"
    title = "Already billed, start at"
    button = "Start at…"
    icon = "start"
    submit = "Start then"
    permission = "sync.start_enrolment"
    holds_to_preview = True
    places = frozenset({Place.OBJECT})
    choose_class = StartChoice
    choose = "Show what is left out"
    dangerous = True

    def description(self) -> str:
        """Say what will happen."""
        return (
            "Usage before that hour was billed by another tool: what waits of it is dismissed as already "
            "billed, and nothing more of it is reported. What Stripe was told stays."
        )

    def unchosen(self) -> str:
        """Say from when on it is reported so far."""
        begins = self.rows[0].report_from
        return f"So far it is reported from {begins:%Y-%m-%d %H:%M} UTC on." if begins else ""

    def preview_of_choice(self) -> Preview:
        """Show which reports are never sent."""
        enrolment: Enrolment = self.rows[0]
        start = self.choice["start"].astimezone(UTC)
        if problem := why_not_from(start, now=timezone.now()):
            return Preview(nothing_to_do=problem)
        reports = list(
            unsent_before(enrolment, start)
            .select_related("enrolment__meter", "enrolment__customer")
            .order_by("slice_start", "revision")
        )
        movements = movements_of_reports(reports)
        return Preview(
            sentences=[
                f"Usage of {enrolment.customer.label} on {enrolment.meter.slug} is reported from "
                f"{start:%Y-%m-%d %H:%M} UTC on.",
                f"Reports that are never sent: {len(reports)}.",
            ],
            headers=("report", "slice", "units", "amount", "why it waits"),
            rows=[
                (
                    row.pk,
                    from_to(row.slice_start, row.slice_end),
                    units(row.value),
                    amounts(movement.amounts),
                    wrapped(row.error),
                )
                for row, movement in list(zip(reports, movements, strict=True))[:MOST_SHOWN]
            ],
            more=max(0, len(reports) - MOST_SHOWN),
            facts=[(row.pk, units(row.value)) for row in reports],
            stake=stake_of(movements),
        )

    def act(self, form: forms.Form) -> Outcome:
        """Start there."""
        enrolment: Enrolment = self.rows[0]
        start = self.choice["start"].astimezone(UTC)
        dismissed = start_reporting(
            enrolment_id=enrolment.pk,
            start=start,
            why=form.cleaned_data["why"],
            who=self.who,
            now=timezone.now(),
        )
        count = f"{len(dismissed)} {'report' if len(dismissed) == 1 else 'reports'}"
        return Outcome(
            message=f"Reported from {start:%Y-%m-%d %H:%M} UTC on; dismissed {count} as already billed.",
            about=[enrolment, enrolment.customer, *dismissed],
        )
