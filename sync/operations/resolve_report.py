"""A person's decision on a report that waits for one."""

from datetime import datetime

from django.db import transaction

from sync.domain.accounts import account_of
from sync.domain.closings import LOWERED_LATE, is_late
from sync.domain.quantities import MAX_DIGITS, as_text, billed_units, digit_count
from sync.models import ReportRun, UsageReport
from sync.operations.measure_anew import measure_slices_anew
from sync.operations.record_findings import end_report_findings, record_findings, stays_late
from sync.operations.revise_report import revised
from sync.operations.sum_up_days import mark_days, sum_up_days_after_commit
from sync.ports import InvalidInput
from sync.queries.lowered_late import is_lowered_late

Status = UsageReport.Status

DECIDABLE = (Status.HELD, Status.LATE, Status.REJECTED, Status.UNKNOWN)


def release_report(
    *, report_id: int, why: str, who: str, run: ReportRun | None, now: datetime
) -> UsageReport:
    """The report will be sent by the next delivery; return the row that will be.

    A held one becomes pending, or late where its period has closed meanwhile or it would be taken off at a
    later price: then it is not sent, and can be carried forward. A rejected one, or one of unknown outcome
    that the person knows did not arrive, is replaced by a new revision with a new identifier. Raises
    `InvalidInput` for a late one (Stripe would bill it on no invoice, or at the wrong price) and for rows
    that wait for nobody. Decided once: a second call finds nothing to decide.
    """
    with transaction.atomic():
        measure_slices_anew(UsageReport.objects.filter(pk=report_id))
        report = _decidable(report_id)
        if report.status == Status.UNKNOWN and not why.strip():
            msg = (
                f"Nobody knows whether Stripe has report {report.pk}. Look in Stripe first; if it has not "
                "arrived, release it with --why saying how you know, else dismiss it."
            )
            raise InvalidInput(msg)
        too_late = why_too_late(report, now=now) or why_lowered_late(report, now=now)
        if too_late and report.status != Status.HELD:
            raise InvalidInput(too_late)
        report.decision = decision("Released", why, who, now)
        if report.status == Status.HELD:
            # What is right and comes too late is late: whoever released it can carry it forward.
            report.status = Status.LATE if too_late else Status.PENDING
            report.error, report.half_closed = too_late, False
            if report.beside is not None:  # a person knows what Stripe holds beside it, and sends it
                report.compared_at = now
            report.save(update_fields=["status", "error", "half_closed", "decision", "compared_at"])
            sent = report
        else:
            sent = replace_report(report, run=run, now=now)
        end_report_findings([report], now=now, resolution=report.decision)
        if sent.status == Status.LATE:
            record_findings([stays_late(sent)], now=now)
        mark_days([(report.enrolment.meter_id, report.slice_start)], now=now)
        if run is None:  # a run does it at its end
            sum_up_days_after_commit(now=now)
    return sent


def why_too_late(report: UsageReport, *, now: datetime) -> str:
    """Return the sentence that says why Stripe would no longer bill this report, or ""."""
    if not is_late(closes_at=report.closes_at, event_at=report.event_at, now=now):
        return ""
    return (
        f"Report {report.pk} belongs to a billing period that closed at {report.closes_at:%Y-%m-%d %H:%M} "
        "UTC: Stripe would put it on no invoice. Carry it forward, or dismiss it with a reason."
    )


def why_lowered_late(report: UsageReport, *, now: datetime) -> str:
    """Return the sentence that says why a decrease would be taken off at the wrong price, or ""."""
    return f"{LOWERED_LATE} Carry it forward, or dismiss it." if is_lowered_late(report, now=now) else ""


def waits_for_decision(report: UsageReport) -> bool:
    """Whether a person has to decide on it: it will not be sent, or not again, by itself."""
    return report.status in DECIDABLE and report.next_attempt_at is None


def dismiss_report(*, report_id: int, why: str, who: str, now: datetime) -> UsageReport:
    """The report will never be sent; return it.

    A held one is forgotten: its measurement looked wrong, so the slice stays at what Stripe was told. Any
    other, and one that is held only because one of its periods has closed, is written off: its usage counts
    as told, so that only what changes later is reported.
    """
    if not why.strip():
        msg = "A report is dismissed for a reason: add --why."
        raise InvalidInput(msg)
    with transaction.atomic():
        # Usage that came in while it waited is neither written off nor forgotten with it.
        measure_slices_anew(UsageReport.objects.filter(pk=report_id))
        report = _decidable(report_id)
        # What is held for a closed period was measured right: its usage is given up, not forgotten.
        # So is what somebody else has billed already.
        is_right = report.half_closed or report.beside is not None
        report.written_off = report.status != Status.HELD or is_right
        report.status, report.next_attempt_at = Status.DISMISSED, None
        report.decision = decision("Dismissed", why, who, now)
        report.save(update_fields=["written_off", "status", "next_attempt_at", "decision"])
        end_report_findings([report], now=now, resolution=report.decision)
        mark_days([(report.enrolment.meter_id, report.slice_start)], now=now)
        sum_up_days_after_commit(now=now)
    return report


def _decidable(report_id: int) -> UsageReport:
    """Lock and return the row, or say why there is nothing to decide."""
    report = (
        UsageReport.objects.select_for_update(of=("self",))
        .select_related("enrolment__meter", "enrolment__customer")
        .filter(pk=report_id)
        .first()
    )
    if report is None:
        msg = f"There is no report {report_id}: the list of reports shows those that wait."
        raise InvalidInput(msg)
    if not waits_for_decision(report):
        msg = f"Report {report_id} is {report.status_word}: it does not wait for a decision."
        raise InvalidInput(msg)
    return report


def replace_report(report: UsageReport, *, run: ReportRun | None, now: datetime) -> UsageReport:
    """What its slice still lacks is a new revision, in place of a report that Stripe does not have.

    The report is locked, and says why in its `decision`. Raises `InvalidInput` for more digits than fit.
    """
    meter = report.enrolment.meter
    rows = list(
        UsageReport.objects.select_for_update(of=("self",))
        .filter(enrolment=report.enrolment, slice_start=report.slice_start)
        .order_by("revision")
    )
    standing = [row for row in rows if row.status not in UsageReport.WITHDRAWN]
    newest = standing[-1]
    report.status = Status.REPLACED
    report.save(update_fields=["status", "decision"])
    if meter.sets_hours:
        # One value stands for the hour: what waits behind would be overwritten, or overwrite.
        UsageReport.objects.filter(
            pk__in=[row.pk for row in standing], status=Status.PENDING, first_sent_at=None
        ).update(status=Status.SUPERSEDED, next_attempt_at=None)
    quantity = billed_units(newest.measured, scale=meter.scale, decimals=meter.decimals) + newest.carried
    others = [row for row in standing if row.pk != report.pk]
    account = account_of(others, sets_hours=meter.sets_hours)
    value = account.target(quantity) if meter.sets_hours else account.target(quantity) - account.accounted
    if digit_count(value) > MAX_DIGITS:
        msg = (
            f"Report {report.pk} still has more than {MAX_DIGITS} digits ({as_text(value)}): "
            "lower the meter's decimals first."
        )
        raise InvalidInput(msg)
    made = revised(
        report,
        rows[-1].revision + 1,
        measured=newest.measured,
        carried=newest.carried,
        quantity=quantity,
        value=value,
        corrects=report.corrects,
        run=run or report.run,
        now=now,
    )
    made.save()
    return made


def decision(verb: str, why: str, who: str, now: datetime) -> str:
    """Return the sentence that says who decided what, and why."""
    reason = why.strip() or "no reason given"
    return f"{verb} by {who} at {now:%Y-%m-%d %H:%M:%S} UTC: {reason}"
