"""Decide for one enrolment which revisions its slices need."""

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from decimal import Decimal

from sync.domain.accounts import Counts, account_of
from sync.domain.closings import Outlook, outlook, price_changed_later
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
    outlook: Outlook
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
    half_closed: bool = False
    """It is held for nothing but that one of its periods has closed."""
    stored: LedgerRow | None = None
    """The row that stands already, where only what becomes of it is decided anew."""


@dataclass(slots=True, kw_only=True)
class EnrolmentPlan:
    """What is to be stored for one enrolment, together or not at all."""

    enrolment: EnrolmentToPlan
    reports: list[PlannedReport] = field(default_factory=list)
    decided_anew: list[PlannedReport] = field(default_factory=list)
    """Rows whose periods close at other times than was known when they were set aside, or were not."""
    superseded: list[int] = field(default_factory=list)
    """Rows that nobody claimed and that the newest measurement makes needless."""
    closings: dict[int, datetime] = field(default_factory=dict)
    """Rows that may yet be sent whose period closes at another time than they say."""
    changes: list[Change] = field(default_factory=list)
    """What each measured slice holds and should hold, those that are held for a person, too."""
    distrusted: bool = False
    """A report that would lower what Stripe holds waits for a person, and is still what was measured."""
    planned_through: datetime | None = None
    is_asked_for: bool = False
    """These hours were chosen, by a person or as their day differs, rather than looked at in every run."""
    problem: str = ""
    """Why nothing can be planned for it, as a sentence."""

    @property
    def changes_something(self) -> bool:
        """Whether there is anything to store."""
        rows = self.reports or self.decided_anew or self.superseded or self.closings
        return bool(rows or self.planned_through)


def plan_enrolment(
    one: EnrolmentToPlan,
    slices: Sequence[Slice],
    *,
    meter: Meter,
    collected: Collected,
    is_asked_for: bool,
    now: datetime,
) -> EnrolmentPlan:
    """Return the revisions that one enrolment's measured slices need; nothing is written."""
    plan = EnrolmentPlan(enrolment=one, is_asked_for=is_asked_for)
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
        reading = _Reading(
            piece=piece,
            outlook=outlook(piece.closings, event_at=piece.event_at, now=now),
            measured=measured,
            units=units,
            is_silent=not collected.taken[meter.pk],
        )
        _plan_slice(plan, reading, rows, meter)
    return plan


@dataclass(frozen=True, slots=True, kw_only=True)
class _Reading:
    """What was measured for a slice, and what becomes of a report of it."""

    piece: Slice
    outlook: Outlook
    measured: Decimal
    units: Decimal
    is_silent: bool
    """OpenMeter told of no usage of the meter at all, by anybody."""


def _plan_slice(plan: EnrolmentPlan, reading: _Reading, rows: list[LedgerRow], meter: Meter) -> None:
    """Add the next revision of one slice, if it needs one, and what becomes of those that wait."""
    plan.closings |= {
        row.id: closes_at
        for row in rows
        if row.status in _MAY_YET_BE_SENT and (closes_at := _closes_at(row, reading)) != row.closes_at
    }
    doubtful = {row.id: row for row in rows if _is_decided_anew(row, reading)}
    # Until that is decided they are as if they had just been planned: none was ever sent.
    rows = [replace(row, status=Status.PENDING) if row.id in doubtful else row for row in rows]
    standing = [row for row in rows if row.status not in UsageReport.WITHDRAWN]
    newest = standing[-1] if standing else None
    carried = newest.carried if newest else Decimal(0)
    compared = _compared_with(standing, is_asked_for=plan.is_asked_for)
    before = compared.measured if compared else Decimal(0)
    moved = has_moved(before, reading.measured, scale=meter.scale, decimals=meter.decimals)
    waiting = (
        newest
        if newest and _gives_way(newest, standing[:-1], is_known_better=moved and not reading.is_silent)
        else None
    )
    # What waits for its first try, or is held, has told Stripe nothing yet.
    accounted = [row for row in standing if row is not waiting and row.status != Status.HELD]
    account = account_of(accounted, sets_hours=meter.sets_hours)
    change = Change(accounted=account.accounted, target=account.target(reading.units + carried))
    blocking = {row.status for row in rows if row.status in UsageReport.BLOCKING and row is not waiting}
    if blocking <= {Status.HELD}:
        plan.changes.append(_as_braked(change, accounted, waiting, sets_hours=meter.sets_hours))
        plan.distrusted |= bool(blocking) and change.lowers
    if waiting and moved and not blocking:
        # Nobody has claimed it yet; storing fails if somebody does before then.
        plan.superseded.append(waiting.id)
        doubtful.pop(waiting.id, None)
    plan.decided_anew += [
        replace(
            _report(plan, reading, change, carried, row.revision, meter),
            value=row.value,
            stored=row,
        )
        for row in doubtful.values()
    ]
    if moved and not blocking and change.target != change.accounted:
        revision = rows[-1].revision + 1 if rows else 1
        plan.reports.append(_report(plan, reading, change, carried, revision, meter))


def _as_braked(
    change: Change, accounted: Sequence[LedgerRow], waiting: LedgerRow | None, *, sets_hours: bool
) -> Change:
    """Return the change as the brake counts it: what may go out already is not lowered a second time.

    A decrease that a person ordered or released, or that passed the brake, may be measured anew before it is
    sent; the reading that takes its place is held for what it lowers beyond that.
    """
    if waiting is None or not waiting.was_never_claimed:
        return change
    passed = account_of([*accounted, waiting], sets_hours=sets_hours).accounted
    return replace(change, accounted=min(change.accounted, passed))


def _compared_with(standing: Sequence[LedgerRow], *, is_asked_for: bool) -> LedgerRow | None:
    """Return the row whose measurement a new one is compared with.

    The newest one. But where these hours are looked at on purpose, a reading that a person once dismissed as
    wrong is not it: it may have come true since, and then a person is asked again.
    """
    believed = [row for row in standing if row.counts is not Counts.NOT] if is_asked_for else standing
    return believed[-1] if believed else None


def _gives_way(newest: LedgerRow, before: Sequence[LedgerRow], *, is_known_better: bool) -> bool:
    """Whether it was never sent, is not being decided on, and says nothing but what was measured.

    A late one gives way to another reading, too, so that people decide on what is true, unless that is a
    silence, which would take it away without a word. One that takes late usage along goes out first: another
    reading, which may be wrong, must not stand for it.
    """
    takes_along = newest.carried != (before[-1].carried if before else 0)
    unsent = newest.was_never_claimed or (newest.is_late_unsent and is_known_better)
    return unsent and not takes_along


def _report(
    plan: EnrolmentPlan, reading: _Reading, change: Change, carried: Decimal, revision: int, meter: Meter
) -> PlannedReport:
    return PlannedReport(
        enrolment=plan.enrolment,
        piece=reading.piece,
        outlook=reading.outlook,
        revision=revision,
        measured=reading.measured,
        carried=carried,
        quantity=reading.units + carried,
        value=change.target if meter.sets_hours else change.target - change.accounted,
        accounted=change.accounted,
        target=change.target,
        identifier=report_identifier(
            meter_id=meter.stripe_id,
            customer_id=plan.enrolment.customer_id,
            slice_start=reading.piece.span.start,
            revision=revision,
        ),
    )


def _is_decided_anew(row: LedgerRow, reading: _Reading) -> bool:
    """Whether its periods close otherwise than its status says.

    What a person released is not held again for what that person knew; what may have been sent stays.
    """
    seen = reading.outlook
    if row.status == Status.LATE:
        stays_late = row.value < 0 and price_changed_later(reading.piece.closings)
        return not seen.is_late and not stays_late
    if row.is_held_half_closed:
        return not seen.is_half_closed
    waits = row.status == Status.PENDING and not row.maybe_arrived
    return waits and not row.decision and seen.is_half_closed


def _closes_at(row: LedgerRow, reading: _Reading) -> datetime:
    """Return when it is too late for a row: what may have arrived, by the first of its periods to close."""
    if row.maybe_arrived and not row.decision:
        return min(closing.closes_at for closing in reading.piece.closings)
    return reading.outlook.closes_at


_MAY_YET_BE_SENT = (Status.PENDING, Status.SENDING, Status.UNKNOWN, Status.HELD, Status.REJECTED)
"""By themselves, or once a person releases them; of a late one it is decided anew whether it is."""
