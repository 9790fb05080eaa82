"""What reconciliations found, for pages and commands."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from decimal import Decimal
from itertools import groupby

from django.db.models import QuerySet

from sync.domain.quantities import exact_sum
from sync.models import Difference, Meter, ReconciledDay, Reconciliation


@dataclass(frozen=True, slots=True, kw_only=True)
class MeterTotals:
    """What a meter's days come to on each side, in billed units; `held` is None where Stripe was not read."""

    meter: Meter
    used: Decimal
    measured: Decimal
    told: Decimal
    held: Decimal | None


def totals_of(kept: Reconciliation) -> list[MeterTotals]:
    """Return the totals of every meter that was compared. One query."""
    days = ReconciledDay.objects.filter(reconciliation=kept).select_related("meter")
    rows = days.order_by("meter__event_name", "meter", "day")
    return [_totals(meter, list(mine)) for meter, mine in groupby(rows, key=lambda row: row.meter)]


def _totals(meter: Meter, days: Sequence[ReconciledDay]) -> MeterTotals:
    held = [day.held for day in days if day.held is not None]
    return MeterTotals(
        meter=meter,
        used=_sum(day.used for day in days),
        measured=_sum(day.measured for day in days),
        told=_sum(day.told for day in days),
        held=exact_sum(held) if held else None,
    )


def _sum(units: Iterable[Decimal]) -> Decimal:
    return exact_sum(list(units))


def differences_of(kept: Reconciliation) -> QuerySet[Difference]:
    """Return what differs, with what names it loaded."""
    rows = Difference.objects.filter(reconciliation=kept).select_related("meter", "customer", "period")
    return rows.order_by("meter__event_name", "meter", "cause", "day", "pk")
