"""One run, as its page shows it: how far it is, what came of it, and what it was asked to do."""

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from decimal import Decimal
from typing import Any

from django.contrib.admin.models import LogEntry
from django.contrib.contenttypes.models import ContentType
from django.db.models import Count, Q

from sync.domain.pricing import Money
from sync.domain.quantities import exact_sum
from sync.models import Customer, Meter, Price, ReportRun, Subscription, SubscriptionItem, UsageReport
from sync.queries.planning import Scope
from sync.queries.report_lines import held_before
from sync.queries.reporting_health import WORKER_SILENCE, worker_seen_at

Status = ReportRun.Status

GOES_ON = (Status.QUEUED, Status.RUNNING)
LINES = 100
"""Customers and meters that the page shows lines of."""
READ = 2000
"""Reports that the lines are made of at most: a run may have hundreds of thousands."""
NAMED = 5
"""Subscriptions that are named one by one; of more, the number says more."""
SHOULD_HAVE_BEGUN = timedelta(seconds=5)
"""A worker that is alive and idle takes a queued run sooner than this."""


@dataclass(frozen=True, slots=True, kw_only=True)
class RunStep:
    """Something the run did or does: `done` of `total`, which is 0 where nobody knows it beforehand."""

    name: str
    done: int
    total: int
    took: timedelta
    is_current: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class RunLine:
    """`units` that this run sent reached Stripe for a customer's usage of a meter in `[start, end)`."""

    customer: Customer
    meter: Meter
    prices: Sequence[Price]
    units: Decimal
    start: datetime
    end: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class ConfirmedUnits:
    """What a person confirmed of a meter: `units` in all, `due` of them planned by earlier runs."""

    meter: str
    units: Decimal
    due: Decimal


@dataclass(frozen=True, slots=True, kw_only=True)
class RunPage:
    """What the page shows. `scope` are the things it is limited to; none means everything."""

    run: ReportRun
    goes_on: bool
    took: timedelta | None
    """How long it took, takes so far, or has been waiting."""
    no_worker: bool
    """Whether it waits although it should have begun, and nobody is there to do so."""
    is_slow: bool
    """Whether it waits although a worker is there."""
    steps: Sequence[RunStep]
    reports: Sequence[tuple[str, int]]
    """Status → how many of the reports that this run planned stand so now."""
    sent_for_others: Sequence[tuple[str, int]]
    """Status → how many of the reports that earlier runs planned and this one sent stand so now."""
    failed_calls: int
    scope: Sequence[Customer | Meter | Subscription]
    more_scope: int
    confirmed: Sequence[ConfirmedUnits]
    confirmed_amounts: Sequence[Money]
    lines: Sequence[RunLine]
    more_lines: bool
    history: Sequence[LogEntry]


def run_page(*, run: ReportRun, now: datetime) -> RunPage:
    """Return what a run's page shows; a constant number of queries, and no lines while it goes on."""
    goes_on = run.status in GOES_ON
    scope, more_scope = _scope(Scope.stored(run.scope))
    is_slow = run.status == Status.QUEUED and now - run.queued_at > SHOULD_HAVE_BEGUN
    no_worker = is_slow and not _a_worker_lives(now)
    lines, more_lines = ([], False) if goes_on else _lines(run)
    return RunPage(
        run=run,
        goes_on=goes_on,
        took=_took(run, now),
        no_worker=no_worker,
        is_slow=is_slow and not no_worker,
        steps=[_step(step, now, run) for step in run.steps],
        reports=_by_status(Q(run=run)),
        sent_for_others=_by_status(Q(sent_by=run)),
        failed_calls=run.delivery_attempts.count(),
        scope=scope,
        more_scope=more_scope,
        confirmed=_confirmed(run),
        confirmed_amounts=[Money(Decimal(minor), name) for minor, name in run.shown.get("amounts", [])],
        lines=lines,
        more_lines=more_lines,
        history=list(
            LogEntry.objects.filter(
                content_type=ContentType.objects.get_for_model(ReportRun), object_id=str(run.pk)
            )
            .select_related("user")
            .order_by("pk")
        ),
    )


def _took(run: ReportRun, now: datetime) -> timedelta | None:
    begun = run.started_at or run.queued_at
    return (run.finished_at or now) - begun


def _a_worker_lives(now: datetime) -> bool:
    seen_at = worker_seen_at()
    return seen_at is not None and now - seen_at <= WORKER_SILENCE


def _step(kept: dict[str, Any], now: datetime, run: ReportRun) -> RunStep:
    end = datetime.fromisoformat(kept["finished_at"]) if kept["finished_at"] else run.finished_at or now
    return RunStep(
        name=kept["name"],
        done=kept["done"],
        total=kept["total"],
        took=max(timedelta(0), end - datetime.fromisoformat(kept["started_at"])),
        is_current=kept["finished_at"] is None and run.status == Status.RUNNING,
    )


def _scope(scope: Scope) -> tuple[list[Customer | Meter | Subscription], int]:
    found: list[Customer | Meter | Subscription] = []
    if scope.customer:
        found += Customer.objects.filter(stripe_id=scope.customer)
    if scope.meter:
        found += Meter.objects.filter(openmeter_slug=scope.meter) or Meter.objects.filter(
            event_name=scope.meter
        )
    if scope.subscriptions:
        chosen = Subscription.objects.filter(stripe_id__in=scope.subscriptions).select_related("customer")
        found += chosen.order_by("customer__name", "pk")[:NAMED]
    return found, max(0, len(scope.subscriptions) - NAMED)


def _by_status(chosen: Q) -> list[tuple[str, int]]:
    rows = UsageReport.objects.filter(chosen).order_by("status")
    return list(rows.values_list("status").annotate(count=Count("pk")))


def _confirmed(run: ReportRun) -> list[ConfirmedUnits]:
    planned, due = run.confirmed, run.shown.get("units", {})
    units = [
        ConfirmedUnits(
            meter=meter.slug,
            units=Decimal(planned.get(meter.stripe_id, "0")) + Decimal(due.get(meter.stripe_id, "0")),
            due=Decimal(due.get(meter.stripe_id, "0")),
        )
        for meter in Meter.objects.filter(stripe_id__in={*planned, *due})
    ]
    return sorted(units, key=lambda one: one.meter)


def _lines(run: ReportRun) -> tuple[list[RunLine], bool]:
    """Return what reached Stripe of the first reports that the run sent, and whether there is more."""
    by_it = Q(run=run, sent_by=None) | Q(sent_by=run)
    delivered = UsageReport.objects.filter(by_it, status=UsageReport.Status.DELIVERED)
    # A run stores the reports of a customer on a meter together, so the first reports are of few of them.
    first = list(delivered.order_by("pk").values_list("enrolment", flat=True)[: READ + 1])
    ids = list(dict.fromkeys(first))
    # The last one may have more reports than were read.
    shown = ids[: LINES if len(first) <= READ else max(1, min(LINES, len(ids) - 1))]
    rows: dict[int, list[UsageReport]] = defaultdict(list)
    for row in delivered.filter(enrolment__in=shown).select_related(
        "enrolment__customer", "enrolment__meter"
    ):
        rows[row.enrolment_id].append(row)
    before = held_before([row for many in rows.values() for row in many if row.enrolment.meter.sets_hours])
    prices = _prices([many[0] for many in rows.values()])
    lines = [_line(many, before, prices) for many in rows.values()]
    lines.sort(key=lambda line: (line.customer.name, line.customer.pk, line.meter.slug))
    return lines, len(first) > READ or len(ids) > LINES


def _line(
    rows: Sequence[UsageReport],
    before: Any,
    prices: dict[tuple[int, int], list[Price]],
) -> RunLine:
    enrolment = rows[0].enrolment
    return RunLine(
        customer=enrolment.customer,
        meter=enrolment.meter,
        prices=prices.get((enrolment.customer_id, enrolment.meter_id), []),
        units=exact_sum([row.value - before.get(row.pk, Decimal(0)) for row in rows]),
        start=min(row.slice_start for row in rows),
        end=max(row.slice_end for row in rows),
    )


def _prices(rows: Sequence[UsageReport]) -> dict[tuple[int, int], list[Price]]:
    """Return each customer's prices on each meter, those of deleted items only where there is no other."""
    items = SubscriptionItem.objects.filter(
        subscription__customer__in={row.enrolment.customer_id for row in rows},
        meter__in={row.enrolment.meter_id for row in rows},
    ).select_related("price", "subscription")
    live: dict[tuple[int, int], dict[int, Price]] = defaultdict(dict)
    gone: dict[tuple[int, int], dict[int, Price]] = defaultdict(dict)
    for item in items:
        if item.meter_id:
            kept = gone if item.deleted_at else live
            kept[item.subscription.customer_id, item.meter_id][item.price_id] = item.price
    return {key: list((live[key] or gone[key]).values()) for key in {*live, *gone}}
