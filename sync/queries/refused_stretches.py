"""What has to be compared with Stripe's totals, because Stripe refused more of it than it named."""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta

from django.db.models import Max, Min, QuerySet

from sync.domain.comparison import SUMMARY_LAG
from sync.domain.timeline import Span
from sync.models import StripeNotice, UsageReport

SENT_BEFORE = timedelta(hours=1)
"""So long before Stripe looked the refused events may have been sent; how long it takes is not known."""
CLOCKS_DIFFER = timedelta(minutes=5)


@dataclass(frozen=True, slots=True, kw_only=True)
class RefusedStretch:
    """A stretch of an enrolment's slices in which something may not be billed that counts as delivered."""

    enrolment_id: int
    span: Span


def notices_to_compare(*, now: datetime) -> QuerySet[StripeNotice]:
    """Return the notices that were not compared yet, and of which Stripe's totals show all, oldest first.

    One whose meter is not known names nothing; its finding is all there is.
    """
    return StripeNotice.objects.filter(
        needs_comparison=True,
        compared_at=None,
        handled_at__isnull=False,
        meter__isnull=False,
        validation_start__lte=now - CLOCKS_DIFFER - SUMMARY_LAG,
        validation_end__lte=now - CLOCKS_DIFFER - SUMMARY_LAG,
    ).order_by("received_at", "pk")


def sent_then(notice: StripeNotice) -> QuerySet[UsageReport]:
    """Return the reports that count as delivered and may be among what the notice tells of.

    What Stripe refused came in when it looked, whatever it is dated.
    """
    assert notice.validation_start is not None  # noqa: S101 - only such notices are compared
    until = notice.validation_end or notice.validation_start
    return UsageReport.objects.filter(
        enrolment__meter=notice.meter,
        status=UsageReport.Status.DELIVERED,
        delivered_at__gte=notice.validation_start - SENT_BEFORE,
        delivered_at__lt=until + CLOCKS_DIFFER,
    )


def stretches_to_compare(notice: StripeNotice) -> Iterator[RefusedStretch]:
    """Yield for each enrolment the stretch of its slices that were sent then."""
    spans = sent_then(notice).values("enrolment").annotate(start=Min("slice_start"), end=Max("slice_end"))
    for row in spans.order_by("enrolment"):
        yield RefusedStretch(enrolment_id=row["enrolment"], span=Span(row["start"], row["end"]))
