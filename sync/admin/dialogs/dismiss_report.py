"""Dismiss…: reports that wait for a person are never sent."""

from collections.abc import Sequence
from datetime import datetime

from sync.admin.dialogs.decide_reports import DecideReports
from sync.models import UsageReport
from sync.operations.resolve_report import DECIDABLE, dismiss_report


class DismissReport(DecideReports):
    """A person decided that this usage is not billed, or was never real."""

    name = "dismiss"
    title = "Dismiss reports"
    button = "Dismiss…"
    icon = "do_not_disturb_on"
    submit = "Dismiss"
    permission = "sync.dismiss_usagereport"
    dangerous = True
    past = "Dismissed"
    waiting = frozenset(DECIDABLE)
    instead = "it does not wait for a decision."
    sends = False

    def description(self) -> str:
        """Say what will happen to each of the states."""
        return (
            "They are never sent to Stripe. One that is held because it looks wrong is forgotten: its slice "
            "stays at what Stripe was told. Any other is written off: its usage counts as told, and only "
            "later changes are reported."
        )

    def decide(self, row: UsageReport, *, why: str, now: datetime) -> Sequence[UsageReport]:
        """It is never sent."""
        return [dismiss_report(report_id=row.pk, why=why, who=self.who, now=now)]
