"""When usage of a billing period is not billed, and by which rule."""

from collections.abc import Iterator
from datetime import UTC, datetime

from django.db.models import F

from sync.domain.periods import item_start
from sync.domain.statuses import BILLABLE
from sync.domain.timeline import HOUR, MINUTE, SECOND, Span, floor_to, subtract
from sync.domain.unbilled import Unbilled, unbilled_parts
from sync.models import BillingPeriod, Enrolment, Subject, SubscriptionItem
from sync.queries.item_prices import price_spans, swapped_items

BEGINNING, NEVER = datetime.min.replace(tzinfo=UTC), datetime.max.replace(tzinfo=UTC)


def unbilled_time(period: BillingPeriod, enrolment: Enrolment, *, now: datetime) -> list[Unbilled]:
    """Return the stretches of a period in which usage is not billed, in order; three queries.

    Periods are loaded with item and subscription. What is to come, or was not measured yet, is among them.
    """
    reasons = [
        *_by_the_item(period.item),
        *_by_the_subscription(period.item),
        *_by_the_price(period, enrolment),
        *_by_the_console(enrolment),
        *_at_the_end(period, sets_hours=enrolment.meter.sets_hours),
        *_so_far(enrolment, now=now),
    ]
    return unbilled_parts(Span(period.start, period.end), reasons)


def _by_the_item(item: SubscriptionItem) -> Iterator[Unbilled]:
    subscription = item.subscription
    begin = item_start(
        created_at=item.created_at,
        subscription_created_at=subscription.created_at,
        start_date=subscription.start_date,
    )
    yield Unbilled(Span(BEGINNING, begin), "Before the item was on the subscription.")
    ends = (
        (subscription.ended_at, "After the subscription had ended."),
        (item.deleted_at, "After the item had been taken off the subscription."),
        (subscription.deleted_at, "After the subscription had been deleted."),
        (subscription.cancel_at, "After the instant for which the subscription is canceled."),
    )
    for end, why in ends:
        if end:
            yield Unbilled(Span(floor_to(end, SECOND), NEVER), why)


def _by_the_subscription(item: SubscriptionItem) -> Iterator[Unbilled]:
    subscription = item.subscription
    if subscription.status not in BILLABLE:
        why = f"Stripe bills nothing of a subscription that is {subscription.status.replace('_', ' ')}."
        yield Unbilled(Span(BEGINNING, NEVER), why)
    if subscription.trial_end:
        begin = subscription.trial_start or subscription.start_date
        yield Unbilled(
            Span(begin, subscription.trial_end), "In the trial: Stripe bills nothing used in a trial."
        )
    for pause in subscription.pauses.order_by("start"):
        span = Span(floor_to(pause.start, SECOND), floor_to(pause.end or NEVER, SECOND))
        yield Unbilled(span, "While the subscription was paused in Stripe.")


def _by_the_price(period: BillingPeriod, enrolment: Enrolment) -> Iterator[Unbilled]:
    kept = swapped_items([period.item_id]).get(period.item_id, [])
    spans = [(row, inside) for row, span in price_spans(kept) if (inside := _in(period, span))]
    for row, inside in spans:
        if row.price.meter_id != enrolment.meter_id:
            named = row.price.meter.slug if row.price.meter else "no meter"
            yield Unbilled(inside, f"While the item had a price of {named}, which measured it instead.")
        elif period.item.subscription.billing_mode != "flexible" and row is not spans[-1][0]:
            why = "Before the price changed: in classic billing mode Stripe bills nothing of it."
            yield Unbilled(inside, why)


def _in(period: BillingPeriod, span: Span) -> Span | None:
    return Span(period.start, period.end).meet(span)


def _by_the_console(enrolment: Enrolment) -> Iterator[Unbilled]:
    if enrolment.report_from:
        yield Unbilled(
            Span(BEGINNING, enrolment.report_from),
            "Before the instant from which this console reports the customer's usage.",
        )
    rows = Subject.objects.filter(customer=enrolment.customer_id).exclude(valid_to=F("valid_from"))
    linked = sorted(
        Span(start or BEGINNING, end or NEVER) for start, end in rows.values_list("valid_from", "valid_to")
    )
    for span in subtract(Span(BEGINNING, NEVER), linked):
        yield Unbilled(span, "No key of OpenMeter was linked to the customer.")


def _at_the_end(period: BillingPeriod, *, sets_hours: bool) -> Iterator[Unbilled]:
    """What a boundary that is not on the grid leaves to the period after it."""
    edge = floor_to(period.end, HOUR if sets_hours else MINUTE)
    unit = "hour" if sets_hours else "minute"
    yield Unbilled(
        Span(edge, period.end), f"Usage is measured by the {unit} here: it goes into the next period."
    )


def _so_far(enrolment: Enrolment, *, now: datetime) -> Iterator[Unbilled]:
    yield Unbilled(Span(now, NEVER), "Still to come.")
    through = enrolment.planned_through
    yield Unbilled(
        Span(through or BEGINNING, now), "Not measured yet: the next run that reports usage does it."
    )
