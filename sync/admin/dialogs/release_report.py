"""Release…: held reports are sent after all, by the next run."""

from collections.abc import Sequence
from datetime import datetime

from sync.admin.dialogs.decide_reports import DecideReports
from sync.admin.links import report_usage_sentence
from sync.models import UsageReport
from sync.operations.resolve_report import release_report


class ReleaseReport(DecideReports):
    """A person looked at a held report and found that it is right."""

    name = "release"
    title = "Release held reports"
    button = "Release…"
    icon = "lock_open"
    submit = "Release"
    permission = "sync.release_usagereport"
    past = "Released"
    waiting = frozenset({UsageReport.Status.HELD})
    instead = "only held reports are released."
    sends = False  # what is too late by now becomes late, which says that it was right

    def description(self) -> str:
        """Say what will happen."""
        return (
            "They were held because they look wrong, or because one of their billing periods has closed. "
            "The next run sends them to Stripe, which bills them in the periods that are open. One whose "
            "period has closed meanwhile becomes late: then carry it forward, or dismiss it."
        )

    def decide(self, row: UsageReport, *, why: str, now: datetime) -> Sequence[UsageReport]:
        """It waits for the next run."""
        return [release_report(report_id=row.pk, why=why, who=self.who, run=None, now=now)]

    def next_step(self) -> str:
        """Offer not to wait for the schedule."""
        return report_usage_sentence(self.request)
