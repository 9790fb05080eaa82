"""Let meters go on that stood still because of Stripe."""

from datetime import datetime

from django.db import transaction
from django.db.models import F

from sync.models import Finding, Pause


def resume_meters(*, now: datetime) -> int:
    """Every meter that Stripe's refusal paused and that was read as active since goes on; return how many.

    A meter that a person paused stays paused. Safe to repeat.
    """
    with transaction.atomic():
        refused = Pause.objects.filter(
            by_stripe=True,
            resumed_at=None,
            meter__active=True,
            meter__deleted_at=None,
            paused_at__lt=F("meter__fetched_at"),
        )
        meters = list(refused.values_list("meter", flat=True))
        why = "Stripe shows the meter as active again."
        Pause.objects.filter(by_stripe=True, resumed_at=None, meter__in=meters).update(
            resumed_at=now, resumed_by="sync", resume_reason=why
        )
        Finding.objects.filter(kind=Finding.Kind.METER_REFUSED, meter__in=meters, resolved_at=None).update(
            resolved_at=now, resolution=why
        )
    return len(meters)
