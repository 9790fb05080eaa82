"""Mirror Stripe as the first step of a run, which goes on with what is known where that fails."""

from collections.abc import Callable
from datetime import datetime

from sync.operations.mirror_lists import count_in, step_of
from sync.operations.mirror_whole import mirror_whole
from sync.operations.plan_meters import Remarks
from sync.operations.report_request import ReportRules
from sync.ports import BillingGateway, SyncError, UsageSource


def mirror_for_run(
    *,
    stripe: BillingGateway,
    openmeter: UsageSource,
    rules: ReportRules,
    clock: Callable[[], datetime],
    remarks: Remarks,
    progress: Callable[[str, int, int], None],
    should_stop: Callable[[], bool],
) -> bool:
    """Stripe is mirrored, or `remarks` say why not; return False where the run was asked to stop."""

    def go_on(what: str) -> None:
        progress(step_of(what), count_in(what), 0)
        if should_stop():
            raise _StopAsked

    try:
        summary = mirror_whole(
            stripe=stripe,
            openmeter=openmeter,
            clock=clock,
            invoice_grace=rules.invoice_grace,
            progress=go_on,
        )
    except _StopAsked:
        return False
    except SyncError as error:
        # What is known already can still be reported; nothing beyond known periods is planned.
        remarks.fail(f"Stripe could not be read: {error}")
        return True
    remarks.notes += filter(None, (summary.invoices_problem, summary.refusals_problem))
    if summary.openmeter_problem:
        remarks.fail(summary.openmeter_problem)
    return True


class _StopAsked(Exception):
    """Somebody asked the run to stop while it read Stripe."""
