"""Ask OpenMeter what was used: once per meter of its own, all subjects at once, for all that it feeds."""

from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from datetime import datetime
from decimal import Decimal

from sync.domain.filters import Filters, keys_of, takes
from sync.domain.quantities import as_measured, exact_sum
from sync.domain.slices import HourIndex, Slice, reading_of
from sync.domain.timeline import HOUR, MINUTE, Span, floor_to
from sync.ports import AnswerTooLarge, UsageRow, UsageSource, WindowSize
from sync.queries.planning import SubjectSpan

ROWS_PER_ANSWER = 50_000
"""OpenMeter builds an answer whole in memory and cuts off after 90 s: longer stretches are chunked."""

SUBJECTS_PER_FILTER = 50
"""Up to this many subjects are asked for by name; above, everybody's usage is one answer."""

PARALLEL_QUERIES = 4


@dataclass(frozen=True, slots=True, kw_only=True)
class Wanted:
    """The slices that are to be measured for one enrolment, and whose usage counts."""

    enrolment_id: int
    subjects: Sequence[SubjectSpan]
    slices: Sequence[Slice]


@dataclass(frozen=True, slots=True, kw_only=True)
class Share:
    """What one meter takes of OpenMeter's answer: what its filters match, for these enrolments."""

    meter_id: int
    filters: Filters
    wanted: Sequence[Wanted]
    is_living: bool = True
    """Whether anybody is billed by it now: what only others took, where they were, is taken by nobody."""


@dataclass(slots=True, kw_only=True)
class Collected:
    """What was measured, unrounded and unscaled, per enrolment and slice number; nothing means zero."""

    parts: dict[tuple[int, int], list[Decimal]] = field(default_factory=lambda: defaultdict(list))
    rows: int = 0
    taken: Counter[int] = field(default_factory=Counter)
    """Meter → rows that its filters match, whosever they are."""
    untaken: int = 0
    """Rows that would count for one of the slices, but that no meter's filters match."""

    def measured(self, enrolment_id: int, number: int) -> Decimal:
        """Return what one slice came to."""
        return exact_sum(self.parts.get((enrolment_id, number), []))


@dataclass(frozen=True, slots=True)
class _Query:
    """One call to OpenMeter and where its rows belong: a function to the slice, None for nobody's."""

    span: Span
    window: WindowSize | None
    subjects: Sequence[str] | None
    place: Callable[[UsageRow], Iterable[tuple[int, int]]]

    def halves(self) -> "Sequence[_Query]":
        """Return two questions that together ask the same, or nothing if one window is all there is."""
        if self.window is None:
            return ()
        step = HOUR if self.window == "HOUR" else MINUTE
        middle = floor_to(self.span.start + (self.span.end - self.span.start) / 2, step)
        if middle <= self.span.start:
            return ()
        spans = (Span(self.span.start, middle), Span(middle, self.span.end))
        return [replace(self, span=span) for span in spans]


def collect_usage(
    *,
    source: UsageSource,
    slug: str,
    shares: Sequence[Share],
    others: Sequence[Filters] = (),
    recent_from: datetime,
    on_answer: Callable[[], None] = lambda: None,
) -> Collected:
    """Return what every wanted slice came to, by OpenMeter's word now.

    All meters that one OpenMeter meter feeds share its answers, grouped by every key that one of them is
    filtered by; each takes the groups that its own filters match. `others` are the filters of meters that
    are not measured now: what they take is no usage that nobody takes.
    Whole hours of all enrolments are one query from `recent_from` on, and one for what lies before;
    edges that lie inside an hour are one query per such hour, to the second one per edge. `on_answer` is
    called after every few answers.
    Raises `SyncError` if OpenMeter does not answer; then nothing is returned at all.
    """
    collected = Collected()
    group_by = keys_of([*(share.filters for share in shares), *others])
    wanted = [one for share in shares for one in share.wanted]
    queries = [*_hour_queries(wanted, recent_from), *_edge_queries(wanted)]
    sieve = _Sieve(shares, others)

    def ask(query: _Query) -> list[UsageRow]:
        try:
            return source.query(
                slug,
                start=query.span.start,
                end=query.span.end,
                window=query.window,
                subjects=query.subjects,
                group_by=group_by,
            )
        except AnswerTooLarge:
            # Others use this meter, too, whom we do not know: their rows are in the answer as well.
            halves = query.halves()
            if not halves:
                raise
            return [row for half in halves for row in ask(half)]

    with ThreadPoolExecutor(PARALLEL_QUERIES) as pool:
        for batch in _batches(queries, PARALLEL_QUERIES):
            for query, rows in zip(batch, pool.map(ask, batch), strict=True):
                collected.rows += len(rows)
                _place_rows(collected, query, rows, sieve)
            on_answer()
    return collected


class _Sieve:
    """Says which meters take a group of usage; there are few groups, and many rows."""

    def __init__(self, shares: Sequence[Share], others: Sequence[Filters]) -> None:
        self._shares, self._others = shares, others
        self._known: dict[tuple[tuple[str, str], ...], tuple[frozenset[int], bool]] = {}
        self.meter_of = {one.enrolment_id: share.meter_id for share in shares for one in share.wanted}

    def takers(self, row: UsageRow) -> tuple[frozenset[int], bool]:
        """Return which of the meters take it, and whether one does that somebody is billed by now."""
        group = tuple(row.group.items())
        found = self._known.get(group)
        if found is None:
            mine = [share for share in self._shares if takes(share.filters, row.group)]
            is_taken = any(share.is_living for share in mine) or any(
                takes(filters, row.group) for filters in self._others
            )
            found = self._known[group] = (frozenset(share.meter_id for share in mine), is_taken)
        return found


def _place_rows(collected: Collected, query: _Query, rows: Iterable[UsageRow], sieve: _Sieve) -> None:
    for row in rows:
        takers, is_taken = sieve.takers(row)
        collected.taken.update(takers)
        is_missed = False
        for place in query.place(row):
            if sieve.meter_of[place[0]] in takers:
                collected.parts[place].append(as_measured(row.value))
                is_taken = True
            else:
                is_missed = True
        collected.untaken += is_missed and not is_taken


def _batches(queries: Sequence[_Query], size: int) -> Iterator[Sequence[_Query]]:
    """Yield a few queries at a time, so that no more than a few answers are in memory at once."""
    for first in range(0, len(queries), size):
        yield queries[first : first + size]


# --- whole hours -------------------------------------------------------------------------------------------


class _Hours:
    """Whose slice a whole hour of a subject belongs to."""

    def __init__(self, wanted: Sequence[Wanted]) -> None:
        self.owners: dict[str, list[tuple[SubjectSpan, int, HourIndex]]] = defaultdict(list)
        self.spans: list[tuple[Span, Wanted]] = []
        for one in wanted:
            entries = [
                (hours, number)
                for number, piece in enumerate(one.slices)
                for part in piece.parts
                if (hours := reading_of(part).hours)
            ]
            self.spans += [(span, one) for span, _ in entries]
            index = HourIndex(entries)
            for subject in one.subjects:
                self.owners[subject.key].append((subject, one.enrolment_id, index))

    def place(self, row: UsageRow) -> Iterator[tuple[int, int]]:
        """Yield the enrolment and slice that a row of a whole hour counts for."""
        for subject, enrolment_id, index in self.owners.get(row.subject, ()):
            number = index.find(row.start)
            if number is not None and subject.holds(row.start):
                yield enrolment_id, number


def _hour_queries(wanted: Sequence[Wanted], recent_from: datetime) -> Iterator[_Query]:
    hours = _Hours(wanted)
    if not hours.spans:
        return
    start = min(span.start for span, _ in hours.spans)
    end = max(span.end for span, _ in hours.spans)
    recent = floor_to(recent_from, HOUR)
    everybody = {subject.key for _, one in hours.spans for subject in one.subjects}
    laggards = {subject.key for span, one in hours.spans if span.start < recent for subject in one.subjects}
    split = min(max(start, recent), end)
    if len(laggards) > SUBJECTS_PER_FILTER or laggards == everybody:
        split = start  # so many lag behind that one question serves all
    for span, keys in ((Span(start, split), laggards), (Span(split, end), everybody)):
        for chunk in _time_chunks(span, len(keys)) if keys else ():
            yield _Query(chunk, "HOUR", _subject_filter(keys), hours.place)


def _time_chunks(span: Span, subjects: int) -> Iterator[Span]:
    step = HOUR * max(1, ROWS_PER_ANSWER // max(1, subjects))
    start = span.start
    while start < span.end:
        end = min(start + step, span.end)
        yield Span(start, end)
        start = end


def _subject_filter(keys: Iterable[str]) -> Sequence[str] | None:
    names = sorted(keys)
    return names if len(names) <= SUBJECTS_PER_FILTER else None


# --- edges inside an hour ----------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class _Edge:
    span: Span
    enrolment_id: int
    number: int
    subjects: Sequence[SubjectSpan]

    def takes(self, row: UsageRow, at: datetime) -> bool:
        """Whether usage of the row's subject at this instant counts for this edge."""
        return any(subject.key == row.subject and subject.holds(at) for subject in self.subjects)


def _edge_queries(wanted: Sequence[Wanted]) -> Iterator[_Query]:
    by_hour: dict[datetime, list[_Edge]] = defaultdict(list)
    exact: dict[Span, list[_Edge]] = defaultdict(list)
    for edge in _edges(wanted):
        if (
            floor_to(edge.span.start, MINUTE) == edge.span.start
            and floor_to(edge.span.end, MINUTE) == edge.span.end
        ):
            by_hour[floor_to(edge.span.start, HOUR)].append(edge)
        else:
            # A customer's subscription to several meters begins in one instant.
            exact[edge.span].append(edge)
    for span, edges in exact.items():
        yield _edge_query(span, None, edges)
    for edges in by_hour.values():
        start, end = min(edge.span.start for edge in edges), max(edge.span.end for edge in edges)
        yield _edge_query(Span(start, end), "MINUTE", edges)


def _edges(wanted: Sequence[Wanted]) -> Iterator[_Edge]:
    for one in wanted:
        for number, piece in enumerate(one.slices if one.subjects else ()):
            for part in piece.parts:
                for span in reading_of(part).edges:
                    yield _Edge(span, one.enrolment_id, number, one.subjects)


def _edge_query(span: Span, window: WindowSize | None, edges: Sequence[_Edge]) -> _Query:
    """Return the query that serves several edges: by minutes, or to the second where all are this span."""
    by_subject: dict[str, list[_Edge]] = defaultdict(list)
    for edge in edges:
        for key in {subject.key for subject in edge.subjects}:
            by_subject[key].append(edge)

    def place(row: UsageRow) -> Iterator[tuple[int, int]]:
        for edge in by_subject.get(row.subject, ()):
            at = row.start if window else span.start
            if edge.span.start <= at < edge.span.end and edge.takes(row, at):
                yield edge.enrolment_id, edge.number

    return _Query(span, window, _subject_filter(by_subject), place)
