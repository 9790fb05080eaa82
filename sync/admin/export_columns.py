"""What the exports of reports, runs and findings hold."""

import json
from collections.abc import Sequence
from decimal import Decimal

from sync.admin.exports import resource_of
from sync.domain.pricing import Money
from sync.domain.quantities import as_text
from sync.domain.remedies import FINDINGS
from sync.models import Finding, ReportRun, UsageReport


def _amount(money: Sequence[Money]) -> Decimal | str | None:
    """Return an amount that can be added up; of several currencies, both, in the order of the next column."""
    if len(money) < 2:
        return money[0].major if money else None
    return " + ".join(as_text(one.major) for one in money)


REPORTS = resource_of(
    UsageReport,
    {
        "report": lambda report: report.pk,
        "status": lambda report: report.status_word,
        "stripe_customer": lambda report: report.enrolment.customer.stripe_id,
        "customer": lambda report: report.enrolment.customer.name,
        "stripe_meter": lambda report: report.enrolment.meter.stripe_id,
        "meter": lambda report: report.enrolment.meter.slug,
        "slice_start": lambda report: report.slice_start,
        "slice_end": lambda report: report.slice_end,
        "revision": lambda report: report.revision,
        "measured": lambda report: report.measured,
        "carried": lambda report: report.carried,
        "carries_usage_of_report": lambda report: report.corrects_id,
        "units": lambda report: report.quantity,
        "value_for_stripe": lambda report: report.value,
        "estimated_amount": lambda report: _amount(report.worth.money),
        "currency": lambda report: " + ".join(one.currency.upper() for one in report.worth.money),
        "amount_depends_on_tiers": lambda report: report.worth.is_estimate if report.worth.money else None,
        "event_at": lambda report: report.event_at,
        "closes_at": lambda report: report.closes_at,
        "identifier": lambda report: report.identifier,
        "attempts": lambda report: report.attempts,
        "first_sent_at": lambda report: report.first_sent_at,
        "delivered_at": lambda report: report.delivered_at,
        "stripe_request": lambda report: report.stripe_request_id,
        "written_off": lambda report: report.written_off,
        "why": lambda report: report.error,
        "decision": lambda report: report.decision,
        "run": lambda report: report.run_id,
    },
)

RUNS = resource_of(
    ReportRun,
    {
        "run": lambda run: run.pk,
        "kind": lambda run: run.kind,
        "status": lambda run: run.status,
        "trigger": lambda run: run.trigger,
        "requested_by": lambda run: run.requested_by,
        "dry_run": lambda run: run.dry_run,
        "scope": lambda run: json.dumps(run.scope, sort_keys=True) if run.scope else "",
        "queued_at": lambda run: run.queued_at,
        "started_at": lambda run: run.started_at,
        "finished_at": lambda run: run.finished_at,
        "counters": lambda run: ", ".join(
            f"{name}: {count}" for name, count in sorted(run.counters.items()) if count
        ),
        "runs_with_nothing_to_do": lambda run: run.idle_runs,
        "error": lambda run: run.error,
        "notes": lambda run: run.notes,
    },
)

FINDING_ROWS = resource_of(
    Finding,
    {
        "finding": lambda finding: finding.pk,
        "kind": lambda finding: finding.get_kind_display(),
        "what": lambda finding: finding.message,
        "what_to_do": lambda finding: FINDINGS[finding.kind],
        "stripe_customer": lambda finding: finding.customer.stripe_id if finding.customer else None,
        "customer": lambda finding: finding.customer.name if finding.customer else None,
        "stripe_meter": lambda finding: finding.meter.stripe_id if finding.meter else None,
        "meter": lambda finding: finding.meter.slug if finding.meter else None,
        "subscription_item": lambda finding: finding.item.stripe_id if finding.item else None,
        "found_at": lambda finding: finding.found_at,
        "seen_at": lambda finding: finding.seen_at,
        "resolved_at": lambda finding: finding.resolved_at,
        "resolution": lambda finding: finding.resolution,
    },
)
