"""What a background worker is asked to do. Tasks take ids only, and change nothing when they run twice."""

from django.utils import timezone

from sync.models import ReportRun
from sync.operations.keep_run import RunIsTaken, fail_queued_run
from sync.operations.report_request import ReportRequest
from sync.operations.report_usage import report_usage
from sync.operations.sync_stripe import sync_stripe
from sync.ports import SyncError
from sync.wiring import connect

SCHEDULE = ReportRun.Trigger.SCHEDULE
BY_SCHEDULE = "schedule"
"""Who asked, where nobody did."""


def carry_out_run(run_id: int) -> str:
    """A queued run is carried out; return how it ended, for the task's record."""
    return _carry_out(ReportRun.objects.get(pk=run_id))


def report_on_schedule() -> str:
    """What has closed since the last run was reported, and every due retry; Stripe is not mirrored first."""
    request = ReportRequest(sync=False, trigger=SCHEDULE, requested_by=BY_SCHEDULE)
    return _carry_out(request.as_run(now=timezone.now()))


def sync_on_schedule() -> str:
    """All of Stripe was mirrored."""
    kind = ReportRun.Kind.SYNC
    return _carry_out(
        ReportRun(kind=kind, trigger=SCHEDULE, requested_by=BY_SCHEDULE, queued_at=timezone.now())
    )


def _carry_out(run: ReportRun) -> str:
    try:
        connections = connect()
        if run.kind == ReportRun.Kind.SYNC:
            sync_stripe(
                run=run,
                stripe=connections.stripe,
                openmeter=connections.openmeter,
                invoice_grace=connections.config.invoice_grace,
                clock=timezone.now,
            )
        else:
            report_usage(
                run=run,
                request=ReportRequest.of_run(run),
                stripe=connections.stripe,
                openmeter=connections.openmeter,
                rules=connections.rules,
                clock=timezone.now,
            )
    except RunIsTaken:
        return "Somebody else carries it out, or did."
    except SyncError as error:
        fail_queued_run(run, error=str(error), now=timezone.now())
        return str(error)
    return f"{run}: {run.status}"
