"""The one place that queues: what is stored is handed to a worker once that is committed."""

from functools import partial

from django.db import transaction
from django_q.tasks import async_task

from sync.models import ReportRun

CARRY_OUT = "sync.tasks.carry_out_run"
HANDLE_NOTICES = "sync.tasks.handle_notices_of_stripe"


def enqueue_run(run: ReportRun) -> ReportRun:
    """The run is stored as queued, and a worker gets its id after the commit; return it.

    If the queue loses the task, the run stays queued for everybody to see; if it hands the task out twice,
    the run is carried out once.
    """
    run.status = ReportRun.Status.QUEUED
    run.save()
    transaction.on_commit(partial(_hand_over, run.pk))
    return run


def _hand_over(run_id: int) -> None:
    async_task(CARRY_OUT, run_id, task_name=f"run {run_id}", group="runs")


def enqueue_notices() -> None:
    """A worker looks after the notices that wait, after the commit.

    A queue that does not answer is no reason to have Stripe send them again: the schedule takes them, too.
    """
    transaction.on_commit(_hand_over_notices, robust=True)


def _hand_over_notices() -> None:
    async_task(HANDLE_NOTICES, task_name="notices", group="notices", save=False)
