"""Find days that OpenMeter has come to tell otherwise than the ledger, and plan their hours again."""

from collections import defaultdict
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from datetime import datetime, timedelta
from decimal import Decimal

from django.db.models import F, Q, QuerySet

from sync.domain.quantities import as_text, billed_units, exact_add, exact_sum
from sync.domain.timeline import HOUR, Span, floor_to
from sync.models import Finding, Meter
from sync.operations.compare_days import ComparedDay, compare_days
from sync.operations.plan_reports import (
    MeterPlan,
    PlanningRules,
    due_slices,
    measure_together,
    plan_meter,
)
from sync.operations.record_findings import FoundIssue, record_findings, resolve_matter
from sync.ports import UsageSource
from sync.queries.measured_days import attach_rows_within
from sync.queries.planning import EnrolmentToPlan, Scope, enrolments_in, enrolments_to_plan

COMPARED_EVERY = timedelta(hours=24)
"""Late changes show within a day; more often costs a look at every open period each time."""
MOST_DAYS_TO_HOLD = 200
"""So many days of customers may be held for a person to decide on; more were lost by OpenMeter."""


def meters_to_compare(scope: Scope, *, now: datetime) -> QuerySet[Meter]:
    """Return the meters in scope whose days were not compared for a day, longest ago first."""
    return Meter.objects.filter(
        Q(days_compared_at=None) | Q(days_compared_at__lte=now - COMPARED_EVERY),
        pk__in=enrolments_in(scope).values("meter"),
    ).order_by(F("days_compared_at").asc(nulls_first=True), "pk")


def mark_days_compared(meter: Meter, *, now: datetime) -> None:
    """The days of this meter are not compared again for a day."""
    Meter.objects.filter(pk=meter.pk).update(days_compared_at=now)


def plan_changed_days(
    *,
    meter: Meter,
    scope: Scope,
    source: UsageSource,
    rules: PlanningRules,
    now: datetime,
    on_answer: Callable[[], None] = lambda: None,
) -> Iterator[MeterPlan]:
    """Yield a plan for each UTC day of whose hours some came to be other than they were measured.

    Compared is all that lies before what every run measures again. Of a day that differs, or is not billed
    as a whole and once, the hours are measured and planned as by any run: what belongs to a closed period
    is late, what lowers much is held.
    An answer that would take so much away that nobody could decide on it is not believed: nothing is
    planned, and a finding says so, until the days agree again.
    """
    enrolments = enrolments_to_plan(meter, scope=scope, since=now, now=now)
    if not enrolments:
        return
    changed, totals = _changed_days(meter, enrolments, source, rules, now, on_answer)
    if reason := _not_believable(meter, [day for days in changed.values() for day in days], totals, rules):
        record_findings([_not_believed(meter, reason)], now=now)
        return
    resolve_matter(Finding.Kind.BRAKE, _fingerprint(meter), now=now)
    sharing = Meter.objects.filter(openmeter_slug=meter.openmeter_slug)
    others = [one.filters for one in sharing if one != meter and not one.obstacle]
    for span in sorted(changed):
        different = [day.enrolment for day in changed[span]]
        attach_rows_within(different, span)
        of_day = replace(rules, limit=span, beside=_unchanged(meter, totals[span], changed[span]))
        due = due_slices(meter=meter, enrolments=different, rules=of_day, now=now)
        if not due.enrolments:
            continue
        collected = measure_together(
            due=[due], others=others, source=source, rules=of_day, now=now, on_answer=on_answer
        )
        yield plan_meter(due=due, collected=collected, rules=of_day, now=now)


Days = dict[Span, list[ComparedDay]]


def _changed_days(
    meter: Meter,
    enrolments: Sequence[EnrolmentToPlan],
    source: UsageSource,
    rules: PlanningRules,
    now: datetime,
    on_answer: Callable[[], None],
) -> tuple[Days, dict[Span, Decimal]]:
    """Return the days that differ, by their span, and what everybody's ledger comes to on each day."""
    changed: Days = defaultdict(list)
    totals: dict[Span, Decimal] = defaultdict(Decimal)
    for chunk in compare_days(
        meter=meter,
        enrolments=enrolments,
        source=source,
        until=floor_to(now - rules.tail, HOUR),
        on_answer=on_answer,
    ):
        for day in chunk.days:
            totals[day.span] = exact_add(totals[day.span], day.measured)
            # What was never measured every run measures; but a mark may stand still for what differs.
            may_hide_a_change = day.is_shared or day.is_cut
            if (day.differs or may_hide_a_change) and day.is_billed and day.was_begun:
                changed[day.span].append(day)
    return changed, totals


def _unchanged(meter: Meter, total: Decimal, changed: Sequence[ComparedDay]) -> Decimal:
    """Return the units of those whose day is as it was measured."""
    beside = exact_sum([total, *(-day.measured for day in changed)])
    return billed_units(beside, scale=meter.scale, decimals=meter.decimals)


def _not_believable(
    meter: Meter, changed: Sequence[ComparedDay], totals: dict[Span, Decimal], rules: PlanningRules
) -> str:
    """Return why so much would be taken away that no person could decide on it hour by hour, or ""."""
    lowered = [day for day in changed if day.used < day.measured and not (day.is_cut and day.used)]
    lost = exact_sum([day.measured - day.used for day in lowered])
    total = exact_sum(list(totals.values()))
    if len(lowered) <= MOST_DAYS_TO_HOLD or lost * 100 <= total * rules.brake_percent:
        return ""
    days = sorted({day.span.start for day in lowered})
    return (
        f"By OpenMeter's word now, {meter.slug} comes to "
        f"{as_text(billed_units(lost, scale=meter.scale, decimals=meter.decimals))} of "
        f"{as_text(billed_units(total, scale=meter.scale, decimals=meter.decimals))} units less than it "
        f"measured, on {len(days)} days from {days[0]:%Y-%m-%d} on. Nothing was changed. See whether "
        "OpenMeter lost events; if this is right, report usage for these days to decide on it."
    )


def _not_believed(meter: Meter, reason: str) -> FoundIssue:
    return FoundIssue(
        kind=Finding.Kind.BRAKE, fingerprint=_fingerprint(meter), message=reason, meter_id=meter.pk
    )


def _fingerprint(meter: Meter) -> str:
    return f"days:{meter.stripe_id}"
