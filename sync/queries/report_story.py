"""Everything that happened to one slice of usage."""

from collections.abc import Sequence
from dataclasses import dataclass

from sync.models import DeliveryAttempt, UsageReport


@dataclass(frozen=True, slots=True, kw_only=True)
class ReportStory:
    """A report among the revisions of its slice, and the calls to Stripe that did not deliver it."""

    revisions: Sequence[UsageReport]
    attempts: Sequence[DeliveryAttempt]


def report_story(report: UsageReport) -> ReportStory:
    """Return what happened, in order; two queries."""
    revisions = UsageReport.objects.filter(enrolment=report.enrolment_id, slice_start=report.slice_start)
    return ReportStory(
        revisions=list(revisions.order_by("revision")),
        attempts=list(report.delivery_attempts.select_related("run").order_by("number", "id")),
    )
