"""Mirror Stripe, all of it or what changed, and learn what it refused after it had taken it."""

from collections import Counter
from collections.abc import Callable
from dataclasses import replace
from datetime import datetime, timedelta

from sync.operations.conclude_mirror import MirrorSummary
from sync.operations.mirror_lists import Progress
from sync.operations.mirror_stripe import mirror_stripe
from sync.operations.read_changes import read_changes
from sync.operations.read_refusals import read_refusals
from sync.ports import BillingGateway, UsageSource


def mirror_whole(
    *,
    stripe: BillingGateway,
    openmeter: UsageSource,
    clock: Callable[[], datetime],
    invoice_grace: timedelta,
    progress: Progress,
) -> MirrorSummary:
    """The tables show what Stripe has now, as after `mirror_stripe`.

    A sync that went on where another had stopped has read part of its lists long ago, so what changed in
    Stripe since is read again, too. What it refused since the last look is refused in the ledger.
    """
    summary = _mirror(
        stripe=stripe, openmeter=openmeter, clock=clock, invoice_grace=invoice_grace, progress=progress
    )
    problem = read_refusals(stripe=stripe, openmeter=openmeter, clock=clock, invoice_grace=invoice_grace)
    return replace(summary, refusals_problem=problem)


def mirror_changes(
    *,
    stripe: BillingGateway,
    openmeter: UsageSource,
    clock: Callable[[], datetime],
    invoice_grace: timedelta,
    progress: Progress,
) -> MirrorSummary:
    """The tables show what changed, as after `read_changes`, and what Stripe refused, as `mirror_whole`."""
    summary = read_changes(
        stripe=stripe, openmeter=openmeter, clock=clock, invoice_grace=invoice_grace, progress=progress
    )
    problem = read_refusals(stripe=stripe, openmeter=openmeter, clock=clock, invoice_grace=invoice_grace)
    return replace(summary, refusals_problem=problem)


def _mirror(
    *,
    stripe: BillingGateway,
    openmeter: UsageSource,
    clock: Callable[[], datetime],
    invoice_grace: timedelta,
    progress: Progress,
) -> MirrorSummary:
    summary = mirror_stripe(
        stripe=stripe, openmeter=openmeter, clock=clock, invoice_grace=invoice_grace, progress=progress
    )
    if not summary.went_on:
        return summary
    since = read_changes(
        stripe=stripe, openmeter=openmeter, clock=clock, invoice_grace=invoice_grace, progress=progress
    )
    return replace(
        summary,
        seen=dict(Counter(summary.seen) + Counter(since.seen)),
        changed=dict(Counter(summary.changed) + Counter(since.changed)),
        new_findings=summary.new_findings + since.new_findings,
        resolved_findings=summary.resolved_findings + since.resolved_findings,
        openmeter_problem=summary.openmeter_problem or since.openmeter_problem,
    )
