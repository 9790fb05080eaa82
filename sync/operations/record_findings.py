"""Put obstacles and differences before people, once each."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime

from django.db import transaction
from django.db.models import Q

from sync.models import BillingPeriod, Finding, UsageReport


@dataclass(frozen=True, slots=True, kw_only=True)
class FoundIssue:
    """A matter to be shown. `fingerprint` names it for ever: the same matter, the same fingerprint."""

    kind: Finding.Kind
    fingerprint: str
    message: str
    customer_id: int | None = None
    meter_id: int | None = None
    item_id: int | None = None


def about_report(report: UsageReport, kind: Finding.Kind) -> FoundIssue:
    """Return the matter that one report waits for a person, with the reason it gives itself."""
    return FoundIssue(
        kind=kind,
        fingerprint=report_fingerprint(report),
        message=f"{report.error} Decide on it under Reports.",
        customer_id=report.enrolment.customer_id,
        meter_id=report.enrolment.meter_id,
    )


def report_fingerprint(report: UsageReport) -> str:
    """Return the name of every matter that is about this one report."""
    return f"report:{report.identifier}"


def period_fingerprint(period: BillingPeriod) -> str:
    """Return the name of every matter that is about this one billing period."""
    return f"{period.item.stripe_id}:{int(period.start.timestamp())}"


def record_findings(issues: Iterable[FoundIssue], *, now: datetime) -> int:
    """Every issue has exactly one open finding with the newest message; return how many are new.

    Safe to call twice: an open finding of the same kind and fingerprint is updated, not repeated.
    """
    wanted = {(issue.kind.value, issue.fingerprint): issue for issue in issues}
    if not wanted:
        return 0
    with transaction.atomic():
        open_rows = Finding.objects.filter(
            resolved_at=None,
            kind__in={kind for kind, _ in wanted},
            fingerprint__in={fingerprint for _, fingerprint in wanted},
        )
        known = {(row.kind, row.fingerprint): row for row in open_rows}
        for key, row in known.items():
            if key in wanted:
                row.message, row.seen_at = wanted[key].message, now
        Finding.objects.bulk_update(known.values(), ["message", "seen_at"], batch_size=500)
        new = [_row(issue, now) for key, issue in wanted.items() if key not in known]
        # Another process may have found the same matter meanwhile; its row serves as well as ours.
        Finding.objects.bulk_create(new, ignore_conflicts=True, batch_size=500)
    return len(new)


def end_report_findings(reports: Iterable[UsageReport], *, now: datetime, resolution: str) -> None:
    """No finding about these rows is open, nor one of their meters' that no row waits for any more."""
    rows = list(reports)
    findings = Finding.objects.filter(resolved_at=None)
    fingerprints = [report_fingerprint(report) for report in rows]
    for first in range(0, len(fingerprints), 500):
        findings.filter(fingerprint__in=fingerprints[first : first + 500]).update(
            resolved_at=now, resolution=resolution
        )
    for meter in {report.enrolment.meter for report in rows}:
        waiting = UsageReport.objects.filter(enrolment__meter=meter)
        for kind, rows_of_kind in _WAITING.items():
            if not waiting.filter(rows_of_kind).exists():
                findings.filter(kind=kind, fingerprint=f"meter:{meter.stripe_id}").update(
                    resolved_at=now, resolution=resolution
                )


_WAITING = {
    Finding.Kind.BRAKE: Q(status="held", half_closed=False, beside=None),
    Finding.Kind.ALREADY_BILLED: Q(status="held", beside__isnull=False),
    Finding.Kind.HALF_CLOSED: Q(status="held", half_closed=True),
    Finding.Kind.LATE: Q(status="late"),
    Finding.Kind.REJECTED: Q(status="rejected"),
}
"""Which rows a meter's finding of a kind is about."""


def stays_late(report: UsageReport) -> FoundIssue:
    """Return the finding of a meter on which a person's decision left a late report behind."""
    meter = report.enrolment.meter
    return FoundIssue(
        kind=Finding.Kind.LATE,
        fingerprint=f"meter:{meter.stripe_id}",
        message=f"A report on {meter.slug} is late: its billing period closed before it was sent. Decide on "
        "it under Reports.",
        meter_id=meter.pk,
    )


def resolve_absent(kinds: Sequence[Finding.Kind], *, seen: Iterable[FoundIssue], now: datetime) -> int:
    """Open findings of these kinds that a complete look did not see again are resolved; return how many."""
    still = {(issue.kind.value, issue.fingerprint) for issue in seen}
    gone = [
        row.pk
        for row in Finding.objects.filter(resolved_at=None, kind__in=kinds).only("pk", "kind", "fingerprint")
        if (row.kind, row.fingerprint) not in still
    ]
    for first in range(0, len(gone), 500):
        Finding.objects.filter(pk__in=gone[first : first + 500]).update(resolved_at=now, resolution=NO_LONGER)
    return len(gone)


def resolve_matter(kind: Finding.Kind, fingerprint: str, *, now: datetime) -> None:
    """No finding of this matter is open: it is not the case any more."""
    Finding.objects.filter(resolved_at=None, kind=kind, fingerprint=fingerprint).update(
        resolved_at=now, resolution=NO_LONGER
    )


NO_LONGER = "No longer the case when last looked at."


def _row(issue: FoundIssue, now: datetime) -> Finding:
    return Finding(
        kind=issue.kind,
        fingerprint=issue.fingerprint,
        message=issue.message,
        customer_id=issue.customer_id,
        meter_id=issue.meter_id,
        item_id=issue.item_id,
        found_at=now,
        seen_at=now,
    )
