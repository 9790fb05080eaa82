"""Bill late usage in an open period: a person's decision, or the rule LATE_USAGE=carry_forward."""

from datetime import datetime, timedelta
from decimal import Decimal

from django.db import transaction
from django.db.models import QuerySet

from sync.domain.accounts import Counts, account_of
from sync.domain.identifiers import report_identifier
from sync.domain.quantities import MAX_DIGITS, as_text, digit_count, exact_add
from sync.models import Enrolment, ReportRun, UsageReport
from sync.operations.measure_anew import measure_slices_anew
from sync.operations.plan_carry import CarryPlan, plan_carry
from sync.operations.record_findings import end_report_findings, record_findings, stays_late
from sync.operations.resolve_report import decision
from sync.operations.revise_report import revised
from sync.operations.sum_up_days import mark_days, sum_up_days_after_commit
from sync.ports import InvalidInput

Status = UsageReport.Status
NOTHING = Decimal(0)
JUST_COMPARED = timedelta(minutes=10)
"""A ledger that was put back has late reports that it compared, and carried, before."""


def carry_report(*, report_id: int, why: str, who: str, run: ReportRun | None, now: datetime) -> UsageReport:
    """A late report's usage is part of a new revision of an open slice; return that revision.

    It waits for the next delivery. What would bring the open period below zero stays late. Decided once: a
    second call finds nothing to decide. Raises `InvalidInput` where no reason is given, nothing is open,
    `compare_late` was not called just before, or somebody plans or sends the open slice at this moment.
    """
    if not why.strip():
        msg = "A report is carried forward for a reason: add --why."
        raise InvalidInput(msg)
    with transaction.atomic():
        report = _late(report_id)
        # As of before the mark is set back: only what is measured can take usage along.
        plan = plan_carry(report, now=now)
        _check_compared(report, now)
        # Usage that came in while it waited is measured. A plan that is being made is refused, as the
        # slice that takes this along is not what it was.
        measure_slices_anew([report])
        report = _late(report_id, lock=True)
        said = decision("Carried forward", why, who, now)
        carried = _settle(report, plan, said, now) if plan.rest else _mark(report, said)
        made = _raise_target(plan, carried, run=run or report.run, now=now)
        end_report_findings([report], now=now, resolution=said)
        if plan.rest:
            record_findings([stays_late(carried)], now=now)
        meter_id = report.enrolment.meter_id
        mark_days([(meter_id, report.slice_start), (meter_id, made.slice_start)], now=now)
        if run is None:  # a run does it at its end
            sum_up_days_after_commit(now=now)
    return made


def _late(report_id: int, *, lock: bool = False) -> UsageReport:
    rows = UsageReport.objects.select_related("enrolment__meter", "enrolment__customer")
    if lock:
        rows = rows.select_for_update(of=("self",))
    else:
        # Planners and workers lock the enrolment first, too.
        enrolments = Enrolment.objects.select_for_update(no_key=True)
        list(enrolments.filter(reports=report_id).values_list("pk"))
    report = rows.filter(pk=report_id).first()
    if report is None:
        msg = f"There is no report {report_id}: the list of reports shows those that wait."
        raise InvalidInput(msg)
    if report.status != Status.LATE:
        msg = f"Report {report_id} is {report.status_word}: only late reports are carried forward."
        raise InvalidInput(msg)
    return report


def _check_compared(report: UsageReport, now: datetime) -> None:
    if not report.compared_at or report.compared_at < now - JUST_COMPARED:
        msg = (
            f"Report {report.pk} is not carried forward: what Stripe holds has to be read just before, and "
            "could not be. Try again in a few minutes."
        )
        raise InvalidInput(msg)


def _mark(report: UsageReport, said: str) -> UsageReport:
    report.status, report.decision, report.next_attempt_at = Status.CARRIED, said, None
    report.save(update_fields=["status", "decision", "next_attempt_at"])
    return report


def _settle(report: UsageReport, plan: CarryPlan, said: str, now: datetime) -> UsageReport:
    """Put two revisions in its place: what is carried, and the rest, which stays late."""
    rows = list(_revisions(report.enrolment, report.slice_start))
    standing = [row for row in rows if row.status not in UsageReport.WITHDRAWN and row.pk != report.pk]
    report.status, report.decision = Status.REPLACED, said
    report.save(update_fields=["status", "decision"])
    meter = report.enrolment.meter
    before = account_of(standing, sets_hours=meter.sets_hours)
    rest = (
        f"{as_text(-plan.rest)} units could not be taken off: the open period would fall below zero. Give a "
        "credit note in Stripe and dismiss it, or carry it forward in a later period."
    )
    newest = rows[-1].revision
    if meter.sets_hours and standing and standing[-1].revision > report.revision:
        msg = (
            f"Only part of report {report.pk} could be carried, and a newer report of its hour waits behind "
            "it: dismiss it with a reason, or carry it forward in a later period."
        )
        raise InvalidInput(msg)
    first = revised(report, newest + 1, value=plan.carried, status=Status.CARRIED, decision=said, now=now)
    second = revised(report, newest + 2, value=plan.rest, status=Status.LATE, error=rest, now=now)
    second.compared_at = report.compared_at
    if meter.sets_hours:
        first.quantity = before.accounted + before.written_off + plan.carried
        first.value = before.accounted + plan.carried
        second.value = before.accounted + plan.rest
    first.save()
    second.save()
    return first


def _raise_target(plan: CarryPlan, carried: UsageReport, *, run: ReportRun, now: datetime) -> UsageReport:
    """Store the open slice's next revision: what stands there, whatever its newest reading, and the units.

    What waits there to be sent keeps its place before it, so it need not be taken back from a worker.
    """
    piece, meter = plan.target.piece, carried.enrolment.meter
    rows = list(_revisions(carried.enrolment, piece.span.start).select_for_update(of=("self",)))
    standing = [row for row in rows if row.status not in UsageReport.WITHDRAWN]
    if any(row.status in UsageReport.BLOCKING for row in standing):
        raise InvalidInput(_busy(carried))
    newest = standing[-1] if standing else None
    believed = [row for row in standing if row.counts is not Counts.NOT]
    told = account_of(standing, sets_hours=meter.sets_hours).accounted if meter.sets_hours else NOTHING
    value = exact_add(told, plan.carried)
    if digit_count(value) > MAX_DIGITS:
        msg = f"Report {carried.pk} cannot be carried: {as_text(value)} has more than {MAX_DIGITS} digits."
        raise InvalidInput(msg)
    revision = rows[-1].revision + 1 if rows else 1
    return UsageReport.objects.create(
        enrolment=carried.enrolment,
        slice_start=piece.span.start,
        slice_end=piece.span.end,
        revision=revision,
        measured=newest.measured if newest else NOTHING,
        carried=exact_add(newest.carried if newest else NOTHING, plan.carried),
        quantity=exact_add(believed[-1].quantity if believed else NOTHING, plan.carried),
        value=value,
        event_at=piece.event_at,
        closes_at=plan.target.outlook.closes_at,
        identifier=report_identifier(
            meter_id=meter.stripe_id,
            customer_id=carried.enrolment.customer.stripe_id,
            slice_start=piece.span.start,
            revision=revision,
        ),
        decision=carried.decision,
        corrects=carried,
        run=run,
        created_at=now,
    )


def _busy(report: UsageReport) -> str:
    return (
        f"The open hour that report {report.pk} concerns is being sent or waits for an answer: try again "
        "in a few minutes."
    )


def _revisions(enrolment: Enrolment, slice_start: datetime) -> QuerySet[UsageReport]:
    """Return all revisions of a slice, in order."""
    return UsageReport.objects.filter(enrolment=enrolment, slice_start=slice_start).order_by("revision")
