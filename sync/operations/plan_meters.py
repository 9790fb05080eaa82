"""Plan every meter of a request: those together that one OpenMeter meter feeds."""

import logging
from collections import defaultdict
from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from functools import partial

from django.db.models import Min, QuerySet

from sync.domain.filters import Filters
from sync.domain.timeline import HOUR, floor_to
from sync.models import BillingPeriod, Enrolment, Meter
from sync.operations.collect_usage import Collected
from sync.operations.compare_days import agrees
from sync.operations.plan_reports import (
    DueMeter,
    MeterPlan,
    PlanningRules,
    due_slices,
    measure_together,
    plan_meter,
)
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
    untaken: set[str] = field(default_factory=set)
    """OpenMeter meters of which there may be usage that no meter takes."""

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

    One query to OpenMeter per meter of its own and stretch of time. What fails for one of them is said in
    `remarks`, and does not stop the others. A generator: each plan may be stored, and forgotten, before the
    next is made; only meters that share their answers are held together.
    """
    in_scope = enrolments_in(request.scope)
    meters = _soonest_closing_first(Meter.objects.filter(pk__in=in_scope.values("meter")), now=clock())
    billed = set(living_items().values_list("meter", flat=True).distinct())
    standing = _say_what_is_paused(in_scope, request.as_if_over, remarks)
    together: dict[str, list[Meter]] = defaultdict(list)
    for meter in meters:
        if meter.obstacle:
            # If nobody is billed on it any more, it is history, not trouble.
            remarks.errors += [meter.obstacle] if meter.pk in billed else []
        elif meter.pk not in standing:
            together[meter.openmeter_slug].append(meter)
    others = _filters_of_others(billed, asked={one.pk for each in together.values() for one in each})
    for number, (slug, sharing) in enumerate(together.items()):
        progress(number, len(together))
        planning = _Planning(
            meters=sharing,
            others=others[slug],
            billed=billed,
            request=request,
            source=source,
            rules=PlanningRules(tail=rules.tail, brake_percent=rules.brake_percent, limit=request.window),
            now=request.as_of or clock(),
            remarks=remarks,
            alive=partial(progress, number, len(together)),
        )
        yield from planning.plans()
    progress(len(together), len(together))


def _filters_of_others(billed: Iterable[int], *, asked: Iterable[int]) -> dict[str, list[Filters]]:
    """Return, by slug, what the meters take that somebody is billed on and that are not measured now."""
    by_slug: dict[str, list[Filters]] = defaultdict(list)
    for meter in Meter.objects.filter(pk__in=set(billed)).exclude(pk__in=set(asked)):
        if not meter.obstacle:
            by_slug[meter.openmeter_slug].append(meter.filters)
    return by_slug


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


@dataclass(frozen=True, slots=True, kw_only=True)
class _Planning:
    """Meters that one OpenMeter meter feeds, which are measured by the same answers."""

    meters: Sequence[Meter]
    others: Sequence[Filters]
    billed: Collection[int]
    """Meters that somebody has a living item on."""
    request: ReportRequest
    source: UsageSource
    rules: PlanningRules
    now: datetime
    remarks: Remarks
    alive: Callable[[], None]

    def plans(self) -> Iterator[MeterPlan]:
        """Yield what can be planned. A failing query fails all of them, a fault with one meter that one."""
        due: list[DueMeter] = []
        for meter in self.meters:
            with self._telling_of(meter):
                due.append(self._due(meter))
        collected: Collected | None = None
        with self._telling_of(*(one.meter for one in due)):
            if due:
                collected = self._measured(due)
        while due and collected:
            one, plan = due.pop(0), None
            with self._telling_of(one.meter):
                plan = plan_meter(
                    due=one,
                    collected=collected,
                    rules=self.rules,
                    now=self.now,
                    is_confirmed=partial(self._is_confirmed, one),
                )
            if plan:
                yield plan

    @contextmanager
    def _telling_of(self, *meters: Meter) -> Iterator[None]:
        """Say what goes wrong, instead of letting it stop other meters and what is due already."""
        try:
            yield
        except SyncError as error:
            self.remarks.fail(str(error))
        except Exception as error:
            for meter in meters:
                logger.exception("meter.not_planned", extra={"meter": meter.stripe_id})
                self.remarks.fail(unplannable(meter, error))

    def _measured(self, due: Sequence[DueMeter]) -> Collected:
        collected = measure_together(
            due=[replace(one, is_living=one.meter.pk in self.billed) for one in due],
            others=self.others,
            source=self.source,
            rules=self.rules,
            now=self.now,
            on_answer=self.alive,
        )
        if collected.untaken:
            self.remarks.untaken.add(due[0].meter.openmeter_slug)
        return collected

    def _is_confirmed(self, due: DueMeter, had_usage: bool) -> bool:  # noqa: FBT001 - the planner's question
        return agrees(
            meter=due.meter,
            enrolments=[one for one, _slices in due.enrolments],
            source=self.source,
            horizon=floor_to(self.now - timedelta(seconds=due.meter.settle_seconds), HOUR),
            had_usage=had_usage,
            on_answer=self.alive,
        )

    def _due(self, meter: Meter) -> DueMeter:
        since = self.request.window.start if self.request.window else self.now - self.rules.tail
        enrolments = enrolments_to_plan(
            meter,
            scope=self.request.scope,
            since=floor_to(since, HOUR),
            now=self.now,
            as_if_over=self.request.as_if_over,
        )
        return due_slices(meter=meter, enrolments=enrolments, rules=self.rules, now=self.now)


def unplannable(meter: Meter, error: Exception) -> str:
    """Return the sentence for a fault of ours that kept a meter's usage from being planned."""
    return (
        f"Meter {meter.slug} could not be planned ({type(error).__name__}); report usage again, "
        "and tell those who look after the console if it stays so."
    )
