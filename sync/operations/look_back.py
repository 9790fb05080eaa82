"""Once a day, let a run find what OpenMeter came to tell otherwise than it was measured."""

import logging
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime

from sync.models import Meter
from sync.operations.plan_changed_days import mark_days_compared, meters_to_compare, plan_changed_days
from sync.operations.plan_meters import Remarks, unplannable
from sync.operations.plan_reports import MeterPlan, PlanningRules
from sync.operations.report_request import ReportRequest, ReportRules
from sync.ports import SyncError, UsageSource
from sync.queries.pauses import pauses_of
from sync.queries.planning import enrolments_in

logger = logging.getLogger("sync.report")


@dataclass(frozen=True, slots=True, kw_only=True)
class Watched:
    """How a run keeps plans, says how far it is, and is told to stop."""

    keep: Callable[[MeterPlan], bool]
    """Stores a plan; whether all of it was stored."""
    progress: Callable[[int, int], None]
    should_stop: Callable[[], bool]
    alive: Callable[[], None]
    """Called after every answer of OpenMeter."""


def is_due(request: ReportRequest, *, now: datetime) -> bool:
    """Whether a run that is asked for this has days to compare."""
    return request.looks_back and meters_to_compare(request.scope, now=now).exists()


def look_back(
    *,
    request: ReportRequest,
    source: UsageSource,
    rules: ReportRules,
    clock: Callable[[], datetime],
    remarks: Remarks,
    watched: Watched,
) -> None:
    """The days of every meter in scope were compared within the last day, and what had changed was planned.

    A meter is marked once all of its days were; one that fails, or is left when the run has to stop, is
    the first of the next run. Safe to repeat: days that were planned again agree.
    """
    now = clock()
    due = [meter for meter in meters_to_compare(request.scope, now=now) if not meter.obstacle]
    standing = {pause.meter_id for pause in pauses_of(enrolments_in(request.scope)) if pause.meter_id}
    for number, meter in enumerate(due):
        watched.progress(number, len(due))
        if watched.should_stop():
            left = len(due) - number
            remarks.notes.append(
                f"Days of {left} meters are not compared yet; the next run goes on with them."
            )
            return
        if meter.pk not in standing:
            _compare(meter, request, source, rules, now, remarks, watched)
    watched.progress(len(due), len(due))


def _compare(
    meter: Meter,
    request: ReportRequest,
    source: UsageSource,
    rules: ReportRules,
    now: datetime,
    remarks: Remarks,
    watched: Watched,
) -> None:
    planning = PlanningRules(tail=rules.tail, brake_percent=rules.brake_percent)
    plans = plan_changed_days(
        meter=meter,
        scope=request.scope,
        source=source,
        rules=planning,
        now=now,
        on_answer=watched.alive,
    )
    try:
        is_whole = True
        for plan in plans:
            is_whole = watched.keep(plan) and is_whole
            if watched.should_stop():
                return
    except SyncError as error:
        # Reporting itself goes on without it, so this alone is no failure of the run.
        remarks.errors.append(f"The days of {meter.slug} could not be compared: {error}")
    except Exception as error:
        # A fault of ours with one meter must not stop the others, nor what is due already.
        logger.exception("days.not_compared", extra={"meter": meter.stripe_id})
        remarks.fail(unplannable(meter, error))
    else:
        if meter.filters:
            remarks.untaken.add(meter.openmeter_slug)
        if is_whole:
            mark_days_compared(meter, now=now)
