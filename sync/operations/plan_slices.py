"""Decide for one enrolment which revisions its slices need."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime
from decimal import Decimal

from sync.domain.accounts import account_of
from sync.domain.drift import Change
from sync.domain.identifiers import report_identifier
from sync.domain.quantities import as_text, billed_units, fits_the_ledger, has_moved
from sync.domain.slices import Slice
from sync.models import Meter, UsageReport
from sync.operations.collect_usage import Collected
from sync.queries.planning import EnrolmentToPlan, LedgerRow, rows_by_slice

Status = UsageReport.Status


@dataclass(slots=True, kw_only=True)
class PlannedReport:
    """A revision that is to be stored. `accounted` is what Stripe holds without it, `target` with it."""

    enrolment: EnrolmentToPlan
    piece: Slice
    revision: int
    measured: Decimal
    carried: Decimal
    quantity: Decimal
    value: Decimal
    accounted: Decimal
    target: Decimal
    identifier: str
    status: UsageReport.Status = Status.PENDING
    error: str = ""


@dataclass(slots=True, kw_only=True)
class EnrolmentPlan:
    """What is to be stored for one enrolment, together or not at all."""

    enrolment: EnrolmentToPlan
    reports: list[PlannedReport] = field(default_factory=list)
    superseded: list[int] = field(default_factory=list)
    """Rows that nobody claimed and that the newest measurement makes needless."""
    closings: dict[int, datetime] = field(default_factory=dict)
    """Rows still to be sent whose period closes at another time than they say."""
    changes: list[Change] = field(default_factory=list)
    """What each measured slice holds and should hold, those that are held for a person, too."""
    distrusted: bool = False
    """A report that would lower what Stripe holds waits for a person, and is still what was measured."""
    planned_through: datetime | None = None
    problem: str = ""
    """Why nothing can be planned for it, as a sentence."""

    @property
    def changes_something(self) -> bool:
        """Whether there is anything to store."""
        return bool(self.reports or self.superseded or self.closings or self.planned_through)


def plan_enrolment(
    one: EnrolmentToPlan, slices: Sequence[Slice], *, meter: Meter, collected: Collected
) -> EnrolmentPlan:
    """Return the revisions that one enrolment's measured slices need; nothing is written."""
    plan = EnrolmentPlan(enrolment=one)
    ledger = rows_by_slice(one.rows)
    for number, piece in enumerate(slices):
        rows = ledger.get(piece.span.start, [])
        measured = collected.measured(one.id, number)
        units = billed_units(measured, scale=meter.scale, decimals=meter.decimals)
        if not (fits_the_ledger(measured) and fits_the_ledger(units)):
            return EnrolmentPlan(
                enrolment=one,
                problem=(
                    f"OpenMeter says that {one.customer_id} used {as_text(measured)} of {meter.slug} from "
                    f"{piece.span.start:%Y-%m-%d %H:%M} UTC on, more than the ledger can hold; correct the "
                    "events there. Everybody else was planned."
                ),
            )
        _plan_slice(plan, piece, rows, measured, units, meter)
    return plan


def _plan_slice(
    plan: EnrolmentPlan,
    piece: Slice,
    rows: list[LedgerRow],
    measured: Decimal,
    units: Decimal,
    meter: Meter,
) -> None:
    """Add the next revision of one slice, if it needs one."""
    plan.closings |= {
        row.id: piece.closes_at
        for row in rows
        if row.status in _TO_BE_SENT and row.closes_at != piece.closes_at
    }
    standing = [row for row in rows if row.status not in UsageReport.WITHDRAWN]
    newest = standing[-1] if standing else None
    carried = newest.carried if newest else Decimal(0)
    quantity = units + carried
    waiting = newest if newest and newest.was_never_claimed else None
    # What waits for its first try, or is held, has told Stripe nothing yet.
    accounted = [row for row in standing if row is not waiting and row.status != Status.HELD]
    account = account_of(accounted, sets_hours=meter.sets_hours)
    change = Change(accounted=account.accounted, target=account.target(quantity))
    before = newest.measured if newest else Decimal(0)
    blocking = {row.status for row in rows if row.status in UsageReport.BLOCKING}
    if blocking <= {Status.HELD}:
        plan.changes.append(change)
        plan.distrusted |= bool(blocking) and change.lowers
    if blocking or not has_moved(before, measured, scale=meter.scale, decimals=meter.decimals):
        return
    if waiting:
        # Nobody has claimed it yet; storing fails if somebody does before then.
        plan.superseded.append(waiting.id)
    if change.target == change.accounted:
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
            value=change.target if meter.sets_hours else change.target - change.accounted,
            accounted=change.accounted,
            target=change.target,
            identifier=report_identifier(
                meter_id=meter.stripe_id,
                customer_id=plan.enrolment.customer_id,
                slice_start=piece.span.start,
                revision=revision,
            ),
        )
    )


_TO_BE_SENT = (Status.PENDING, Status.SENDING, Status.UNKNOWN)
