"""What reconciliations found, for pages and commands."""

from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from decimal import Decimal
from itertools import groupby

from django.db.models import Count, QuerySet, TextField
from django.db.models.functions import Cast

from sync.domain.quantities import exact_add, exact_sum
from sync.domain.reconciliation import SETTLED, Cause
from sync.models import Difference, Meter, ReconciledDay, Reconciliation


@dataclass(frozen=True, slots=True, kw_only=True)
class MeterTotals:
    """What a meter's days come to on each side, in billed units; `held` is None where Stripe was not read."""

    meter: Meter
    days: Sequence[ReconciledDay]
    used: Decimal
    measured: Decimal
    told: Decimal
    held: Decimal | None


@dataclass(frozen=True, slots=True, kw_only=True)
class CauseTotals:
    """The differences of one meter and cause."""

    cause: Cause
    count: int
    customers: int
    units: Decimal

    @property
    def is_settled(self) -> bool:
        """Whether nobody has to mend anything."""
        return self.cause in SETTLED


@dataclass(frozen=True, slots=True, kw_only=True)
class ReconciliationPage:
    """A reconciliation by meter, and one of the meters (None where there is none) by cause."""

    totals: Sequence[tuple[MeterTotals, int]]
    """Each meter, and how many differences it has that somebody has to mend."""
    shown: MeterTotals | None
    causes: Sequence[CauseTotals]


def totals_of(kept: Reconciliation) -> list[MeterTotals]:
    """Return the totals of every meter that was compared. One query."""
    days = ReconciledDay.objects.filter(reconciliation=kept).select_related("meter")
    rows = days.order_by("meter__event_name", "meter", "day")
    return [_totals(meter, list(mine)) for meter, mine in groupby(rows, key=lambda row: row.meter)]


def _totals(meter: Meter, days: Sequence[ReconciledDay]) -> MeterTotals:
    held = [day.held for day in days if day.held is not None]
    return MeterTotals(
        meter=meter,
        days=days,
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


def reconciliation_page(kept: Reconciliation, *, meter_id: int | None) -> ReconciliationPage:
    """Return a reconciliation by meter, with `meter_id` (else the first that differs) by day and cause.

    Three queries, however much was compared.
    """
    totals = totals_of(kept)
    counted = (
        Difference.objects.filter(reconciliation=kept)
        .exclude(cause__in=[cause.value for cause in SETTLED])
        .order_by()
        .values("meter")
        .annotate(count=Count("pk"))
    )
    counts = dict(counted.values_list("meter", "count"))
    chosen = [one for one in totals if one.meter.pk == meter_id]
    differing = [one for one in totals if counts.get(one.meter.pk)]
    shown = next(iter([*chosen, *differing, *totals]), None)
    return ReconciliationPage(
        totals=[(one, counts.get(one.meter.pk, 0)) for one in totals],
        shown=shown,
        causes=_causes(kept, shown.meter) if shown else [],
    )


def _causes(kept: Reconciliation, meter: Meter) -> list[CauseTotals]:
    rows = Difference.objects.filter(reconciliation=kept, meter=meter).order_by("pk")
    sums: dict[str, Decimal] = defaultdict(Decimal)
    counts: dict[str, int] = defaultdict(int)
    whose: dict[str, set[object]] = defaultdict(set)
    # Quantities are text on SQLite, so they are added up here.
    for cause, units, customer, subject in rows.values_list(
        "cause", Cast("units", TextField()), "customer_id", "subject"
    ).iterator(chunk_size=2000):
        sums[cause] = exact_add(sums[cause], Decimal(units))
        counts[cause] += 1
        whose[cause].add(customer or subject)
    return [
        CauseTotals(cause=cause, count=counts[cause], customers=len(whose[cause]), units=sums[cause])
        for cause in Cause
        if cause in counts
    ]


def latest_reconciliation() -> Reconciliation | None:
    """Return the newest one over everything, else the newest of all."""
    newest = Reconciliation.objects.order_by("-pk")
    return newest.filter(is_whole=True).first() or newest.first()
