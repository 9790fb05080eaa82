"""Ask a run to stop: at once where nobody began it, else at its next look."""

from datetime import datetime

from sync.models import ReportRun
from sync.operations.keep_run import interrupt_lapsed_runs
from sync.ports import InvalidInput
from sync.queries.planning import Scope
from sync.queries.waiting_reports import pending_sentence

Status = ReportRun.Status


def cancel_run(*, run_id: int, why: str, who: str, now: datetime) -> ReportRun:
    """The run is cancelled, or was told to stop and does so once the calls under way have ended; return it.

    Nothing is torn: what was sent is in the ledger, what was planned stays pending. Raises `InvalidInput`
    without a reason, for a run that is over, and for one that was asked to stop before.
    """
    if not why.strip():
        msg = "A run is cancelled for a reason: say why."
        raise InvalidInput(msg)
    interrupt_lapsed_runs(now=now)
    asked = {"cancel_asked_at": now, "cancel_asked_by": who, "cancel_reason": why.strip()}
    runs = ReportRun.objects.filter(pk=run_id, cancel_asked_at=None)
    # A worker begins a queued run by compare-and-set, too, so one of the two wins.
    was_queued = runs.filter(status=Status.QUEUED).update(status=Status.CANCELLED, finished_at=now, **asked)
    if not (was_queued or runs.filter(status=Status.RUNNING).update(**asked)):
        raise InvalidInput(_why_not(run_id))
    run = ReportRun.objects.get(pk=run_id)
    if was_queued:
        run.notes = _untouched(run)
        run.save(update_fields=["notes"])
    return run


def _why_not(run_id: int) -> str:
    run = ReportRun.objects.filter(pk=run_id).first()
    if run is None:
        return f"There is no run {run_id}."
    if run.status == Status.RUNNING:
        return f"Run {run_id} was asked to stop already, by {run.cancel_asked_by}; it does so soon."
    return f"Run {run_id} is over already: it ended {run.status}."


def _untouched(run: ReportRun) -> str:
    if run.kind != ReportRun.Kind.REPORT:
        return "It had not begun, so nothing was read."
    left = pending_sentence(Scope.stored(run.scope))
    return f"It had not begun, so nothing was planned or sent by it.\n{left}"
