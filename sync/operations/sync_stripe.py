"""Mirror Stripe as a run of its own, so that everybody sees when it was done and what came of it."""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime, timedelta

from sync.models import ReportRun
from sync.operations.begin_run import begin_checked_run
from sync.operations.conclude_mirror import MirrorSummary
from sync.operations.keep_run import Heartbeat, end_run, interrupt_lapsed_runs
from sync.operations.mirror_lists import count_in, step_of
from sync.operations.mirror_whole import mirror_changes, mirror_whole
from sync.ports import BillingGateway, SyncError, UsageSource
from sync.queries.pauses import open_pauses
from sync.queries.unfinished_sync import unfinished_sync

Status = ReportRun.Status


@dataclass(frozen=True, slots=True, kw_only=True)
class SyncResult:
    """A sync's run and what it saw; no summary where it was stopped."""

    run: ReportRun
    summary: MirrorSummary | None


class _Stopped(Exception):
    """The run has to end while it reads Stripe."""

    def __init__(self, status: ReportRun.Status) -> None:
        super().__init__()
        self.status = status


def sync_stripe(
    *,
    run: ReportRun,
    stripe: BillingGateway,
    openmeter: UsageSource,
    invoice_grace: timedelta,
    clock: Callable[[], datetime],
    progress: Callable[[str], None] = lambda _what: None,
    time_is_up: Callable[[], bool] = lambda: False,
) -> SyncResult:
    """The mirror is up to date, and the run says what was seen; safe to repeat.

    A run of the kind `changes` reads only what changed since the last one. The run has failed where Stripe
    could not be read, which raises the `SyncError`; it is partial where only OpenMeter did not answer, or
    where its time was up. Raises `RunIsTaken` as `begin_run` does.
    """
    interrupt_lapsed_runs(now=clock())
    begin_checked_run(run, stripe, now=clock())
    heart = Heartbeat(run, clock)

    def watch(what: str) -> None:
        progress(what)
        heart.progress(step_of(what), count_in(what), 0)
        if heart.cancelled():
            raise _Stopped(Status.CANCELLED)
        if time_is_up():
            raise _Stopped(Status.PARTIAL)

    mirror = mirror_changes if run.kind == ReportRun.Kind.CHANGES else mirror_whole
    try:
        summary = mirror(
            stripe=stripe, openmeter=openmeter, clock=clock, invoice_grace=invoice_grace, progress=watch
        )
    except _Stopped as stopped:
        note = "It was stopped; what was read until then is kept, and the next sync completes it."
        how_far = unfinished_sync(now=clock())
        end_run(run, status=stopped.status, notes=[note, *([how_far] if how_far else [])], now=clock())
        return SyncResult(run=run, summary=None)
    except SyncError as error:
        end_run(run, status=Status.FAILED, error=str(error), now=clock())
        raise
    except BaseException as error:
        sentence = f"The sync stopped unexpectedly ({type(error).__name__}); the next one completes it."
        end_run(run, status=Status.FAILED, error=sentence, now=clock())
        raise
    end_run(
        run,
        status=Status.PARTIAL if summary.openmeter_problem else Status.SUCCEEDED,
        counters=_counters(summary),
        error=summary.openmeter_problem,
        notes=_notes(run, summary),
        now=clock(),
    )
    return SyncResult(run=run, summary=summary)


def _notes(run: ReportRun, summary: MirrorSummary) -> list[str]:
    remark = [one for one in (summary.remark, summary.invoices_problem, summary.refusals_problem) if one]
    if run.kind == ReportRun.Kind.CHANGES:
        return remark
    return [*remark, *(pause.sentence for pause in open_pauses())]


def _counters(summary: MirrorSummary) -> dict[str, int]:
    return {
        **{f"{kind} seen": count for kind, count in summary.seen.items()},
        **{f"{kind} changed": count for kind, count in summary.changed.items()},
        "new findings": summary.new_findings,
        "resolved findings": summary.resolved_findings,
    }
