"""By which rule usage of a customer on some day is billed to nobody."""

from collections import defaultdict
from collections.abc import Callable, Collection
from datetime import UTC, datetime

from django.db.models import F

from sync.domain.reconciliation import Cause
from sync.domain.timeline import Span
from sync.models import Subscription, SubscriptionPause

FOR_EVER = datetime.max.replace(tzinfo=UTC)


def rules_of_days(customers: Collection[int]) -> Callable[[int, Span], Cause]:
    """Return a function from a customer (local id) and a day to the rule. Two queries for all of them."""
    trials: dict[int, list[Span]] = defaultdict(list)
    pauses: dict[int, list[Span]] = defaultdict(list)
    tried = Subscription.objects.filter(customer__in=customers, trial_end__isnull=False)
    for customer, start, begun, end in tried.values_list(
        "customer_id", "trial_start", "start_date", "trial_end"
    ):
        trials[customer].append(Span(start or begun, end or FOR_EVER))
    paused = SubscriptionPause.objects.filter(subscription__customer__in=customers)
    for customer, begun, over in paused.values_list("subscription__customer_id", "start", "end").order_by(
        F("start")
    ):
        pauses[customer].append(Span(begun, over or FOR_EVER))

    def rule(customer: int, day: Span) -> Cause:
        if any(span.overlaps(day) for span in trials[customer]):
            return Cause.TRIAL
        if any(span.overlaps(day) for span in pauses[customer]):
            return Cause.PAUSED
        return Cause.NO_SUBSCRIPTION

    return rule
