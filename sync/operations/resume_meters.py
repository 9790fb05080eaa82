"""Let meters go on that stood still because of Stripe."""

from datetime import datetime

from django.db import transaction
from django.db.models import F

from sync.models import Finding, Meter


def resume_meters(*, now: datetime) -> int:
    """Every meter that Stripe's refusal paused and that was read as active since goes on; return how many.

    A meter that a person paused stays paused. Safe to repeat.
    """
    with transaction.atomic():
        active = Meter.objects.filter(
            paused_by_stripe=True, active=True, deleted_at=None, paused_at__lt=F("fetched_at")
        )
        resumed = list(active.values_list("pk", flat=True))
        Meter.objects.filter(pk__in=resumed).update(paused_at=None, pause_reason="", paused_by_stripe=False)
        Finding.objects.filter(kind=Finding.Kind.METER_REFUSED, meter__in=resumed, resolved_at=None).update(
            resolved_at=now, resolution="Stripe shows the meter as active again."
        )
    return len(resumed)
