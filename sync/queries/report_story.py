"""Everything that happened to one slice of usage."""

from collections.abc import Sequence
from dataclasses import dataclass

from django.db.models import Exists, OuterRef, Q

from sync.models import BillingPeriod, DeliveryAttempt, ItemPrice, UsageReport


@dataclass(frozen=True, slots=True, kw_only=True)
class ReportStory:
    """A report among the revisions of its slice, and the calls to Stripe that did not deliver it."""

    revisions: Sequence[UsageReport]
    attempts: Sequence[DeliveryAttempt]
    periods: Sequence[BillingPeriod]
    """The billing periods that its event falls into: one for each item that bills it."""


def report_story(report: UsageReport) -> ReportStory:
    """Return what happened, in order; three queries."""
    revisions = UsageReport.objects.filter(enrolment=report.enrolment_id, slice_start=report.slice_start)
    had = ItemPrice.objects.filter(
        item=OuterRef("item"), meter=report.enrolment.meter_id, end__gt=report.event_at
    )
    periods = BillingPeriod.objects.filter(
        Q(item__meter=report.enrolment.meter_id) | Exists(had),
        item__subscription__customer=report.enrolment.customer_id,
        start__lte=report.event_at,
        end__gt=report.event_at,
    )
    return ReportStory(
        revisions=list(revisions.order_by("revision")),
        attempts=list(report.delivery_attempts.select_related("run").order_by("number", "id")),
        periods=list(periods.select_related("item__subscription__customer", "item__price").order_by("item")),
    )
