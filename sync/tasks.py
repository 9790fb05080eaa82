"""What a background worker is asked to do. Tasks take ids only, and change nothing when they run twice."""

import os
import socket
import time
from collections.abc import Callable
from dataclasses import replace
from datetime import timedelta

from django.utils import timezone

from sync.models import ReportRun
from sync.operations.fold_idle_runs import fold_idle_runs
from sync.operations.handle_notices import handle_notices
from sync.operations.keep_run import RunIsTaken, fail_queued_run
from sync.operations.reconcile_usage import ReconcileRequest, reconcile_usage
from sync.operations.report_request import ReportRequest
from sync.operations.report_usage import report_usage
from sync.operations.show_worker import show_worker
from sync.operations.sync_stripe import sync_stripe
from sync.operations.watch_reporting import watch_reporting
from sync.ports import SyncError
from sync.queries.unfinished_sync import goes_on_by_itself
from sync.queries.waiting_runs import forgotten_run
from sync.stopping import is_asked_to_stop
from sync.wiring import connect

SCHEDULE = ReportRun.Trigger.SCHEDULE
BY_SCHEDULE = "schedule"
"""Who asked, where nobody did."""


def carry_out_run(run_id: int) -> str:
    """A queued run is carried out; return how it ended, for the task's record."""
    return _carry_out(ReportRun.objects.get(pk=run_id))


def report_on_schedule() -> str:
    """What has closed since the last run was reported, and every due retry; Stripe is not mirrored first.

    Afterwards a queued run that its task was lost of is carried out, and idle runs of yesterday are folded.
    """
    request = ReportRequest(sync=False, trigger=SCHEDULE, requested_by=BY_SCHEDULE)
    ended = _carry_out(request.as_run(now=timezone.now()))
    if forgotten := forgotten_run(now=timezone.now()):
        ended = f"{ended}; {_carry_out(forgotten)}"
    fold_idle_runs(now=timezone.now())
    return ended


def read_changes_on_schedule() -> str:
    """What changed in Stripe since it was last read is mirrored, or an interrupted full sync went on."""
    goes_on = goes_on_by_itself(now=timezone.now())
    return _carry_out(_scheduled(ReportRun.Kind.SYNC if goes_on else ReportRun.Kind.CHANGES))


def sync_on_schedule() -> str:
    """All of Stripe was mirrored."""
    return _carry_out(_scheduled(ReportRun.Kind.SYNC))


def reconcile_on_schedule() -> str:
    """OpenMeter, the ledger, Stripe's totals and its final invoices were compared."""
    return _carry_out(_scheduled(ReportRun.Kind.RECONCILE))


def watch_on_schedule() -> str:
    """This worker has shown itself, and ADMINS know what keeps usage from being billed in time."""
    now = timezone.now()
    show_worker(f"{socket.gethostname()[:60]}, process {os.getpid()}", now=now)
    health = watch_reporting(now=now)
    return "; ".join(problem.sentence for problem in health.problems)


def handle_notices_of_stripe() -> str:
    """What Stripe told by webhook was worked on, whether a webhook asked for this or the schedule did."""
    try:
        connections = connect()
        handled = handle_notices(
            stripe=connections.stripe,
            openmeter=connections.openmeter,
            invoice_grace=connections.config.invoice_grace,
            clock=timezone.now,
            time_is_up=_time_is_up(connections.config.run_budget),
        )
    except SyncError as error:
        return str(error)
    return f"{handled.done} handled, {handled.left} left"


def _scheduled(kind: ReportRun.Kind) -> ReportRun:
    return ReportRun(kind=kind, trigger=SCHEDULE, requested_by=BY_SCHEDULE, queued_at=timezone.now())


def _carry_out(run: ReportRun) -> str:
    try:
        connections = connect()
        budget = connections.config.run_budget
        if run.kind == ReportRun.Kind.REPORT:
            report_usage(
                run=run,
                request=ReportRequest.of_run(run),
                stripe=connections.stripe,
                openmeter=connections.openmeter,
                rules=replace(connections.rules, time_is_up=_time_is_up(budget)),
                clock=timezone.now,
            )
        elif run.kind == ReportRun.Kind.RECONCILE:
            reconcile_usage(
                run=run,
                request=ReconcileRequest.of_run(run),
                stripe=connections.stripe,
                openmeter=connections.openmeter,
                tail=connections.config.tail,
                clock=timezone.now,
                time_is_up=_time_is_up(2 * budget),
            )
        else:
            sync_stripe(
                run=run,
                stripe=connections.stripe,
                openmeter=connections.openmeter,
                invoice_grace=connections.config.invoice_grace,
                clock=timezone.now,
                # A sync has little to show before it is finished, so it gets more.
                time_is_up=_time_is_up(2 * budget),
            )
    except RunIsTaken:
        return "Somebody else carries it out, or did."
    except SyncError as error:
        fail_queued_run(run, error=str(error), now=timezone.now())
        return str(error)
    return f"{run}: {run.status}"


def _time_is_up(budget: timedelta) -> Callable[[], bool]:
    """Return what tells a run to leave the rest to the next one: its budget is spent, or the worker ends."""
    deadline = time.monotonic() + budget.total_seconds()
    return lambda: time.monotonic() >= deadline or is_asked_to_stop()
