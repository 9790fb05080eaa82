"""What has to be compared with Stripe's totals, because Stripe refused more of it than it named."""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import timedelta

from django.db.models import Max, Min

from sync.domain.timeline import Span
from sync.models import StripeNotice, UsageReport

SENT_BEFORE = timedelta(hours=1)
"""So long before Stripe looked the refused events may have been sent; how long it takes is not known."""
CLOCKS_DIFFER = timedelta(minutes=5)


@dataclass(frozen=True, slots=True, kw_only=True)
class RefusedStretch:
    """A stretch of an enrolment's slices in which something may not be billed that counts as delivered."""

    notice_id: int
    enrolment_id: int
    span: Span


def stretches_to_compare() -> Iterator[RefusedStretch]:
    """Yield what notices that were not compared yet are about, oldest first.

    What Stripe refused came in when it looked, whatever it is dated: so these are the slices of what was sent
    then. A notice whose meter is not known names nothing; its finding is all there is.
    """
    notices = StripeNotice.objects.filter(
        needs_comparison=True, compared_at=None, meter__isnull=False, validation_start__isnull=False
    )
    for notice in notices.order_by("received_at", "pk"):
        assert notice.validation_start is not None  # noqa: S101 - the filter above, for mypy
        until = notice.validation_end or notice.validation_start
        sent = UsageReport.objects.filter(
            enrolment__meter=notice.meter,
            delivered_at__gte=notice.validation_start - SENT_BEFORE,
            delivered_at__lt=until + CLOCKS_DIFFER,
        )
        spans = sent.values("enrolment").annotate(start=Min("slice_start"), end=Max("slice_end"))
        for row in spans.order_by("enrolment"):
            yield RefusedStretch(
                notice_id=notice.pk, enrolment_id=row["enrolment"], span=Span(row["start"], row["end"])
            )
