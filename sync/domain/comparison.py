"""What Stripe holds of an enrolment beside what our ledger says it was told, hour by hour or day by day."""

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from decimal import Decimal
from itertools import combinations

from sync.domain.quantities import exact_add, exact_sum
from sync.domain.timeline import Span

SUMMARY_LAG = timedelta(minutes=10)
"""What arrived so shortly before a look may be missing in it. Stripe names no time; two minutes are usual."""
FLOAT_DIGITS = Decimal("1e-14")
"""Stripe answers with floats: of a large sum the last digits are noise."""
MOST_DOUBTFUL = 8
"""Reports of unknown arrival in one hour that are tried in all combinations; of more, all or none."""


def is_same(units: Decimal, expected: Decimal, *, decimals: int) -> bool:
    """Whether what Stripe answered is what we expect, in units of so many decimals."""
    half_a_unit = Decimal(5).scaleb(-decimals - 1)
    return abs(exact_add(units, -expected)) < max(half_a_unit, abs(expected) * FLOAT_DIGITS)


@dataclass(frozen=True, slots=True, kw_only=True)
class Told:
    """A report that Stripe was told, or may have been told: `sure` only if it must be visible by now."""

    report_id: int
    event_at: datetime
    value: Decimal
    sure: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Cell:
    """One UTC hour (a day that agrees, a part of an hour): what Stripe holds, and was told, in order."""

    span: Span
    units: Decimal
    told: Sequence[Told]
    sets_hours: bool
    decimals: int

    @property
    def ledger(self) -> Decimal:
        """Return what Stripe surely was told."""
        sure = [one.value for one in self.told if one.sure]
        if self.sets_hours:
            return sure[-1] if sure else Decimal(0)
        return exact_sum(sure)

    @property
    def doubtful(self) -> Sequence[Told]:
        """Return what Stripe may have been told beside that."""
        return [one for one in self.told if not one.sure]

    @property
    def beside(self) -> Decimal:
        """Return the units that Stripe holds beside what it surely was told."""
        return exact_add(self.units, -self.ledger)

    @property
    def is_as_told(self) -> bool:
        """Whether Stripe holds exactly what it surely was told."""
        return self._is(self.ledger)

    @property
    def agrees(self) -> bool:
        """Whether the ledger explains what Stripe holds: with some, all or none of the doubtful ones."""
        return self.is_as_told or any(self._is(total) for total in self._possible())

    @property
    def unexplained(self) -> Decimal:
        """Return the units that Stripe holds beyond what it may have been told; negative if it lacks some.

        Whatever became of the doubtful ones: as long as Stripe's total lies between all and none of them,
        nothing is unexplained.
        """
        if self.agrees:
            return Decimal(0)
        values = [one.value for one in self.doubtful]
        if self.sets_hours:
            least, most = min([self.ledger, *values]), max([self.ledger, *values])
        else:
            least = exact_sum([self.ledger, *(value for value in values if value < 0)])
            most = exact_sum([self.ledger, *(value for value in values if value > 0)])
        if least <= self.units <= most:
            return Decimal(0)
        return exact_add(self.units, -(most if self.units > most else least))

    def holds(self, report: Told) -> bool:
        """Whether Stripe holds exactly what it surely was told and this one, which is doubtful."""
        return self._is(report.value if self.sets_hours else exact_add(self.ledger, report.value))

    def missing(self, candidates: Collection[int]) -> Sequence[Told]:
        """Return the fewest of these reports (ids) without which Stripe holds what it was told.

        None if that is not clear. Which of two that are worth the same is not told apart: it makes no
        difference to the bill.
        """
        if self.sets_hours:
            return self._not_set(candidates)
        mine = [one for one in self.told if one.sure and one.report_id in candidates]
        sizes = range(1, len(mine) + 1) if len(mine) <= MOST_DOUBTFUL else (1, len(mine))
        groups = (group for size in sizes for group in combinations(reversed(mine), size))
        return next((one for one in groups if self._is(self._without(one))), ())

    def _without(self, missing: Sequence[Told]) -> Decimal:
        return exact_add(self.ledger, -exact_sum([one.value for one in missing]))

    def _not_set(self, candidates: Collection[int]) -> Sequence[Told]:
        """Return what came after the value that stands for the hour."""
        sure = [one for one in self.told if one.sure]
        for number in range(len(sure) - 1, -1, -1):
            if sure[number].report_id not in candidates:
                return ()
            if self._is(sure[number - 1].value if number else Decimal(0)):
                return sure[number:]
        return ()

    def _possible(self) -> Sequence[Decimal]:
        values = [one.value for one in self.doubtful]
        if self.sets_hours:
            return values
        sizes = range(1, len(values) + 1) if len(values) <= MOST_DOUBTFUL else (len(values),)
        return [exact_sum([self.ledger, *chosen]) for size in sizes for chosen in combinations(values, size)]

    def _is(self, total: Decimal) -> bool:
        return is_same(self.units, total, decimals=self.decimals)


@dataclass(frozen=True, slots=True, kw_only=True)
class Comparison:
    """What was found of one enrolment when Stripe was asked at `as_of`; cells in order, without gaps."""

    enrolment_id: int
    as_of: datetime
    cells: Sequence[Cell]

    @property
    def agrees(self) -> bool:
        """Whether the ledger explains all that Stripe holds."""
        return all(cell.agrees for cell in self.cells)

    @property
    def span(self) -> Span:
        """Return what was looked at; there are cells."""
        return Span(self.cells[0].span.start, self.cells[-1].span.end)

    def covers(self, span: Span) -> bool:
        """Whether all of a stretch was looked at."""
        return bool(self.cells) and self.span.covers(span)

    def within(self, span: Span) -> "Comparison":
        """Return what was found of the cells that a stretch touches: parts, hours, and days that agree."""
        cells = [cell for cell in self.cells if cell.span.overlaps(span)]
        return Comparison(enrolment_id=self.enrolment_id, as_of=self.as_of, cells=cells)

    @property
    def units(self) -> Decimal:
        """Return what Stripe holds."""
        return exact_sum([cell.units for cell in self.cells])

    @property
    def ledger(self) -> Decimal:
        """Return what Stripe surely was told."""
        return exact_sum([cell.ledger for cell in self.cells])

    @property
    def beside(self) -> Decimal:
        """Return the units that Stripe holds beside what it surely was told."""
        return exact_sum([cell.beside for cell in self.cells])

    @property
    def doubtful(self) -> Sequence[Told]:
        """Return what Stripe may have been told beside that."""
        return [one for cell in self.cells for one in cell.doubtful]
