"""Mirror Stripe as a run of its own, so that everybody sees when it was done and what came of it."""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime, timedelta

from sync.models import ReportRun
from sync.operations.begin_run import begin_checked_run
from sync.operations.keep_run import Heartbeat, end_run, interrupt_lapsed_runs
from sync.operations.mirror_stripe import MirrorSummary, mirror_stripe
from sync.ports import BillingGateway, SyncError, UsageSource
from sync.queries.pauses import open_pauses

Status = ReportRun.Status
STEP = "Reading Stripe"


@dataclass(frozen=True, slots=True, kw_only=True)
class SyncResult:
    """A sync's run and what it saw; no summary where it was cancelled."""

    run: ReportRun
    summary: MirrorSummary | None


class _Cancelled(Exception):
    """Somebody asked the run to stop while it read Stripe."""


def sync_stripe(
    *,
    run: ReportRun,
    stripe: BillingGateway,
    openmeter: UsageSource,
    invoice_grace: timedelta,
    clock: Callable[[], datetime],
    progress: Callable[[str], None] = lambda _what: None,
) -> SyncResult:
    """The mirror is up to date, and the run says what was seen; safe to repeat.

    The run has failed where Stripe could not be read, which raises the `SyncError`; it is partial where
    only OpenMeter did not answer. Raises `RunIsTaken` as `begin_run` does.
    """
    interrupt_lapsed_runs(now=clock())
    begin_checked_run(run, stripe, now=clock())
    heart = Heartbeat(run, clock)

    def watch(what: str) -> None:
        progress(what)
        heart.progress(f"{STEP}: {what.partition(':')[0]}", _count(what), 0)
        if heart.cancelled():
            raise _Cancelled

    try:
        summary = mirror_stripe(
            stripe=stripe, openmeter=openmeter, clock=clock, invoice_grace=invoice_grace, progress=watch
        )
    except _Cancelled:
        note = "What was read until then is kept; the next sync completes it."
        end_run(run, status=Status.CANCELLED, notes=[note], now=clock())
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
        notes=[pause.sentence for pause in open_pauses()],
        now=clock(),
    )
    return SyncResult(run=run, summary=summary)


def _count(what: str) -> int:
    number = what.rpartition(":")[2].strip()
    return int(number) if number.isdecimal() else 0


def _counters(summary: MirrorSummary) -> dict[str, int]:
    return {
        **{f"{kind} seen": count for kind, count in summary.seen.items()},
        **{f"{kind} changed": count for kind, count in summary.changed.items()},
        "new findings": summary.new_findings,
        "resolved findings": summary.resolved_findings,
    }
