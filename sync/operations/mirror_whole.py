"""Mirror all of Stripe, and what changed meanwhile where that took more than one attempt."""

from collections import Counter
from collections.abc import Callable
from dataclasses import replace
from datetime import datetime, timedelta

from sync.operations.conclude_mirror import MirrorSummary
from sync.operations.mirror_lists import Progress
from sync.operations.mirror_stripe import mirror_stripe
from sync.operations.read_changes import read_changes
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
    Stripe since is read again, too.
    """
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
