"""Hold the ledger against Stripe's event summaries, one enrolment after the other. Writes nothing."""

from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from decimal import Decimal
from itertools import groupby, islice, pairwise

from django.db.models import Q

from sync.domain.comparison import SUMMARY_LAG, Cell, Comparison, Told
from sync.domain.slices import claimed_span
from sync.domain.summaries import EventSummary, Grouping, SummarySource
from sync.domain.timeline import DAY, HOUR, Span, ceil_to, floor_to
from sync.models import Enrolment, UsageReport
from sync.ports import NotFound, SyncError
from sync.queries.slice_cuts import minutes_within_hours, slice_cuts

READERS = 8
"""Calls under way at once; together they stay below the pace of reads, whatever Stripe's latency is."""
BATCH = 50
"""Enrolments whose ledger rows are read together."""
GROUPING: Mapping[timedelta | None, Grouping | None] = {DAY: "day", HOUR: "hour", None: None}
HOURS_AT_ONCE = timedelta(days=4)
"""So many hours fit into one page of summaries; more are asked for by days first."""

Status = UsageReport.Status


@dataclass(frozen=True, slots=True, kw_only=True)
class Wanted:
    """What is to be compared: an enrolment (with customer and meter) and a stretch of any bounds.

    `slices` are to be told apart where they share an hour, beside those that have reports.
    """

    enrolment: Enrolment
    span: Span
    slices: Sequence[Span] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Unreadable:
    """Stripe could not be asked about an enrolment; nothing is known of it."""

    enrolment_id: int
    error: SyncError


def hours_of(report: UsageReport) -> Span:
    """Return the whole hours that a report's slice touches."""
    return claimed_span(Span(report.slice_start, report.slice_end), sets_hours=True)


def around(report: UsageReport, found: Comparison) -> Comparison:
    """Return what was found of a report's slice, or of the whole hours that it shares, if these agree."""
    bounds = Span(report.slice_start, report.slice_end)
    return found.within(claimed_span(bounds, sets_hours=report.enrolment.meter.sets_hours))


def one_stretch_each(reports: Iterable[UsageReport]) -> list[Wanted]:
    """Return for each enrolment of these reports the stretch around all of them."""
    spans: dict[Enrolment, Span] = {}
    for report in reports:
        hours = hours_of(report)
        known = spans.setdefault(report.enrolment, hours)
        spans[report.enrolment] = Span(min(known.start, hours.start), max(known.end, hours.end))
    return [Wanted(enrolment=enrolment, span=span) for enrolment, span in spans.items()]


def compare_with_stripe(
    wanted: Sequence[Wanted], *, source: SummarySource, clock: Callable[[], datetime]
) -> Iterator[list[Comparison | Unreadable]]:
    """Yield what Stripe holds beside what the ledger told it, some enrolments at a time.

    By hours; of long stretches by days first, and by hours only where those differ. Where several slices
    share an hour that differs, as around the end of a period, by its parts. What was told within
    `SUMMARY_LAG` before Stripe was asked is doubtful: it need not be visible yet. Stripe is asked outside of
    transactions. After the first call that Stripe does not answer no more are begun: the rest is not yielded.
    A customer or meter that Stripe does not know holds nothing. Safe to stop after any page of results.
    """
    remaining = iter(wanted)
    with ThreadPoolExecutor(READERS, thread_name_prefix="compare") as pool:
        reading = _Reading(source=source, clock=clock)
        while not reading.failed and (batch := list(islice(remaining, BATCH))):
            yield _compare_batch(batch, reading, pool)


def _compare_batch(
    batch: Sequence[Wanted], reading: "_Reading", pool: ThreadPoolExecutor
) -> list[Comparison | Unreadable]:
    by_day = [one.span.end - one.span.start > HOURS_AT_ONCE for one in batch]
    steps = [DAY if days else HOUR for days in by_day]
    answers = list(pool.map(reading.read, batch, steps))
    told = _told(batch)
    found = {
        one.enrolment.pk: _comparison(one, step, answer, told[_key(one.enrolment)])
        for one, step, answer in zip(batch, steps, answers, strict=True)
        if answer is not None
    }
    days = [
        Wanted(enrolment=one.enrolment, span=span)
        for one, is_long in zip(batch, by_day, strict=True)
        if is_long and isinstance(seen := found.get(one.enrolment.pk), Comparison)
        for span in _differing(seen.cells)
    ]
    _look_closer(days, HOUR, found, reading, pool)
    _look_closer(list(_shared_hours(batch, found)), None, found, reading, pool)
    return list(found.values())


def _look_closer(
    closer: Sequence[Wanted],
    step: timedelta | None,
    found: dict[int, Comparison | Unreadable],
    reading: "_Reading",
    pool: ThreadPoolExecutor,
) -> None:
    """Put hours in the place of days, or parts (no step) in the place of hours."""
    answers = list(pool.map(reading.read, closer, [step] * len(closer)))
    told = _told(closer)
    for one, answer in zip(closer, answers, strict=True):
        pk = one.enrolment.pk
        seen = found.get(pk)
        if not isinstance(seen, Comparison):
            continue
        if answer is None:
            del found[pk]  # as if it had not been begun
            continue
        seen_closer = _comparison(one, step, answer, told[_key(one.enrolment)])
        found[pk] = _with_closer(seen, seen_closer) if isinstance(seen_closer, Comparison) else seen_closer


def _with_closer(whole: Comparison, closer: Comparison) -> Comparison:
    others = [cell for cell in whole.cells if not cell.span.overlaps(closer.span)]
    cells = sorted([*others, *closer.cells], key=lambda cell: cell.span.start)
    return replace(whole, as_of=min(whole.as_of, closer.as_of), cells=cells)


def _differing(days: Sequence[Cell]) -> Iterator[Span]:
    """Yield stretches of neighbouring days that differ."""
    for as_told, run in groupby(days, key=lambda cell: cell.is_as_told):
        if not as_told:
            cells = list(run)
            yield Span(cells[0].span.start, cells[-1].span.end)


def _shared_hours(batch: Sequence[Wanted], found: Mapping[int, Comparison | Unreadable]) -> Iterator[Wanted]:
    """Yield the parts of hours that differ and that several slices share."""
    differing = {
        one.enrolment: [cell.span for cell in seen.cells if not cell.is_as_told]
        for one in batch
        if isinstance(seen := found.get(one.enrolment.pk), Comparison) and not one.enrolment.meter.sets_hours
    }
    hours = [span for spans in differing.values() for span in spans]
    if not hours:
        return
    whole = Span(min(span.start for span in hours), max(span.end for span in hours))
    cuts = slice_cuts([one.pk for one in differing], whole)
    for one in batch:
        cuts[one.enrolment.pk] |= minutes_within_hours(one.slices)
    for enrolment, spans in differing.items():
        for span in spans:
            inside = sorted(at for at in cuts[enrolment.pk] if span.start < at < span.end)
            if inside:
                parts = pairwise([span.start, *inside, span.end])
                yield from (Wanted(enrolment=enrolment, span=Span(*part)) for part in parts)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Answer:
    as_of: datetime
    summaries: Sequence[EventSummary]


class _Reading:
    """Asks Stripe, in pool threads, and no more once it did not answer."""

    def __init__(self, *, source: SummarySource, clock: Callable[[], datetime]) -> None:
        self._source, self._clock = source, clock
        self.failed = False

    def read(self, one: Wanted, step: timedelta | None) -> _Answer | SyncError | None:
        """Return sums of days or hours, or one sum; None: nothing was asked any more."""
        if self.failed:
            return None
        as_of = self._clock()
        try:
            summaries = self._source.event_summaries(
                meter_id=one.enrolment.meter.stripe_id,
                customer_id=one.enrolment.customer.stripe_id,
                span=_aligned(one.span, step),
                grouping=GROUPING[step],
            )
        except NotFound:
            # Whoever is gone holds nothing; Stripe refuses what is sent, too, and says so.
            summaries = []
        except SyncError as error:
            self.failed = True
            return error
        return _Answer(as_of=as_of, summaries=summaries)


def _aligned(span: Span, step: timedelta | None) -> Span:
    return span if step is None else Span(floor_to(span.start, step), ceil_to(span.end, step))


# --- what the ledger told ----------------------------------------------------------------------------------

Key = tuple[int, str]
"""A customer (local id) and a meter in Stripe: a meter that was defined anew has several rows here."""


@dataclass(frozen=True, slots=True, kw_only=True)
class _Row:
    id: int
    event_at: datetime
    value: Decimal
    status: str
    delivered_at: datetime | None
    maybe_arrived: bool

    def told(self, as_of: datetime) -> Told:
        visible = self.delivered_at is not None and self.delivered_at <= as_of - SUMMARY_LAG
        return Told(report_id=self.id, event_at=self.event_at, value=self.value, sure=visible)


def _key(enrolment: Enrolment) -> Key:
    return enrolment.customer_id, enrolment.meter.stripe_id


def _told(wanted: Sequence[Wanted]) -> Mapping[Key, list[_Row]]:
    """Return what Stripe was or may have been told, in the order in which it was sent.

    Read after Stripe was asked: what it showed then is in here.
    """
    found: dict[Key, list[_Row]] = defaultdict(list)
    if not wanted:
        return found
    spans: dict[Key, Span] = {}
    for one in wanted:
        span = _aligned(one.span, DAY)
        known = spans.setdefault(_key(one.enrolment), span)
        spans[_key(one.enrolment)] = Span(min(known.start, span.start), max(known.end, span.end))
    may_be_there = Q(status__in=(Status.DELIVERED, Status.SENDING, Status.UNKNOWN)) | Q(maybe_arrived=True)
    rows = (
        UsageReport.objects.filter(
            may_be_there,
            enrolment__customer__in={one.enrolment.customer_id for one in wanted},
            enrolment__meter__stripe_id__in={one.enrolment.meter.stripe_id for one in wanted},
            event_at__gte=min(span.start for span in spans.values()),
            event_at__lt=max(span.end for span in spans.values()),
        )
        # Of one value an hour the one received last stands; revisions are sent in order.
        .order_by("slice_start", "revision")
        .values_list("enrolment__customer_id", "enrolment__meter__stripe_id", *_Row.__dataclass_fields__)
    )
    for customer, meter, *values in rows:
        asked = spans.get((customer, meter))
        row = _Row(**dict(zip(_Row.__dataclass_fields__, values, strict=True)))
        if asked and asked.start <= row.event_at < asked.end:
            found[customer, meter].append(row)
    return found


# --- both together -----------------------------------------------------------------------------------------


def _comparison(
    one: Wanted, step: timedelta | None, answer: _Answer | SyncError, rows: Sequence[_Row]
) -> Comparison | Unreadable:
    if isinstance(answer, SyncError):
        return Unreadable(enrolment_id=one.enrolment.pk, error=answer)
    span, meter = _aligned(one.span, step), one.enrolment.meter
    units = {summary.span.start: summary.units for summary in answer.summaries}
    told: dict[datetime, list[Told]] = defaultdict(list)
    for row in rows:
        if span.start <= row.event_at < span.end:
            told[floor_to(row.event_at, step) if step else span.start].append(row.told(answer.as_of))
    whole = step or span.end - span.start
    starts = [span.start + n * whole for n in range((span.end - span.start) // whole)]
    cells = [
        Cell(
            span=Span(start, start + whole),
            units=units.get(start, Decimal(0)),
            told=told[start],
            # Of a day the hours' values add up, whatever stands for each of them.
            sets_hours=meter.sets_hours and step == HOUR,
            decimals=meter.decimals,
        )
        for start in starts
    ]
    return Comparison(enrolment_id=one.enrolment.pk, as_of=answer.as_of, cells=cells)
