"""Compare with Stripe: its totals say what became of reports whose outcome nobody knows."""

from django import forms
from django.utils import timezone

from sync.admin.dialogs.decide_reports import DecideReports
from sync.admin.dialogs.dialog import Outcome
from sync.admin.links import report_usage_sentence
from sync.models import UsageReport
from sync.operations.settle_unknown import UNDECIDED, settle_unknown
from sync.ports import InvalidInput
from sync.wiring import connect

TOO_EARLY = (
    "The last call was only minutes ago, and Stripe's totals lag behind: nothing can be said before ten "
    "minutes have passed."
)


class CompareReport(DecideReports):
    """A person does not want to wait for the next run to look."""

    name = "compare"
    title = "Compare with Stripe"
    button = "Compare with Stripe…"
    icon = "compare_arrows"
    submit = "Compare"
    permission = "sync.compare_usagereport"
    past = "Compared"
    waiting = frozenset({UsageReport.Status.UNKNOWN})
    instead = "only reports of unknown outcome are compared."
    sends = False
    atomic = False

    def description(self) -> str:
        """Say what will happen."""
        return (
            "Stripe is asked what it holds of their hours. A report that arrived counts as delivered. One "
            "that did not is replaced by a new revision, which the next run sends. Where the units do not "
            "add up, nothing changes and both numbers are shown."
        )

    def act(self, form: forms.Form) -> Outcome:  # noqa: ARG002 - the log keeps the reason
        """Ask Stripe, and write down what it says."""
        asked = [row.pk for row in self.rows]
        settled = settle_unknown(source=connect().stripe, clock=timezone.now, report_ids=asked)
        if not settled.outcomes:
            raise InvalidInput(settled.error or TOO_EARLY)
        said = [f"{count} {word}" for word, count in settled.outcomes.items()]
        open_still = UsageReport.objects.filter(pk__in=asked, status=UsageReport.Status.UNKNOWN)
        return Outcome(
            message=f"Compared {settled.outcomes.total()} with Stripe: {', '.join(said)}.",
            about=settled.changed or self.rows,
            warnings=[row.error for row in open_still] if settled.outcomes[UNDECIDED] else [],
            next_step=report_usage_sentence(self.request) if settled.changed else "",
        )
