"""One subscription: its items, what they cost, and this period's usage by day."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from sync.domain.pricing import Money
from sync.models import BillingPeriod, Finding, ItemPrice, Subscription, SubscriptionPause, UsageReport
from sync.queries.amounts import total
from sync.queries.billed_periods import BilledPeriod, billed_periods
from sync.queries.day_sums import Day, days_of_enrolment
from sync.queries.item_prices import swapped_items
from sync.queries.item_usage import ItemUsage, items_usage

MOST_ITEMS = 20
"""Stripe allows as many items on a subscription."""
MOST_PERIODS = 24


@dataclass(frozen=True, slots=True, kw_only=True)
class ItemPart:
    """An item with its current period's days up to now, and its last report."""

    usage: ItemUsage
    days: Sequence[Day]
    last_report: UsageReport | None
    prices: Sequence[ItemPrice] = ()
    """All that it ever had, in order, if those are several."""


@dataclass(frozen=True, slots=True, kw_only=True)
class SubscriptionPage:
    """What a subscription's page shows beside the subscription's own fields."""

    items: Sequence[ItemPart]
    amounts: Sequence[Money]
    """What the current periods come to so far, per currency."""
    periods: Sequence[BilledPeriod]
    """The newest ones of all items, those that are over, too."""
    pauses: Sequence[SubscriptionPause]
    findings: Sequence[Finding]


def subscription_page(subscription: Subscription, *, now: datetime) -> SubscriptionPage:
    """Return the page's parts; a constant number of queries for each item."""
    items = subscription.items.select_related("subscription", "price", "meter").order_by("deleted_at", "pk")
    usage = items_usage(list(items[:MOST_ITEMS]), now=now)
    prices = swapped_items(one.item.pk for one in usage)
    return SubscriptionPage(
        items=[_part(one, prices.get(one.item.pk, ()), now) for one in usage],
        amounts=total([[one.amount] for one in usage if one.amount]),
        periods=billed_periods(
            list(
                BillingPeriod.objects.filter(item__subscription=subscription)
                .select_related("item__price", "item__meter", "item__subscription")
                .order_by("-start", "item")[:MOST_PERIODS]
            ),
            now=now,
        ),
        pauses=list(subscription.pauses.order_by("-start")),
        findings=list(
            Finding.objects.filter(item__subscription=subscription, resolved_at=None).order_by("-found_at")
        ),
    )


def _part(usage: ItemUsage, prices: Sequence[ItemPrice], now: datetime) -> ItemPart:
    if usage.units is None or usage.enrolment is None or usage.span is None:
        return ItemPart(usage=usage, days=(), last_report=None, prices=prices)
    sets_hours = bool(usage.item.meter and usage.item.meter.sets_hours)
    days = days_of_enrolment(usage.enrolment.pk, usage.span, sets_hours=sets_hours)
    last = usage.enrolment.reports.filter(status=UsageReport.Status.DELIVERED).order_by(
        "-slice_start", "-revision"
    )
    return ItemPart(
        usage=usage,
        days=[day for day in days if day.day <= now.date()],
        last_report=last.first(),
        prices=prices,
    )
