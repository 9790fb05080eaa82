"""What Stripe told and nobody has worked on yet, and what came last."""

from dataclasses import dataclass
from datetime import datetime

from django.db.models import Max, Min, QuerySet

from sync.domain.notices import REFUSALS
from sync.models import StripeNotice


def due_notices(*, now: datetime, refusals_only: bool = False) -> QuerySet[StripeNotice]:
    """Return the notices that somebody may take now, oldest first."""
    due = StripeNotice.objects.filter(next_attempt_at__lte=now).order_by("received_at", "pk")
    return due.filter(type__in=REFUSALS) if refusals_only else due


@dataclass(frozen=True, slots=True, kw_only=True)
class NoticeFacts:
    """How webhooks of one style stand. Instants are None where there is none."""

    last_at: datetime | None
    waiting_since: datetime | None


def notice_facts(*, thin: bool) -> NoticeFacts:
    """Return when Stripe last told something in this style, and since when something waits."""
    notices = StripeNotice.objects.all()
    notices = notices.filter(type__in=REFUSALS) if thin else notices.exclude(type__in=REFUSALS)
    waiting = notices.filter(next_attempt_at__isnull=False)
    return NoticeFacts(
        last_at=notices.aggregate(at=Max("received_at"))["at"],
        waiting_since=waiting.aggregate(at=Min("received_at"))["at"],
    )
