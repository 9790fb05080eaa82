"""Retry…: refused reports, and those that surely did not arrive, are sent anew."""

from collections.abc import Sequence
from datetime import datetime
from typing import Any

from django import forms
from unfold.widgets import UnfoldBooleanWidget

from sync.admin.dialogs.decide_reports import DecideReports
from sync.admin.dialogs.dialog import ReasonForm
from sync.admin.links import report_usage_sentence
from sync.models import UsageReport
from sync.operations.resolve_report import release_report

Status = UsageReport.Status


class RetryForm(ReasonForm):
    """Asks why, and for a look into Stripe where a report may have arrived."""

    looked = forms.BooleanField(
        label="I looked in Stripe: what nobody knew of has not arrived there",
        help_text="If it has arrived, Stripe bills it twice.",
        widget=UnfoldBooleanWidget,
    )

    def __init__(self, *args: Any, may_have_arrived: bool, **kwargs: Any) -> None:
        """Ask for the look only where it is needed."""
        super().__init__(*args, **kwargs)
        if not may_have_arrived:
            del self.fields["looked"]


class RetryReport(DecideReports):
    """What kept Stripe from taking a report is gone, or it is known that it never arrived."""

    name = "retry"
    title = "Retry reports"
    button = "Retry…"
    icon = "replay"
    submit = "Retry"
    permission = "sync.retry_usagereport"
    form_class = RetryForm
    past = "Planned anew:"
    waiting = frozenset({Status.REJECTED, Status.UNKNOWN})
    instead = "only refused reports, and those of unknown outcome, are retried."

    def description(self) -> str:
        """Say what will happen."""
        return (
            "Each is replaced by a new revision with a new identifier, which the next run sends to Stripe. "
            "Remove what Stripe names as the reason first, else it refuses the new one, too."
        )

    def form_kwargs(self) -> dict[str, Any]:
        """Ask for a look into Stripe where one of them may have arrived."""
        return {"may_have_arrived": any(row.status == Status.UNKNOWN for row in self.rows)}

    def decide(self, row: UsageReport, *, why: str, now: datetime) -> Sequence[UsageReport]:
        """A new revision waits for the next run; the history of both says so."""
        return [row, release_report(report_id=row.pk, why=why, who=self.who, run=None, now=now)]

    def next_step(self) -> str:
        """Offer not to wait for the schedule."""
        return report_usage_sentence(self.request)
