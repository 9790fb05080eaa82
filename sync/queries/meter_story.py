"""Everything that hangs on a meter."""

from collections.abc import Sequence
from dataclasses import dataclass

from django.db.models import Count, Q

from sync.domain.statuses import OVER
from sync.models import Enrolment, Finding, Meter, Pause, Price, UsageReport
from sync.queries.pauses import open_pauses


@dataclass(frozen=True, slots=True, kw_only=True)
class MeterStory:
    """What is billed by a meter, and what keeps it from being reported."""

    prices: Sequence[Price]
    """With `living`: how many items of living subscriptions are on each."""
    enrolments: int
    pauses: Sequence[Pause]
    """That are in force for it, those of everything too."""
    findings: Sequence[Finding]
    is_frozen: bool
    """Whether something was reported by its definition, so that it cannot change any more."""


def meter_story(meter: Meter) -> MeterStory:
    """Return what hangs on the meter; five queries."""
    return MeterStory(
        prices=prices_on(meter),
        enrolments=Enrolment.objects.filter(meter=meter).count(),
        pauses=list(open_pauses().filter(Q(meter=meter) | Q(meter=None, customer=None))),
        findings=list(meter.findings.filter(resolved_at=None).order_by("-found_at", "-id")),
        is_frozen=is_frozen(meter),
    )


def prices_on(meter: Meter) -> list[Price]:
    """Return the prices that the meter bills, those with living subscriptions first."""
    living = Q(items__deleted_at=None, items__subscription__deleted_at=None) & ~Q(
        items__subscription__status__in=OVER
    )
    counted = meter.prices.annotate(living=Count("items", filter=living, distinct=True))
    return list(counted.order_by("-living", "product_name", "pk"))


def is_frozen(meter: Meter) -> bool:
    """Whether reports were made by the meter's definition."""
    return UsageReport.objects.filter(enrolment__meter=meter).exists()
