"""Release…: held reports are sent after all, by the next run."""

from django import forms
from django.utils import timezone

from sync.admin.dialogs.dialog import Dialog, Outcome, Place, Preview
from sync.admin.formats import units, when
from sync.models import UsageReport
from sync.operations.resolve_report import release_report


class ReleaseReport(Dialog):
    """A person looked at a held report and found that it is right."""

    name = "release"
    title = "Release held reports"
    button = "Release…"
    icon = "lock_open"
    submit = "Release"
    permission = "sync.release_usagereport"
    places = frozenset({Place.OBJECT, Place.SELECTION})
    moves_money = True

    @classmethod
    def why_not(cls, row: UsageReport) -> str:
        """Only held reports are released."""
        if row.status == UsageReport.Status.HELD:
            return ""
        return f"Report {row.pk} is {row.status}: only held reports are released."

    def description(self) -> str:
        """Say what will happen."""
        return "The next run sends them to Stripe, which bills them."

    def preview(self) -> Preview:
        """Show what will be sent, and why it was held."""
        return Preview(
            headers=("customer", "meter", "from", "to", "units", "why it was held"),
            rows=[
                (
                    row.enrolment.customer,
                    row.enrolment.meter.slug,
                    when(row.slice_start),
                    when(row.slice_end),
                    units(row.value),
                    row.error,
                )
                for row in self.rows
            ],
        )

    def act(self, form: forms.Form) -> Outcome:
        """Release each; what was decided meanwhile is said."""
        now, why = timezone.now(), form.cleaned_data["why"]
        released = [
            release_report(report_id=row.pk, why=why, who=self.who, run=None, now=now) for row in self.rows
        ]
        return Outcome(message=f"Released {len(released)} reports.", about=released)
