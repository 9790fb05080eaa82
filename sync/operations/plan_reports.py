"""Compare what was measured with the ledger, and say what should be reported. Writes nothing."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from decimal import Decimal

from sync.domain.closings import (
    LOWERED_LATE,
    OLDEST_EVENT,
    half_closed_sentence,
    late_sentence,
    price_changed_later,
)
from sync.domain.drift import EMPTY_ANSWER, OTHER_GROUPS, brake_reason
from sync.domain.filters import Filters
from sync.domain.periods import billable_stretches
from sync.domain.quantities import MAX_DIGITS, as_text, digit_count, exact_sum
from sync.domain.slices import Slice, cut_slices
from sync.domain.timeline import Span
from sync.models import Meter, UsageReport
from sync.operations.collect_usage import Collected, Share, Wanted, collect_usage
from sync.operations.plan_slices import EnrolmentPlan, PlannedReport, plan_enrolment
from sync.ports import UsageSource
from sync.queries.planning import EnrolmentToPlan
from sync.queries.report_lines import MovedUnits

Status = UsageReport.Status


@dataclass(frozen=True, slots=True, kw_only=True)
class PlanningRules:
    """The settings that decide what a plan looks like."""

    tail: timedelta
    brake_percent: int
    limit: Span | None = None
    """`--from/--to`: only slices inside it are planned."""
    beside: Decimal = Decimal(0)
    """Units of the meter that were found unchanged beside what is measured here, as the brake counts them."""
    ordered: Decimal = Decimal(0)
    """Units that a person saw and ordered to be taken off: the brake does not stop them."""


@dataclass(slots=True, kw_only=True)
class MeterPlan:
    """What a run wants to store for one meter; `brake` says why lowering reports are held, or is ""."""

    meter: Meter
    enrolments: list[EnrolmentPlan] = field(default_factory=list)
    brake: str = ""

    @property
    def reports(self) -> Iterator[PlannedReport]:
        """Every planned report."""
        return (report for plan in self.enrolments for report in plan.reports)

    @property
    def decided(self) -> Iterator[PlannedReport]:
        """Every planned report, and every stored one whose status this plan decides anew."""
        return (report for plan in self.enrolments for report in (*plan.reports, *plan.decided_anew))

    @property
    def problems(self) -> list[str]:
        """What kept single enrolments from being planned."""
        return [plan.problem for plan in self.enrolments if plan.problem]

    def moved_units(self) -> list[MovedUnits]:
        """Return what would reach Stripe if the plan's pending reports were all delivered."""
        return [
            MovedUnits(
                customer=report.enrolment.customer_id,
                units=report.target - report.accounted,
                start=report.piece.span.start,
                end=report.piece.span.end,
            )
            for report in self.decided
            if report.status == Status.PENDING
        ]


@dataclass(frozen=True, slots=True)
class DueMeter:
    """A meter and its enrolments, by the ledger as it was read, with the slices that are to be measured."""

    meter: Meter
    enrolments: Sequence[tuple[EnrolmentToPlan, Sequence[Slice]]]
    is_living: bool = True
    """Whether anybody is billed by it now."""


def due_slices(
    *, meter: Meter, enrolments: Sequence[EnrolmentToPlan], rules: PlanningRules, now: datetime
) -> DueMeter:
    """Return what has to be measured of a meter, before OpenMeter is asked for it."""
    due = [(one, _due_slices(one, meter, rules, now)) for one in enrolments]
    return DueMeter(meter, [(one, slices) for one, slices in due if slices])


def measure_together(
    *,
    due: Sequence[DueMeter],
    others: Sequence[Filters],
    source: UsageSource,
    rules: PlanningRules,
    now: datetime,
    on_answer: Callable[[], None],
) -> Collected:
    """Return what was used of meters that one OpenMeter meter feeds. Raises `SyncError`.

    `others` are the filters of those that it feeds and that are not measured now. `on_answer` is called
    after every few answers of OpenMeter: a long backlog takes many.
    """
    if not due:
        return Collected()
    return collect_usage(
        source=source,
        slug=due[0].meter.slug,
        shares=[
            Share(
                meter_id=one.meter.pk,
                filters=one.meter.filters,
                is_living=one.is_living,
                wanted=[Wanted(enrolment_id=o.id, subjects=o.subjects, slices=s) for o, s in one.enrolments],
            )
            for one in due
        ],
        others=others,
        recent_from=_reread_from(rules, now),
        on_answer=on_answer,
    )


def plan_meter(
    *,
    due: DueMeter,
    collected: Collected,
    rules: PlanningRules,
    now: datetime,
    is_confirmed: Callable[[bool], bool] = lambda _had_usage: False,
) -> MeterPlan:
    """Return what should be stored for a meter; nothing is written.

    The ledger rows in `due` were read before OpenMeter was asked, and a new revision is the newest of them
    + 1: a planner with older data is refused by the ledger's unique key. An answer that nobody should
    believe (the brake, or nothing at all) counts as no measurement: what was never measured before stays
    so, and is measured again by the next run. Where nothing at all was answered `is_confirmed` is asked
    whether a second answer says so, too: nobody may have used anything.
    """
    meter = due.meter
    plan = MeterPlan(meter=meter)
    for one, slices in due.enrolments:
        planned = plan_enrolment(
            one,
            slices,
            meter=meter,
            collected=collected,
            is_asked_for=rules.limit is not None,
            now=now,
        )
        if not planned.problem:
            planned.planned_through = _planned_through(one, slices, rules)
        plan.enrolments.append(planned)
    changes = [change for planned in plan.enrolments for change in planned.changes]
    silence = "" if rules.beside else _silence(meter, collected)
    plan.brake = brake_reason(
        changes,
        accounted_total=exact_sum([rules.beside, *(change.accounted for change in changes)]),
        silence=silence,
        percent=rules.brake_percent,
        ordered=rules.ordered,
    )
    for report in plan.decided:
        _decide(report, meter, plan.brake)
    distrusted = plan.brake or any(planned.distrusted for planned in plan.enrolments)
    if silence and not distrusted and any(planned.planned_through for planned in plan.enrolments):
        had_usage = _had_usage(meter, now)
        distrusted = had_usage if collected.rows else not is_confirmed(had_usage)
    if distrusted:
        for planned in plan.enrolments:
            planned.planned_through = None
    return plan


def _silence(meter: Meter, collected: Collected) -> str:
    """Return why it is hard to believe that nothing of the meter was used, or "".

    Several meters share an answer. That it holds nothing for one of them is believed where everything in it
    is taken by others: then OpenMeter answers, and groups as it did. Where it holds usage that nobody takes,
    a group may have been renamed, and that usage may be this meter's.
    """
    if collected.rows == 0:
        return EMPTY_ANSWER
    return OTHER_GROUPS if collected.untaken and not collected.taken[meter.pk] else ""


def _had_usage(meter: Meter, now: datetime) -> bool:
    """Whether the ledger holds anything of the meter from the time that Stripe still takes events for."""
    recent = UsageReport.objects.filter(enrolment__meter=meter, slice_end__gt=now - OLDEST_EVENT)
    return recent.exists()


def _reread_from(rules: PlanningRules, now: datetime) -> datetime:
    return rules.limit.start if rules.limit else now - rules.tail


def _due_slices(one: EnrolmentToPlan, meter: Meter, rules: PlanningRules, now: datetime) -> list[Slice]:
    stretches = billable_stretches(one.items, report_from=one.report_from, sets_hours=meter.sets_hours)
    return cut_slices(
        stretches,
        stored=one.stored_slices(),
        fresh_from=one.planned_through,
        reread_from=_reread_from(rules, now),
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


def _decide(report: PlannedReport, meter: Meter, brake: str) -> None:
    """Give a revision the status that it is stored with, and say why it is not simply pending."""
    if digit_count(report.value) > MAX_DIGITS:
        report.status, report.error = (
            Status.REJECTED,
            (
                f"{as_text(report.value)} has more than {MAX_DIGITS} digits, which Stripe refuses: "
                "lower the meter's decimals or give it a smaller scale."
            ),
        )
    elif (report.outlook.is_late or _is_lowered_late(report)) and not (brake and _lowers(report)):
        report.status = Status.LATE
        late = report.outlook.is_late
        report.error = late_sentence(report.piece.closings, report.outlook) if late else LOWERED_LATE
    elif why := list(_why_held(report, meter, brake)):
        report.status, report.error = Status.HELD, " ".join(why)
        report.half_closed = report.outlook.is_half_closed and len(why) == 1


def _lowers(report: PlannedReport) -> bool:
    return report.target < report.accounted


def _is_lowered_late(report: PlannedReport) -> bool:
    """Whether it would take units off at another price than they were billed at."""
    return _lowers(report) and price_changed_later(report.piece.closings)


def _why_held(report: PlannedReport, meter: Meter, brake: str) -> Iterator[str]:
    if report.outlook.is_half_closed:
        yield half_closed_sentence(report.piece.closings, report.outlook)
    if brake and _lowers(report):
        yield brake
    if meter.max_units_per_slice is not None and abs(report.quantity) > meter.max_units_per_slice:
        yield (
            f"{as_text(report.quantity)} units are more than this meter's limit of "
            f"{as_text(meter.max_units_per_slice)} per slice."
        )
