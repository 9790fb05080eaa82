"""Find out by Stripe's totals what became of reports whose outcome nobody knows."""

from collections import Counter
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from decimal import Decimal

from django.db import transaction
from django.db.models import Exists, Max, OuterRef, Q

from sync.domain.comparison import SUMMARY_LAG, Comparison
from sync.domain.quantities import as_text, billed_units
from sync.domain.summaries import SummarySource
from sync.models import DeliveryAttempt, Finding, ReportRun, UsageReport
from sync.operations.adopt_units import adopt_units
from sync.operations.compare_with_stripe import Unreadable, around, compare_with_stripe, one_stretch_each
from sync.operations.measure_anew import measure_slices_anew
from sync.operations.record_findings import about_report, end_report_findings, record_findings
from sync.operations.resolve_report import replace_report, why_too_late
from sync.operations.sum_up_days import mark_days, sum_up_days_after_commit
from sync.ports import DuplicateIdentifier, InvalidInput, KeyTaken
from sync.queries.planning import Scope, enrolments_in

Status = UsageReport.Status

COMPARED_AGAIN = timedelta(hours=1)
"""What Stripe's totals could not settle is compared so often, unless somebody asks."""
NAME_IS_TAKEN = (DuplicateIdentifier.__name__, KeyTaken.__name__)
MOST_AT_ONCE = 5000
"""Reports that one run compares; the next one goes on."""


@dataclass(slots=True, kw_only=True)
class SettledUnknown:
    """What became of reports of unknown outcome, by word, and why Stripe could not be asked, or ""."""

    outcomes: Counter[str] = field(default_factory=Counter)
    changed: list[UsageReport] = field(default_factory=list)
    error: str = ""

    @property
    def sentences(self) -> list[str]:
        """Return what was found out, and why something was not."""
        parts = [f"{count} {word}" for word, count in self.outcomes.items() if word != UNDECIDED]
        said = (
            [f"Of the reports of unknown outcome, by Stripe's totals: {', '.join(parts)}."] if parts else []
        )
        failed = f"Reports of unknown outcome could not be compared with Stripe: {self.error}"
        return [*said, failed] if self.error else said


ARRIVED, ABSENT, LATE, ADOPTED, UNDECIDED = (
    "had arrived",
    "had not arrived and is sent anew",
    "had not arrived and is too late",
    "counted as what Stripe holds under its name",
    "still nobody knows",
)


def settle_unknown(
    *,
    source: SummarySource,
    clock: Callable[[], datetime],
    scope: Scope | None = None,
    report_ids: Collection[int] | None = None,
    run: ReportRun | None = None,
    should_stop: Callable[[], bool] = lambda: False,
) -> SettledUnknown:
    """Reports of unknown outcome are delivered, replaced by new ones, or say why nobody can tell.

    Those of the scope that wait for a person, or those named; not before what they may have brought must be
    visible in Stripe's totals. Nothing is sent here, and Stripe is asked outside of transactions. Safe to
    repeat and to stop: each is settled by itself, once.
    """
    result = SettledUnknown()
    waiting = _waiting(scope, report_ids, now=clock())
    for page in compare_with_stripe(one_stretch_each(waiting), source=source, clock=clock):
        for found in page:
            if isinstance(found, Unreadable):
                result.error = str(found.error)
            else:
                mine = [row.pk for row in waiting if row.enrolment_id == found.enrolment_id]
                _settle(mine, found, result, run=run, now=clock())
        if should_stop():
            break
    return result


def can_be_compared(now: datetime) -> Q:
    """Return the condition for rows that wait for a person and whose arrival Stripe's totals would show.

    To be used on rows that are annotated with `last_attempt`.
    """
    quiet = Q(first_sent_at__lte=now - SUMMARY_LAG)
    calm = Q(last_attempt=None) | Q(last_attempt__lte=now - SUMMARY_LAG)
    return Q(status=Status.UNKNOWN, next_attempt_at=None) & quiet & calm


def _waiting(scope: Scope | None, report_ids: Collection[int] | None, *, now: datetime) -> list[UsageReport]:
    rows = UsageReport.objects.annotate(last_attempt=Max("delivery_attempts__attempted_at"))
    rows = rows.filter(can_be_compared(now)).select_related("enrolment__customer", "enrolment__meter")
    if report_ids is not None:
        rows = rows.filter(pk__in=report_ids)
    else:
        rows = rows.filter(Q(compared_at=None) | Q(compared_at__lte=now - COMPARED_AGAIN))
    if scope and scope != Scope():
        rows = rows.filter(enrolment__in=enrolments_in(scope))
    return list(rows.order_by("closes_at", "pk")[:MOST_AT_ONCE])


def _settle(
    ids: Sequence[int],
    found: Comparison,
    result: SettledUnknown,
    *,
    run: ReportRun | None,
    now: datetime,
) -> None:
    """Write down what became of one enrolment's rows, each in a transaction of its own."""
    for pk in ids:
        with transaction.atomic():
            measure_slices_anew(UsageReport.objects.filter(pk=pk))
            refusals = DeliveryAttempt.objects.filter(report=OuterRef("pk"), outcome__in=NAME_IS_TAKEN)
            row = (
                UsageReport.objects.select_for_update(of=("self",))
                .select_related("enrolment__meter", "enrolment__customer")
                .filter(pk=pk, status=Status.UNKNOWN, next_attempt_at=None)
                .annotate(name_is_taken=Exists(refusals))
                .first()
            )
            if row:
                _Settling(row, around(row, found), result, run, now).settle()


class _Settling:
    """One row, locked, and what Stripe holds of its slice."""

    def __init__(
        self,
        row: UsageReport,
        found: Comparison,
        result: SettledUnknown,
        run: ReportRun | None,
        now: datetime,
    ) -> None:
        self.row, self.found, self.result, self.run, self.now = row, found, result, run, now

    def settle(self) -> None:
        row, cells = self.row, self.found.cells
        me = next((one for one in self.found.doubtful if one.report_id == row.pk), None)
        alone = me is not None and len(self.found.doubtful) == 1
        name_is_taken: bool = row.name_is_taken  # type: ignore[attr-defined] # annotated
        if me is not None and alone and all(c.holds(me) if me in c.told else c.is_as_told for c in cells):
            self._arrived()
        elif alone and all(cell.is_as_told for cell in cells):
            self._absent()
        elif alone and name_is_taken and self.found.beside:
            self._adopt()
        else:
            self._undecided()

    def _arrived(self) -> None:
        row = self.row
        row.status, row.delivered_at, row.maybe_arrived = Status.DELIVERED, self.now, False
        row.error, row.compared_at = "", self.found.as_of
        row.decision = self._decision("it arrived")
        row.save(
            update_fields=["status", "delivered_at", "maybe_arrived", "error", "compared_at", "decision"]
        )
        self._say(ARRIVED, [row])

    def _absent(self) -> None:
        row = self.row
        row.maybe_arrived, row.compared_at = False, self.found.as_of
        too_late = why_too_late(row, now=self.now)
        if too_late:
            row.status = Status.LATE
            row.error = f"{self._numbers} So it never arrived, and its billing period has closed."
            row.save(update_fields=["status", "error", "maybe_arrived", "compared_at"])
            self._say(LATE, [row])
            record_findings([about_report(row, Finding.Kind.LATE)], now=self.now)
            return
        row.decision = self._decision("it never arrived")
        row.save(update_fields=["maybe_arrived", "compared_at"])
        try:
            with transaction.atomic():
                made = replace_report(row, run=self.run, now=self.now)
        except InvalidInput as error:
            row.status = Status.UNKNOWN
            self._undecided(str(error))
            return
        self._say(ABSENT, [row, made])

    def _adopt(self) -> None:
        decision = self._decision("Stripe holds other units under its name, which count as told")
        made = adopt_units(self.row, self.found, decision=decision, run=self.run, now=self.now)
        self._say(ADOPTED, [self.row, *made])

    def _undecided(self, why: str = "") -> None:
        row = self.row
        row.compared_at = self.found.as_of
        row.error = f"{self._numbers} {why or 'That does not tell whether it arrived.'}"
        row.save(update_fields=["error", "compared_at"])
        record_findings([about_report(row, Finding.Kind.UNKNOWN_OUTCOME)], now=self.now)
        self.result.outcomes[UNDECIDED] += 1

    def _say(self, outcome: str, rows: Sequence[UsageReport]) -> None:
        """End what was open about it, and count it."""
        row = self.row
        resolution = row.decision or row.error
        end_report_findings([row], now=self.now, resolution=resolution)
        mark_days([(row.enrolment.meter_id, row.slice_start)], now=self.now)
        if self.run is None:  # a run does it at its end
            sum_up_days_after_commit(now=self.now)
        self.result.outcomes[outcome] += 1
        self.result.changed += rows

    @property
    def _numbers(self) -> str:
        """Return what was compared, with both numbers."""
        decimals = self.row.enrolment.meter.decimals
        units = billed_units(self.found.units, scale=Decimal(1), decimals=decimals)
        span = self.found.span
        others = [one.value for one in self.found.doubtful if one.report_id != self.row.pk]
        beside = f", and {' and '.join(map(as_text, others))} more may be there" if others else ""
        return (
            f"Compared at {self.found.as_of:%Y-%m-%d %H:%M} UTC: from {span.start:%Y-%m-%d %H:%M} to "
            f"{span.end:%Y-%m-%d %H:%M} UTC Stripe holds {as_text(units)} units, and was told "
            f"{as_text(self.found.ledger)} without this report of {as_text(self.row.value)}{beside}."
        )

    def _decision(self, what: str) -> str:
        return f"{self._numbers} So {what}."
