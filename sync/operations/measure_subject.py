"""Ask OpenMeter what a key used, and whom that would be billed to. Writes nothing."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal

from sync.domain.closings import outlook
from sync.domain.filters import takes
from sync.domain.periods import Stretch
from sync.domain.quantities import as_measured, billed_units, exact_sum
from sync.domain.timeline import HOUR, SECOND, Span, floor_to
from sync.models import Customer, Enrolment, Meter, Subject
from sync.operations.link_meters import LOOKBACK
from sync.ports import UsageRow, UsageSource
from sync.queries.billed_stretches import BilledStretches, billed_stretches


@dataclass(frozen=True, slots=True, kw_only=True)
class SubjectUsage:
    """Billed units of one key in one billed stretch of a customer, as far as its hours are over."""

    enrolment: Enrolment
    span: Span
    units: Decimal
    is_late: bool
    """Whether Stripe would put it on no invoice any more."""

    @property
    def at(self) -> datetime:
        """An instant of the stretch: what the price of its period goes by."""
        return self.span.end - SECOND


@dataclass(frozen=True, slots=True, kw_only=True)
class MeasuredSubject:
    """What a key used, and what stands in the way of billing it."""

    usage: Sequence[SubjectUsage]
    obstacles: Sequence[str]
    """Why meters of the customer are not measured, one sentence each."""
    is_subscribed: bool
    """Whether the customer is billed on any meter at all."""

    @property
    def was_seen(self) -> bool:
        """Whether OpenMeter has usage of the key in these stretches."""
        return any(one.units for one in self.usage)


def measure_subject(
    *,
    key: str,
    customer: Customer,
    since: datetime | None,
    until: datetime | None = None,
    openmeter: UsageSource,
    now: datetime,
) -> MeasuredSubject:
    """Return the key's usage in `[since, until)` where the customer is billed; None means no limit.

    One question to OpenMeter per meter of the customer. Whole hours that are over: a stretch that begins
    inside an hour counts all of it, so this is an estimate.
    """
    found = billed_stretches(customer, now=now)
    obstacles = [one.enrolment.meter.obstacle for one in found]
    limit = min(until or now, floor_to(now, HOUR))
    usage: list[SubjectUsage] = []
    for one, obstacle in zip(found, obstacles, strict=True):
        if not obstacle:
            usage += _measure(one, key, since, limit, openmeter, now)
    return MeasuredSubject(
        usage=usage,
        obstacles=[sentence for sentence in obstacles if sentence],
        is_subscribed=any(one.stretches for one in found),
    )


def unclaimed_keys(openmeter: UsageSource, *, now: datetime) -> list[str]:
    """Return the keys that OpenMeter saw in the last 35 days and that belong to nobody now.

    One question per OpenMeter meter that is tied to one of Stripe's.
    """
    tied = Meter.objects.filter(deleted_at=None).exclude(openmeter_id="")
    seen: set[str] = set()
    for slug in sorted(set(tied.order_by().values_list("openmeter_slug", flat=True))):
        seen |= openmeter.subjects(slug, start=now - LOOKBACK, end=now)
    return sorted(seen - set(Subject.objects.filter(valid_to=None).values_list("key", flat=True)))


def _measure(
    one: BilledStretches,
    key: str,
    since: datetime | None,
    until: datetime,
    openmeter: UsageSource,
    now: datetime,
) -> list[SubjectUsage]:
    whole = [_whole_hours(stretch, since, until) for stretch in one.stretches]
    spans = [span for span in whole if span]
    if not spans:
        return []
    meter = one.enrolment.meter
    rows = openmeter.query(
        meter.openmeter_slug,
        start=spans[0].start,
        end=spans[-1].end,
        window="HOUR",
        subjects=[key],
        group_by=sorted(meter.filters),
    )
    counted = [row for row in rows if takes(meter.filters, row.group)]
    return [
        SubjectUsage(
            enrolment=one.enrolment,
            span=span,
            units=_units(counted, span, meter),
            is_late=outlook(stretch.closings, event_at=span.end - SECOND, now=now).is_late,
        )
        for stretch, span in zip(one.stretches, whole, strict=True)
        if span
    ]


def _whole_hours(stretch: Stretch, since: datetime | None, until: datetime) -> Span | None:
    """Return the hours of a stretch that are asked for; one that is cut belongs to whom it began with."""
    start = max(floor_to(stretch.span.start, HOUR), since or stretch.span.start - HOUR)
    end = min(stretch.span.end, until)
    return Span(start, end) if start < end else None


def _units(rows: Sequence[UsageRow], span: Span, meter: Meter) -> Decimal:
    measured = exact_sum([as_measured(row.value) for row in rows if span.start <= row.start < span.end])
    return billed_units(measured, scale=meter.scale, decimals=meter.decimals)
