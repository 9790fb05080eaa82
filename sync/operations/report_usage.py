"""The main job: mirror, collect, plan, deliver, and one record of it all."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime

from sync.models import ReportRun
from sync.operations.begin_run import begin_checked_run
from sync.operations.keep_run import interrupt_lapsed_runs
from sync.operations.report_job import Progress, ReportJob
from sync.operations.report_request import ReportRequest, ReportRules, check_window
from sync.ports import BillingGateway, SyncError, UsageSource
from sync.queries.report_lines import ReportLine
from sync.queries.waiting_reports import count_waiting


@dataclass(frozen=True, slots=True, kw_only=True)
class ReportResult:
    """What a run came to. `lines` are what Stripe was told (or, on a dry run, would be)."""

    run: ReportRun
    lines: Sequence[ReportLine]
    errors: Sequence[str]
    notes: Sequence[str]
    """What people should know although it is no fault: what is paused."""
    undecided: Mapping[str, int]
    """Status → how many reports of the scope wait for a person, from this run or an earlier one."""


def report_usage(
    *,
    request: ReportRequest,
    stripe: BillingGateway,
    openmeter: UsageSource,
    rules: ReportRules,
    clock: Callable[[], datetime],
    run: ReportRun | None = None,
    progress: Progress = lambda _step, _done, _total: None,
    should_stop: Callable[[], bool] = lambda: False,
) -> ReportResult:
    """All that has closed in scope was measured and reported, or the ledger says what stands in the way.

    The result's run (`run`, where it was queued before) is stored whatever happened. A dry run stores no
    report and sends nothing. Safe to repeat: a second run finds nothing left to do. Raises `SyncError` where
    nothing could be begun, `InvalidInput` for a scope or window that makes no sense, and `RunIsTaken` where
    the queued run was carried out or cancelled before.
    """
    now = clock()
    if request.window:
        check_window(request.window, now=now)
    interrupt_lapsed_runs(now=now)
    run = run or request.as_run(now=now)
    begin_checked_run(run, stripe, now=now)
    job = ReportJob(run, request, stripe, openmeter, rules, clock, progress, should_stop)
    try:
        job.work()
    except SyncError as error:
        job.end(ReportRun.Status.FAILED, str(error))
        raise
    except BaseException as error:
        job.end(
            ReportRun.Status.FAILED,
            f"The run stopped unexpectedly ({type(error).__name__}); the next run completes it.",
        )
        raise
    job.end(job.status(), "\n".join(job.remarks.errors), is_full=job.is_full())
    return ReportResult(
        run=run,
        lines=job.lines,
        errors=job.remarks.errors,
        notes=job.remarks.notes,
        undecided=count_waiting(request.scope),
    )
