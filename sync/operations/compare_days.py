"""Compare the totals of whole days in OpenMeter with what the ledger says was measured. Writes nothing."""

from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from decimal import Decimal

from sync.domain.closings import OLDEST_EVENT
from sync.domain.filters import Filters, takes
from sync.domain.periods import billable_stretches
from sync.domain.quantities import as_measured, exact_add, exact_sum, has_moved
from sync.domain.timeline import DAY, Span, floor_to, subtract
from sync.models import Meter
from sync.operations.collect_usage import ROWS_PER_ANSWER, SUBJECTS_PER_FILTER
from sync.ports import AnswerTooLarge, UsageRow, UsageSource
from sync.queries.measured_days import measured_by_day
from sync.queries.planning import LONGEST_UNMEASURED, EnrolmentToPlan, SubjectSpan

CLOSED_SINCE = OLDEST_EVENT + DAY
"""Of periods that are over, so many days are compared: 35, as long as Stripe takes events for them."""


Totals = Mapping[str, Mapping[datetime, Decimal]]
"""Subject → midnight (UTC) → what it used on that day."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ComparedDay:
    """What an enrolment's subjects used on a UTC day (or what has passed of it), in OpenMeter and by the
    ledger, unrounded and unscaled."""

    enrolment: EnrolmentToPlan
    span: Span
    used: Decimal
    measured: Decimal
    differs: bool
    is_billed: bool
    """Whether any of the day is billed to the customer at all."""
    is_cut: bool
    """Whether usage of the day may belong to nobody, or to another customer."""
    is_shared: bool
    """Whether a period ends in the day and the next begins: the same sum can be another one for each."""

    @property
    def was_begun(self) -> bool:
        """Whether any of it was measured."""
        through = self.enrolment.planned_through
        return through is not None and self.span.start < through

    @property
    def was_planned(self) -> bool:
        """Whether all of it was measured at least once."""
        through = self.enrolment.planned_through
        return through is not None and self.span.end <= through


@dataclass(slots=True, kw_only=True)
class ComparedDays:
    """Some days of all enrolments on a meter. Days on which nobody knows of any usage are left out."""

    span: Span
    days: list[ComparedDay] = field(default_factory=list)
    unowned: Totals = field(default_factory=dict)
    """What belongs to none of the enrolments; only where OpenMeter was asked for everybody."""
    rows: int = 0
    """How many rows OpenMeter answered with."""


def compare_days(
    *,
    meter: Meter,
    enrolments: Sequence[EnrolmentToPlan],
    source: UsageSource,
    until: datetime,
    since: datetime | None = None,
    everybody: bool = False,
    on_answer: Callable[[], None] = lambda: None,
) -> Iterator[ComparedDays]:
    """Yield what whole open periods, and the last 35 days of those that are over, come to on both sides.

    One query by days for all subjects, chunked where long. `until` is a whole hour: of the day that holds it
    only what lies before is compared. A day on which usage lies outside of what is billed differs, too,
    though nothing has changed: who needs to know looks at its hours. With `everybody` OpenMeter is asked for
    subjects that nobody here has, too. Raises `SyncError` if OpenMeter does not answer.
    """
    billed = {one.id: _billed(one, meter) for one in enrolments}
    begin = since or _first_day(enrolments, until)
    subjects = {subject.key for one in enrolments for subject in one.subjects}
    names = sorted(subjects) if len(subjects) <= SUBJECTS_PER_FILTER and not everybody else None
    group_by = sorted(meter.filters)
    for span in day_chunks(Span(floor_to(begin, DAY), until), len(subjects)):
        rows = list(ask_by_days(source, meter.slug, span, names, group_by))
        on_answer()
        totals = _totals(rows, meter.filters)
        found = ComparedDays(span=span, rows=len(rows))
        measured = measured_by_day(meter, span=span, enrolments=list(billed))
        for one in enrolments:
            found.days += _days(one, meter, span, totals, measured, billed[one.id])
        found.unowned = {key: days for key, days in totals.items() if key not in subjects}
        yield found


def _first_day(enrolments: Sequence[EnrolmentToPlan], until: datetime) -> datetime:
    """Return from when on is compared: 35 days back, or where the first period that is open begins."""
    open_since = [
        period.span.start
        for one in enrolments
        for item in one.items
        for period in item.periods
        if period.span.start < until <= period.span.end
    ]
    return max(min([until - CLOSED_SINCE, *open_since]), until - LONGEST_UNMEASURED)


def _billed(one: EnrolmentToPlan, meter: Meter) -> list[Span]:
    stretches = billable_stretches(one.items, report_from=one.report_from, sets_hours=meter.sets_hours)
    return [stretch.span for stretch in stretches]


def day_chunks(span: Span, subjects: int) -> Iterator[Span]:
    """Yield a stretch in parts of whole days that are not too much for one answer."""
    step = DAY * max(1, ROWS_PER_ANSWER // max(1, subjects))
    start = span.start
    while start < span.end:
        yield Span(start, min(start + step, span.end))
        start += step


def ask_by_days(
    source: UsageSource, slug: str, span: Span, names: Sequence[str] | None, group_by: Sequence[str]
) -> Iterator[UsageRow]:
    """Yield usage by UTC days, of some subjects or of everybody. Raises `SyncError`."""
    try:
        yield from source.query(
            slug, start=span.start, end=span.end, window="DAY", subjects=names, group_by=group_by
        )
    except AnswerTooLarge:
        middle = floor_to(span.start + (span.end - span.start) / 2, DAY)
        if middle <= span.start:
            raise
        yield from ask_by_days(source, slug, Span(span.start, middle), names, group_by)
        yield from ask_by_days(source, slug, Span(middle, span.end), names, group_by)


def _totals(rows: Sequence[UsageRow], filters: Filters) -> Totals:
    found: dict[str, dict[datetime, Decimal]] = defaultdict(dict)
    for row in rows:
        if takes(filters, row.group):
            days, day = found[row.subject], floor_to(row.start, DAY)
            days[day] = exact_add(days.get(day, Decimal(0)), as_measured(row.value))
    return found


def _days(
    one: EnrolmentToPlan,
    meter: Meter,
    span: Span,
    totals: Totals,
    measured: Mapping[tuple[int, datetime], Decimal],
    billed: list[Span],
) -> Iterator[ComparedDay]:
    """Yield the days on which somebody knows of usage of the enrolment."""
    start = span.start
    seams = {stretch.start for stretch in billed} & {stretch.end for stretch in billed}
    mine = [subject for subject in one.subjects if subject.key in totals]
    while start < span.end:
        day = Span(start, min(start + DAY, span.end))
        used = exact_sum(
            [totals[subject.key].get(start, Decimal(0)) for subject in mine if _holds(subject, day)]
        )
        known = measured.get((one.id, start), Decimal(0))
        if used or known:
            yield ComparedDay(
                enrolment=one,
                span=day,
                used=used,
                measured=known,
                differs=has_moved(known, used, scale=meter.scale, decimals=meter.decimals),
                is_billed=any(day.overlaps(stretch) for stretch in billed),
                is_cut=bool(subtract(day, billed)) or not all(_holds_all(subject, day) for subject in mine),
                is_shared=any(day.start < seam < day.end for seam in seams),
            )
        start += DAY


def _holds(subject: SubjectSpan, day: Span) -> bool:
    """Whether usage of the subject is the customer's at any time of the day."""
    return (subject.valid_from is None or subject.valid_from < day.end) and (
        subject.valid_to is None or day.start < subject.valid_to
    )


def _holds_all(subject: SubjectSpan, day: Span) -> bool:
    return (subject.valid_from is None or subject.valid_from <= day.start) and (
        subject.valid_to is None or day.end <= subject.valid_to
    )


def agrees(
    *,
    meter: Meter,
    enrolments: Sequence[EnrolmentToPlan],
    source: UsageSource,
    horizon: datetime,
    had_usage: bool,
    on_answer: Callable[[], None] = lambda: None,
) -> bool:
    """Return whether a second answer, by days and up to the last hour that has closed, confirms the ledger.

    Of a meter that `had_usage` it has to show that usage again. Where a day that was measured before is not
    billed as a whole, there may be more usage than was measured of it.
    """
    rows = 0
    for chunk in compare_days(
        meter=meter, enrolments=enrolments, source=source, until=horizon, on_answer=on_answer
    ):
        rows += chunk.rows
        if any(day.differs and day.is_billed and not _may_differ(day) for day in chunk.days):
            return False
    return rows > 0 or not had_usage


def _may_differ(day: ComparedDay) -> bool:
    return day.is_cut and day.was_planned and day.used >= day.measured
