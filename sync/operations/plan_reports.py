"""Compare what was measured with the ledger, and say what should be reported. Computes only."""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from decimal import Decimal

from sync.domain.drift import Change, brake_reason
from sync.domain.identifiers import report_identifier
from sync.domain.periods import billable_stretches
from sync.domain.quantities import MAX_DIGITS, as_text, billed_units, digit_count, exact_sum, has_moved
from sync.domain.slices import Slice, Stored, cut_slices, is_late
from sync.domain.timeline import Span
from sync.models import Meter, UsageReport
from sync.operations.collect_usage import Collected, Wanted, collect_usage
from sync.ports import UsageSource
from sync.queries.planning import EnrolmentToPlan, LedgerRow, rows_by_slice
from sync.queries.report_lines import MovedUnits

Status = UsageReport.Status


@dataclass(frozen=True, slots=True, kw_only=True)
class PlanningRules:
    """The settings that decide what a plan looks like."""

    tail: timedelta
    brake_percent: int
    limit: Span | None = None
    """`--from/--to`: only slices inside it are planned."""


@dataclass(slots=True, kw_only=True)
class PlannedReport:
    """A revision that is to be stored. `accounted` is what the slice held before it."""

    enrolment: EnrolmentToPlan
    piece: Slice
    revision: int
    measured: Decimal
    carried: Decimal
    quantity: Decimal
    value: Decimal
    accounted: Decimal
    identifier: str
    supersedes: int | None
    status: UsageReport.Status = Status.PENDING
    error: str = ""


@dataclass(slots=True, kw_only=True)
class EnrolmentPlan:
    """What is to be stored for one enrolment, together or not at all."""

    enrolment: EnrolmentToPlan
    reports: list[PlannedReport] = field(default_factory=list)
    superseded: list[int] = field(default_factory=list)
    """Rows that nobody claimed and that the newest measurement makes needless."""
    planned_through: datetime | None = None

    @property
    def changes_something(self) -> bool:
        """Whether there is anything to store."""
        return bool(self.reports or self.superseded or self.planned_through)


@dataclass(slots=True, kw_only=True)
class MeterPlan:
    """What a run wants to store for one meter; `brake` says why lowering reports are held, if they are."""

    meter: Meter
    enrolments: list[EnrolmentPlan] = field(default_factory=list)
    brake: str | None = None
    rows_read: int = 0

    @property
    def reports(self) -> Iterator[PlannedReport]:
        """Every planned report."""
        return (report for plan in self.enrolments for report in plan.reports)

    def moved_units(self) -> list[MovedUnits]:
        """Return what would reach Stripe if the plan's pending reports were all delivered."""
        return [
            MovedUnits(
                customer=report.enrolment.customer_id,
                units=report.quantity - report.accounted,
                start=report.piece.span.start,
                end=report.piece.span.end,
            )
            for report in self.reports
            if report.status == Status.PENDING
        ]


def plan_meter(
    *,
    meter: Meter,
    enrolments: Sequence[EnrolmentToPlan],
    source: UsageSource,
    rules: PlanningRules,
    now: datetime,
) -> MeterPlan:
    """Return what should be stored for a meter; nothing is written.

    The ledger rows in `enrolments` were read before OpenMeter is asked here, and a new revision is the
    newest of them + 1: a planner with older data is refused by the ledger's unique key.
    """
    reread_from = rules.limit.start if rules.limit else now - rules.tail
    due = [(one, _due_slices(one, meter, rules, reread_from, now)) for one in enrolments]
    due = [(one, slices) for one, slices in due if slices]
    collected = collect_usage(
        source=source,
        slug=meter.slug,
        filters=meter.filters,
        wanted=[Wanted(enrolment_id=o.id, subjects=o.subjects, slices=s) for o, s in due],
        recent_from=reread_from,
    )
    plan = MeterPlan(meter=meter, rows_read=collected.rows)
    changes: list[Change] = []
    held_total: list[Decimal] = []
    for one, slices in due:
        drafts = _plan_enrolment(one, slices, meter, collected, held_total)
        changes += [Change(accounted=r.accounted, target=r.quantity) for r in drafts.reports]
        drafts.planned_through = _planned_through(one, slices, rules)
        plan.enrolments.append(drafts)
    plan.brake = brake_reason(
        changes,
        held_total=exact_sum(held_total),
        answer_is_empty=collected.rows == 0,
        percent=rules.brake_percent,
    )
    for report in plan.reports:
        report.status, report.error = _first_status(report, meter, plan.brake, now)
    return plan


# --- which slices ------------------------------------------------------------------------------------------


def _due_slices(
    one: EnrolmentToPlan, meter: Meter, rules: PlanningRules, reread_from: datetime, now: datetime
) -> list[Slice]:
    stretches = billable_stretches(one.items, report_from=one.report_from, sets_hours=meter.sets_hours)
    stored = [
        Stored(span=Span(row.slice_start, row.slice_end), event_at=row.event_at, closes_at=row.closes_at)
        for row in {row.slice_start: row for row in one.rows}.values()
    ]
    return cut_slices(
        stretches,
        stored=stored,
        fresh_from=one.planned_through,
        reread_from=reread_from,
        horizon=now - timedelta(seconds=meter.settle_seconds),
        limit=rules.limit,
        sets_hours=meter.sets_hours,
    )


def _planned_through(one: EnrolmentToPlan, slices: Sequence[Slice], rules: PlanningRules) -> datetime | None:
    """Return up to where everything has been measured once this plan is stored, or None if unchanged.

    Planning a chosen stretch that begins after the last planned instant leaves a gap; then nothing moves.
    """
    through = max(piece.span.end for piece in slices)
    known = one.planned_through
    if rules.limit and (known is None or rules.limit.start > known):
        return None
    return through if known is None or through > known else None


# --- which revisions ---------------------------------------------------------------------------------------


def _plan_enrolment(
    one: EnrolmentToPlan,
    slices: Sequence[Slice],
    meter: Meter,
    collected: Collected,
    held_total: list[Decimal],
) -> EnrolmentPlan:
    plan = EnrolmentPlan(enrolment=one)
    ledger = rows_by_slice(one.rows)
    for number, piece in enumerate(slices):
        rows = ledger.get(piece.span.start, [])
        held_total.append(_accounted(rows, sets_hours=meter.sets_hours))
        if any(row.status in UsageReport.BLOCKING for row in rows):
            continue
        measured = collected.measured(one.id, number)
        _plan_slice(plan, piece, rows, measured, meter)
    return plan


def _plan_slice(
    plan: EnrolmentPlan, piece: Slice, rows: list[LedgerRow], measured: Decimal, meter: Meter
) -> None:
    """Add the next revision of one slice, if it needs one."""
    standing = [row for row in rows if row.status not in UsageReport.WITHDRAWN]
    newest = standing[-1] if standing else None
    before = newest.measured if newest else Decimal(0)
    scale, decimals = meter.scale, meter.decimals
    if not has_moved(before, measured, scale=scale, decimals=decimals):
        return
    carried = newest.carried if newest else Decimal(0)
    quantity = billed_units(measured, scale=scale, decimals=decimals) + carried
    waiting = newest if newest and newest.status == Status.PENDING and not newest.first_sent_at else None
    if waiting:
        # Nobody has claimed it yet; storing fails if somebody does before then.
        plan.superseded.append(waiting.id)
    accounted = _accounted([row for row in rows if row is not waiting], sets_hours=meter.sets_hours)
    if quantity == accounted:
        return
    revision = rows[-1].revision + 1 if rows else 1
    plan.reports.append(
        PlannedReport(
            enrolment=plan.enrolment,
            piece=piece,
            revision=revision,
            measured=measured,
            carried=carried,
            quantity=quantity,
            value=quantity if meter.sets_hours else quantity - accounted,
            accounted=accounted,
            identifier=report_identifier(
                meter_id=meter.stripe_id,
                customer_id=plan.enrolment.customer_id,
                slice_start=piece.span.start,
                revision=revision,
            ),
            supersedes=waiting.id if waiting else None,
        )
    )


def _accounted(rows: Iterable[LedgerRow], *, sets_hours: bool) -> Decimal:
    """Return what Stripe was or will be told for a slice."""
    accounted = [row for row in rows if row.is_accounted]
    if sets_hours:
        return accounted[-1].quantity if accounted else Decimal(0)
    return exact_sum([row.value for row in accounted])


# --- what becomes of them ----------------------------------------------------------------------------------


def _first_status(
    report: PlannedReport, meter: Meter, brake: str | None, now: datetime
) -> tuple[UsageReport.Status, str]:
    """Return the status that a new revision is stored with, and why it is not simply pending."""
    if digit_count(report.value) > MAX_DIGITS:
        return Status.REJECTED, (
            f"{as_text(report.value)} has more than {MAX_DIGITS} digits, which Stripe refuses: "
            "lower the meter's decimals or give it a smaller scale."
        )
    if is_late(closes_at=report.piece.closes_at, event_at=report.piece.event_at, now=now):
        return Status.LATE, (
            f"Its billing period closed at {report.piece.closes_at:%Y-%m-%d %H:%M} UTC; Stripe would "
            "put this on no invoice."
        )
    if brake and report.quantity < report.accounted:
        return Status.HELD, brake
    if meter.max_units_per_slice is not None and abs(report.quantity) > meter.max_units_per_slice:
        return Status.HELD, (
            f"{as_text(report.quantity)} units are more than this meter's limit of "
            f"{as_text(meter.max_units_per_slice)} per slice."
        )
    return Status.PENDING, ""
