"""Billing periods whose invoice becomes final soon, and whether their usage has reached Stripe."""

from dataclasses import dataclass
from datetime import datetime
from typing import Any

from django.db.models import (
    BooleanField,
    Case,
    DateTimeField,
    Exists,
    ExpressionWrapper,
    F,
    OuterRef,
    Q,
    QuerySet,
    Subquery,
    When,
)
from django.db.models.functions import Coalesce, Least, Trunc

from sync.domain.statuses import BILLABLE
from sync.models import BillingPeriod, Enrolment, Pause, Subject, UsageReport

NOT_IN = ("pending", "sending", "unknown", "rejected", "held")
"""Reports that Stripe does not surely have, and that a person or the next run could still bring in."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ClosingPeriod:
    """A billing period of one customer on one meter that closes soon. `paused` says it stands still."""

    subscription_id: int
    subscription: str
    customer_id: int
    customer: str
    customer_name: str
    meter: str
    start: datetime
    end: datetime
    closes_at: datetime
    measured_through: datetime | None
    is_in: bool
    """Whether all of its usage was measured up to its end, and everything of it is settled with Stripe."""
    paused: bool


def closing_periods(*, now: datetime, until: datetime, limit: int | None = None) -> list[ClosingPeriod]:
    """Return periods that close in `(now, until]`, soonest first; of those, what is not in comes first."""
    rows = periods_closing(now=now, until=until)
    if limit:
        # Chosen first, so that what is in need not be asked of thousands that close on the same day.
        rows = rows.filter(pk__in=list(rows.order_by("closes_at", "pk").values_list("pk", flat=True)[:limit]))
    return shown(rows.order_by("closes_at", "is_in", "pk"))


def shown(rows: QuerySet[Any]) -> list[ClosingPeriod]:
    """Return what pages show of annotated periods."""
    return [_shown(row) for row in rows.select_related("item__subscription__customer", "item__meter")]


def periods_closing(*, now: datetime, until: datetime) -> QuerySet[Any]:
    """Return metered periods that close in `(now, until]` and bill somebody, annotated.

    `measured_through`, `is_in` and `paused` as in `ClosingPeriod`. A period that lies in a trial, before
    `report_from`, or whose customer has no subject has nothing to bring in and is left out.
    """
    enrolment = Enrolment.objects.filter(
        customer=OuterRef("item__subscription__customer"), meter=OuterRef("item__meter")
    )
    subject = Subject.objects.filter(customer=OuterRef("item__subscription__customer")).exclude(
        valid_to=F("valid_from")  # it never held
    )
    rows = (
        BillingPeriod.objects.filter(closes_at__gt=now, closes_at__lte=until, finalized_at=None)
        # A legacy price may name a meter in its metadata, but Stripe bills no meter events on it.
        .filter(item__meter__isnull=False, item__price__meter=F("item__meter"))
        .filter(item__subscription__status__in=BILLABLE)
        .filter(Q(item__subscription__trial_end=None) | Q(item__subscription__trial_end__lt=F("end")))
        .annotate(
            enrolment_id=Subquery(enrolment.values("pk")[:1]),
            measured_through=Subquery(enrolment.values("planned_through")[:1]),
            ours_from=Subquery(enrolment.values("report_from")[:1]),
            billed_to=_earliest_end(),
        )
        .filter(Exists(subject))
        .filter(Q(ours_from=None) | Q(ours_from__lt=F("end")))
        .filter(billed_to__gt=F("start"))
    )
    unsettled = UsageReport.objects.filter(
        enrolment=OuterRef("enrolment_id"),
        status__in=NOT_IN,
        slice_end__gt=OuterRef("start"),
        slice_end__lte=OuterRef("end"),
    )
    paused = Pause.objects.filter(resumed_at=None).filter(
        Q(meter=None, customer=None)
        | Q(meter=OuterRef("item__meter"))
        | Q(customer=OuterRef("item__subscription__customer"))
    )
    return rows.annotate(
        is_in=ExpressionWrapper(
            # Of an enrolment that was never measured, a comparison alone would be neither true nor false.
            Q(measured_through__isnull=False, measured_through__gte=_last_boundary()) & ~Exists(unsettled),
            output_field=BooleanField(),
        ),
        paused=Exists(paused),
    )


def _earliest_end() -> Least:
    """Return when the item stops being billed inside the period: at its end, unless it goes before."""
    names = ("item__deleted_at", "item__subscription__ended_at", "item__subscription__deleted_at")
    # LEAST of a null is null on SQLite, so each of them falls back to the period's end.
    return Least(F("end"), *(Coalesce(name, "end") for name in names), output_field=DateTimeField())


def _last_boundary() -> Case:
    """Return up to where measuring must have come: boundaries are floored to the minute, or to the hour."""
    return Case(
        When(item__meter__event_time_window="hour", then=Trunc("billed_to", "hour")),
        default=Trunc("billed_to", "minute"),
        output_field=DateTimeField(),
    )


def _shown(row: Any) -> ClosingPeriod:
    subscription, meter = row.item.subscription, row.item.meter
    return ClosingPeriod(
        subscription_id=subscription.pk,
        subscription=subscription.stripe_id,
        customer_id=subscription.customer_id,
        customer=str(subscription.customer),
        customer_name=subscription.customer.label,
        meter=meter.slug if meter else "",
        start=row.start,
        end=row.end,
        closes_at=row.closes_at,
        measured_through=row.measured_through,
        is_in=row.is_in,
        paused=row.paused,
    )
