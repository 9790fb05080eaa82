"""Keep when subscriptions were paused: Stripe shows only that one is."""

from collections.abc import Mapping, Sequence
from datetime import datetime

from sync.domain.statuses import BILLABLE, ENDED, PAUSED, TRIALING
from sync.domain.timeline import SECOND
from sync.models import Subscription, SubscriptionPause
from sync.ports import StripeSubscription


def store_pauses(
    seen: Sequence[StripeSubscription],
    *,
    ids: Mapping[str, int],
    before: Mapping[str, Subscription],
    begun_at: Mapping[str, datetime],
    fetched_at: datetime,
) -> None:
    """Every paused subscription has one open pause, and none that goes on has one. Safe to repeat.

    `ids` are local ids and `before` the rows as they were, by Stripe id. A pause counts from when it was
    first seen: usage before that may be billed, and what Stripe does not bill costs nobody anything. One that
    may have begun with the end of a trial counts from there, unless events (`begun_at`) say it began later.
    """
    pauses = SubscriptionPause.objects.filter(subscription_id__in=[ids[one.id] for one in seen], end=None)
    paused = set(pauses.values_list("subscription_id", flat=True))
    begun = [one for one in seen if one.status == PAUSED and ids[one.id] not in paused]
    # Another sync may open the same pause meanwhile; it serves as well as ours.
    SubscriptionPause.objects.bulk_create(
        [
            SubscriptionPause(
                subscription_id=ids[one.id],
                start=max(
                    _start(one, before.get(one.id), fetched_at=fetched_at),
                    begun_at.get(one.id, one.created_at),
                ),
            )
            for one in begun
        ],
        ignore_conflicts=True,
    )
    going_on = BILLABLE - ENDED - {PAUSED}
    resumed = {ids[one.id]: one for one in seen if one.status in going_on and ids[one.id] in paused}
    ended = list(pauses.filter(subscription_id__in=resumed))
    for pause in ended:
        one = resumed[pause.subscription_id]
        end = resumed_at(before.get(one.id), fetched_at=fetched_at)
        pause.end = max(end, pause.start + SECOND)
    SubscriptionPause.objects.bulk_update(ended, ["end"])


def resumed_at(before: Subscription | None, *, fetched_at: datetime) -> datetime:
    """Return when a subscription that was paused went on, as early as it can have been: after the last look.

    A period that began since then need not have begun with the resumption, it may have been renewed since.
    Measuring too much of a pause costs nobody anything: Stripe does not bill it.
    """
    return fetched_at if before is None else before.fetched_at


def _start(one: StripeSubscription, before: Subscription | None, *, fetched_at: datetime) -> datetime:
    """Return the end of the trial where that is what it was paused for, else when it was seen."""
    ended = one.trial_end
    if ended is None or ended >= fetched_at:
        return fetched_at
    if any(item.period_start > ended for item in one.items):
        return fetched_at
    was_billed_since = before and before.status != TRIALING and before.fetched_at > ended
    return fetched_at if was_billed_since else ended
