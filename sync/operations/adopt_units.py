"""Count what Stripe holds of a slice as told, although this ledger did not tell it."""

from datetime import datetime
from decimal import Decimal

from sync.domain.accounts import Account, account_of
from sync.domain.comparison import Comparison
from sync.domain.quantities import billed_units, exact_add, measurement_of
from sync.domain.timeline import HOUR, SECOND, floor_to
from sync.models import ReportRun, UsageReport
from sync.operations.revise_report import revised

Status = UsageReport.Status


def adopt_units(
    report: UsageReport, found: Comparison, *, decision: str, run: ReportRun | None, now: datetime
) -> list[UsageReport]:
    """What Stripe holds beside the ledger, of this report's slice, counts as delivered; return the new rows.

    The report (locked, never to be sent again) is replaced by them, with whatever else of its slice is held
    because Stripe holds something. To be called in the transaction that has had the slice measured anew:
    the next plan sends what it comes to beyond that.
    """
    rows = list(
        UsageReport.objects.select_for_update(of=("self",))
        .filter(enrolment=report.enrolment, slice_start=report.slice_start)
        .order_by("revision")
    )
    waiting = [row for row in rows if row.pk == report.pk or _is_held_for_it(row)]
    gone = [report if row.pk == report.pk else row for row in waiting]
    ids = {row.pk for row in gone}
    others = [row for row in rows if row.status not in UsageReport.WITHDRAWN and row.pk not in ids]
    sets_hours = report.enrolment.meter.sets_hours
    account = account_of(others, sets_hours=sets_hours)
    for row in gone:
        row.status, row.decision, row.next_attempt_at = Status.REPLACED, decision, None
        row.maybe_arrived, row.compared_at = False, found.as_of
    UsageReport.objects.bulk_update(
        gone, ["status", "decision", "next_attempt_at", "maybe_arrived", "compared_at"]
    )
    parts = _hour_and_rest(report, found, account) if sets_hours else [_sum(report, found, account)]
    # What was carried into the slice since then stays in it.
    newest = max([*others, *gone], key=lambda row: row.revision)
    newest.enrolment = report.enrolment
    made = [
        _row(newest, number, part, decision=decision, run=run or report.run, now=now)
        for number, part in enumerate(parts, rows[-1].revision + 1)
    ]
    return UsageReport.objects.bulk_create(made)


def _is_held_for_it(row: UsageReport) -> bool:
    return row.status == Status.HELD and row.beside is not None


Part = tuple[Status, Decimal, Decimal]
"""What a new row is, what Stripe holds by it, and what the slice then comes to."""


def _sum(report: UsageReport, found: Comparison, account: Account) -> Part:
    beside = _units(report, found.beside)
    quantity = exact_add(exact_add(account.accounted, account.written_off), beside)
    return Status.DELIVERED, beside, quantity


def _hour_and_rest(report: UsageReport, found: Comparison, account: Account) -> list[Part]:
    """Return what stands for the hour of the event, and before it what the slice's other hours hold.

    That no value of ours can change, so it is taken off what the slice still has to come to.
    """
    hour = floor_to(report.event_at, HOUR)
    stands = sum((cell.units for cell in found.cells if cell.span.start == hour), Decimal(0))
    rest = _units(report, sum((c.beside for c in found.cells if c.span.start != hour), account.written_off))
    stands = _units(report, stands)
    parts: list[Part] = []
    if rest != account.written_off:
        parts.append((Status.DISMISSED, rest, exact_add(account.accounted, rest)))
    if stands != account.accounted or not parts:
        parts.append((Status.DELIVERED, stands, exact_add(stands, rest)))
    return parts


def _units(report: UsageReport, units: Decimal) -> Decimal:
    """Return Stripe's float as billed units."""
    return billed_units(units, scale=Decimal(1), decimals=report.enrolment.meter.decimals)


def _row(
    report: UsageReport, revision: int, part: Part, *, decision: str, run: ReportRun, now: datetime
) -> UsageReport:
    status, units, quantity = part
    was_sent = status == Status.DELIVERED
    return revised(
        report,
        revision,
        measured=measurement_of(exact_add(quantity, -report.carried), scale=report.enrolment.meter.scale),
        quantity=quantity,
        value=units,
        status=status,
        written_off=not was_sent,
        # Nobody knows when. As late as Stripe bills it: a change of price until then is told, not missed.
        first_sent_at=min(now, report.closes_at - SECOND) if was_sent else None,
        delivered_at=now if was_sent else None,
        compared_at=now,
        beside=units,
        decision=decision,
        run=run,
        now=now,
    )
