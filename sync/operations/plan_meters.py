"""Plan every meter of a request, one after the other."""

import logging
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from datetime import datetime
from functools import partial

from django.db.models import Min, QuerySet

from sync.domain.timeline import HOUR, floor_to
from sync.models import BillingPeriod, Enrolment, Meter
from sync.operations.plan_reports import MeterPlan, PlanningRules, plan_meter
from sync.operations.report_request import ReportRequest, ReportRules
from sync.ports import SyncError, UsageSource
from sync.queries.pauses import pauses_of
from sync.queries.planning import enrolments_in, enrolments_to_plan
from sync.queries.silent_customers import living_items

logger = logging.getLogger("sync.report")


@dataclass(slots=True, kw_only=True)
class Remarks:
    """What planning has to say: `errors` are what failed, `notes` what stands still on purpose."""

    errors: list[str] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    failures: int = 0
    """How many errors are failures of reporting itself: what stands still for a known reason is none."""

    def fail(self, sentence: str) -> None:
        """Something could not be measured, or not be sent, that should have been."""
        self.errors.append(sentence)
        self.failures += 1


def plan_meters(
    *,
    request: ReportRequest,
    source: UsageSource,
    rules: ReportRules,
    clock: Callable[[], datetime],
    remarks: Remarks,
    progress: Callable[[int, int], None] = lambda _done, _total: None,
) -> Iterator[MeterPlan]:
    """Yield the plan of every meter in scope that can be planned; nothing is written.

    One query to OpenMeter per meter and stretch of time. What fails for one meter is said in `remarks`, and
    does not stop the others. A generator: each plan may be stored, and forgotten, before the next is made.
    """
    in_scope = enrolments_in(request.scope)
    meters = _soonest_closing_first(Meter.objects.filter(pk__in=in_scope.values("meter")), now=clock())
    billed = set(living_items().values_list("meter", flat=True).distinct())
    standing = _say_what_is_paused(in_scope, request.as_if_over, remarks)
    for number, meter in enumerate(meters):
        progress(number, len(meters))
        if meter.obstacle:
            # If nobody is billed on it any more, it is history, not trouble.
            remarks.errors += [meter.obstacle] if meter.pk in billed else []
        elif meter.pk not in standing:
            now, alive = request.as_of or clock(), partial(progress, number, len(meters))
            plan = _try_to_plan(meter, request, source, rules, now, remarks, alive)
            if plan:
                yield plan
    progress(len(meters), len(meters))


def _soonest_closing_first(meters: Iterable[Meter], *, now: datetime) -> list[Meter]:
    """Return the meters in the order in which their next billing periods close."""
    periods = BillingPeriod.objects.filter(finalized_at=None, closes_at__gt=now, item__meter__isnull=False)
    by_meter = periods.order_by().values("item__meter").annotate(first=Min("closes_at"))
    closes_at = dict(by_meter.values_list("item__meter", "first"))
    never = datetime.max.replace(tzinfo=now.tzinfo)
    return sorted(meters, key=lambda meter: (closes_at.get(meter.pk, never), meter.pk))


def _say_what_is_paused(enrolments: QuerySet[Enrolment], as_if_over: int, remarks: Remarks) -> set[int]:
    """Return the meters that stand still, and say of every pause that concerns these that there is one."""
    standing: set[int] = set()
    for pause in pauses_of(enrolments, as_if_over=as_if_over):
        (remarks.errors if pause.by_stripe else remarks.notes).append(pause.sentence)
        if pause.meter_id:
            standing.add(pause.meter_id)
    return standing


def _try_to_plan(
    meter: Meter,
    request: ReportRequest,
    source: UsageSource,
    rules: ReportRules,
    now: datetime,
    remarks: Remarks,
    alive: Callable[[], None],
) -> MeterPlan | None:
    since = request.window.start if request.window else now - rules.tail
    planning = PlanningRules(tail=rules.tail, brake_percent=rules.brake_percent, limit=request.window)
    try:
        enrolments = enrolments_to_plan(
            meter,
            scope=request.scope,
            since=floor_to(since, HOUR),
            now=now,
            as_if_over=request.as_if_over,
        )
        return plan_meter(
            meter=meter, enrolments=enrolments, source=source, rules=planning, now=now, on_answer=alive
        )
    except SyncError as error:
        remarks.fail(str(error))
    except Exception as error:
        # A fault of ours with one meter must not stop the others, nor what is due already.
        logger.exception("meter.not_planned", extra={"meter": meter.stripe_id})
        remarks.fail(unplannable(meter, error))
    return None


def unplannable(meter: Meter, error: Exception) -> str:
    """Return the sentence for a fault of ours that kept a meter's usage from being planned."""
    return (
        f"Meter {meter.slug} could not be planned ({type(error).__name__}); report usage again, "
        "and tell those who look after the console if it stays so."
    )
