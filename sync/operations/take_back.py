"""Take back what Stripe had taken and refused later: it was not billed, so the ledger must not say it was."""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta

from django.db import transaction

from sync.domain.identifiers import looks_ours
from sync.domain.notices import ErrorReport, Refused, possible_identifiers
from sync.models import DeliveryAttempt, Finding, Meter, StripeNotice, UsageReport
from sync.models.ledger import of_request
from sync.operations.pause_reporting import pause_for_stripe
from sync.operations.record_findings import (
    about_report,
    end_report_findings,
    record_findings,
)
from sync.operations.show_unnamed import show_unnamed
from sync.operations.sum_up_days import mark_days, sum_up_days_after_commit

Status = UsageReport.Status

TAKEN = (Status.DELIVERED, Status.UNKNOWN, Status.PENDING)
"""Rows that Stripe may have taken. One that is `sending` waits for its own answer first, or it would be
written over ours; every other row was settled in some other way, and stays so."""
STRANGERS_MAY_COME = timedelta(days=2)
"""So long Stripe may repeat its answer of an earlier time to a report that is planned again."""
OUTCOME = "RefusedLater"
"""What an attempt is called that Stripe took and refused later."""


def take_back(notice: StripeNotice, report: ErrorReport, *, now: datetime) -> str:
    """What the report names is refused in the ledger, with its code and a finding, and waits for a person.

    The notice says what came of it, and whether Stripe refused more than it names. Return "" once it is
    handled; where a named report is being sent right now, nothing has changed for it yet, and the sentence
    that is returned says so: call this again. The same where it names a report of ours that the ledger does
    not hold: a backup that was put back has forgotten it, and once it is planned again Stripe only repeats
    its old answer. Safe to repeat: a row is taken back once.
    """
    with transaction.atomic():
        # A second worker waits here, and finds the notice handled.
        notice = StripeNotice.objects.select_for_update(of=("self",)).get(pk=notice.pk)
        if notice.handled_at:
            return ""
        found = _find(report)
        found.taken_back, found.replaced = take_back_rows(found.rows, found.reasons, now=now)
        if found.on_their_way:
            return "A report that it names is being sent; its answer is waited for."
        waits = found.strangers and now < notice.created_at + STRANGERS_MAY_COME
        _write_down(notice, report, found, handled=not waits, now=now)
    if waits:
        return "It names reports that this ledger does not hold, or not yet."
    return ""


@dataclass(slots=True, kw_only=True)
class _Found:
    """The rows that a report names, locked, and what it says of each."""

    rows: list[UsageReport]
    reasons: Mapping[int, Refused]
    taken_back: list[UsageReport] = field(default_factory=list)
    replaced: list[UsageReport] = field(default_factory=list)
    strangers: bool = False
    """Whether it names reports by names of ours that no row has."""

    @property
    def on_their_way(self) -> bool:
        """Whether a row's own answer is still to come."""
        return any(row.status == Status.SENDING for row in self.rows)

    def unnamed(self, report: ErrorReport) -> int:
        """Return how many refused events are none of these rows."""
        return max(report.count, len(report.samples)) - len(self.rows)


def _find(report: ErrorReport) -> _Found:
    """Lock the rows that are named, by identifier, by Idempotency-Key or by Stripe's request."""
    by_name: dict[str, Refused] = {}
    for sample in report.samples:
        for name in possible_identifiers(sample.names):
            by_name.setdefault(name, sample)
    requests = [name for name in by_name if name.startswith("req_")]
    ids = set(UsageReport.objects.filter(identifier__in=by_name).values_list("pk", flat=True))
    if requests:
        ids |= set(UsageReport.objects.filter(of_request(*requests)).values_list("pk", flat=True))
    rows = lock_rows(ids)
    reasons = {row.pk: by_name.get(row.identifier) or by_name[row.stripe_request_id] for row in rows}
    known = {name for row in rows for name in (row.identifier, row.stripe_request_id)}
    strangers = any(
        any(map(looks_ours, sample.names)) and known.isdisjoint(possible_identifiers(sample.names))
        for sample in report.samples
    )
    return _Found(rows=rows, reasons=reasons, strangers=strangers)


def lock_rows(ids: Collection[int]) -> list[UsageReport]:
    """Lock and return reports with all that taking them back needs, the newest of a slice first."""
    rows = list(
        UsageReport.objects.select_for_update(of=("self",))
        .select_related("enrolment__meter", "enrolment__customer", "run", "sent_by")
        .filter(pk__in=ids)
        # In the order in which workers lock them, too.
        .order_by("pk")
    )
    return sorted(rows, key=lambda row: (row.enrolment_id, row.slice_start, -row.revision))


def take_back_rows(
    rows: Sequence[UsageReport], reasons: Mapping[int, Refused], *, now: datetime
) -> tuple[list[UsageReport], list[UsageReport]]:
    """Locked reports that Stripe may have taken are refused, each for its reason, and wait for a person.

    Return them, and those of which nothing is missing, as a newer revision of the same hour stands for them.
    """
    attempts, taken_back, replaced = [], [], []
    stands = _standing(rows)
    for row in rows:
        if row.status not in TAKEN:
            continue
        reason = reasons[row.pk]
        why = f"Stripe took it and refused it later ({reason.code or 'no code'}): {reason.message}"
        attempts.append(_attempt(row, reason, now))
        row.delivered_at = row.next_attempt_at = None
        row.maybe_arrived = False
        newer = stands.get((row.enrolment_id, row.slice_start), 0)
        if newer > row.revision:
            row.status, row.error = Status.REPLACED, ""
            row.decision = f"{row.decision} {why} Revision {newer} of the same hour stands for it.".strip()
            replaced.append(row)
        else:
            row.status, row.error = Status.REJECTED, f"{why} So it was not billed."
            taken_back.append(row)
    DeliveryAttempt.objects.bulk_create(attempts)
    changed = [*taken_back, *replaced]
    if changed:
        UsageReport.objects.bulk_update(changed, _CHANGED, batch_size=200)
        # It is known now what became of one whose outcome nobody knew.
        end_report_findings(changed, now=now, resolution="Stripe said that it refused it.")
        record_findings([about_report(row, Finding.Kind.REJECTED) for row in taken_back], now=now)
        mark_days([(row.enrolment.meter_id, row.slice_start) for row in changed], now=now)
        sum_up_days_after_commit(now=now)
    return taken_back, replaced


_CHANGED = ["status", "delivered_at", "next_attempt_at", "maybe_arrived", "error", "decision"]


def _standing(rows: Sequence[UsageReport]) -> dict[tuple[int, datetime], int]:
    """Return the newest revision of these rows' hours, where one value stands for an hour.

    Nothing is missing of an older one that is refused. Not where the newest waits to be believed: if it is
    dismissed, nothing stands for the hour at all.
    """
    hours = [row for row in rows if row.enrolment.meter.sets_hours]
    newest = (
        UsageReport.objects.filter(
            enrolment__in={row.enrolment_id for row in hours},
            slice_start__in={row.slice_start for row in hours},
            status__in=[*TAKEN, Status.SENDING, Status.REJECTED],
        )
        .order_by("revision")
        .values_list("enrolment", "slice_start", "revision")
    )
    return {(enrolment, start): revision for enrolment, start, revision in newest} if hours else {}


def _attempt(row: UsageReport, reason: Refused, now: datetime) -> DeliveryAttempt:
    return DeliveryAttempt(
        report=row,
        run=row.sender or row.run,
        number=row.attempts,
        outcome=OUTCOME,
        code=reason.code[:100],
        message=reason.message[:2000],
        stripe_request_id=row.stripe_request_id,
        attempted_at=now,
    )


def _write_down(
    notice: StripeNotice, report: ErrorReport, found: _Found, *, handled: bool, now: datetime
) -> None:
    meters = _meters(report, found)
    unnamed = found.unnamed(report)
    notice.report = _as_json(report)
    notice.meter = meters[0] if len(meters) == 1 else None
    notice.validation_start, notice.validation_end = report.validation_start, report.validation_end
    notice.needs_comparison = unnamed > 0
    if handled:
        notice.handled_at, notice.next_attempt_at, notice.error = now, None, ""
    notice.outcome = _outcome(report, found, unnamed)
    notice.save()
    show_unnamed(notice, report, unnamed=unnamed, now=now)
    if report.concerns_meter:
        _stop_meters(meters, report, notice, now=now)


def _meters(report: ErrorReport, found: _Found) -> list[Meter]:
    """Return the meters it is about: the one it names, else those of the rows that it names."""
    named = list(Meter.objects.filter(stripe_id=report.meter_id)) if report.meter_id else []
    current = [meter for meter in named if meter.deleted_at is None]
    return (
        current or named or list({row.enrolment.meter.pk: row.enrolment.meter for row in found.rows}.values())
    )


def _outcome(report: ErrorReport, found: _Found, unnamed: int) -> str:
    said = [f"Stripe refused {_events(max(report.count, len(report.samples)))} it had taken."]
    said.append(f"{_reports(len(found.taken_back))} taken back into the ledger as refused.")
    if found.replaced:
        said.append(f"{_reports(len(found.replaced))} had been revised, and nothing of them is missing.")
    if before := len(found.rows) - len(found.taken_back) - len(found.replaced):
        said.append(f"{_reports(before)} had been settled before.")
    if unnamed > 0:
        said.append(f"{_events(unnamed)} not among the ledger's, or not named.")
    return " ".join(said)


def _events(count: int) -> str:
    return "1 event" if count == 1 else f"{count} events"


def _reports(count: int) -> str:
    return "1 report" if count == 1 else f"{count} reports"


def _stop_meters(
    meters: Sequence[Meter], report: ErrorReport, notice: StripeNotice, *, now: datetime
) -> None:
    """Meters that Stripe refuses as a whole stand still, unless they were read as active since."""
    reason = report.summary or "it refuses every event of it."
    for meter in Meter.objects.filter(pk__in=[meter.pk for meter in meters]):
        if meter.active and meter.deleted_at is None and meter.fetched_at >= notice.received_at:
            continue
        pause_for_stripe(meter, reason=reason, now=now)


def _as_json(report: ErrorReport) -> dict[str, object]:
    return {
        "summary": report.summary,
        "count": report.count,
        "codes": {one.code: one.count for one in report.counts},
        "samples": [
            {"code": one.code, "message": one.message, "names": list(one.names)} for one in report.samples
        ],
    }
