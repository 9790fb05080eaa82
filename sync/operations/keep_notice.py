"""Keep what Stripe told by webhook, so that it can be answered at once and worked on later."""

from datetime import datetime, timedelta

from sync.domain.notices import Notification
from sync.models import StripeAccount, StripeNotice
from sync.queries.waiting_notices import due_notices

IS_TAKEN_SOON = timedelta(seconds=30)
"""A notice that waits for less than this has a task on its way, which takes the new one along."""
KEPT_FOR = timedelta(days=40)
"""How long a notice of a changed object is kept; Stripe repeats none that is older than 30 days."""
MOST_FORGOTTEN = 5000


def keep_notice(notification: Notification, *, now: datetime) -> bool:
    """The notice is kept, once; return whether somebody has to be woken to work on it.

    Not where it was kept before, is of no use, or belongs to another account or mode: the last is kept with
    a note of that, and nothing is done about it.
    """
    if not notification.is_of_use:
        return False
    foreign = _why_foreign(notification)
    somebody_comes = due_notices(now=now).filter(received_at__gt=now - IS_TAKEN_SOON).exists()
    _, is_new = StripeNotice.objects.get_or_create(
        event_id=notification.id,
        defaults={
            "type": notification.type,
            "object_id": notification.object_id[:255],
            "object_kind": notification.object_kind[:255],
            "livemode": notification.livemode,
            "created_at": notification.created_at,
            "received_at": now,
            "next_attempt_at": None if foreign else now,
            "handled_at": now if foreign else None,
            "outcome": foreign,
        },
    )
    return is_new and not foreign and not somebody_comes


def forget_old_notices(*, now: datetime) -> int:
    """Notices of changed objects that were handled long ago are gone; return how many.

    What Stripe reported of refused events stays: it is why the ledger says what it says.
    """
    old = StripeNotice.objects.filter(
        received_at__lt=now - KEPT_FOR, handled_at__isnull=False, report={}, needs_comparison=False
    )
    ids = list(old.order_by("received_at").values_list("pk", flat=True)[:MOST_FORGOTTEN])
    return StripeNotice.objects.filter(pk__in=ids).delete()[0]


def _why_foreign(notification: Notification) -> str:
    """Return why the notice is not about this database's account and mode, or ""."""
    account = StripeAccount.objects.first()
    if account is None:
        return ""
    if notification.livemode != account.livemode:
        modes = {True: "live", False: "test"}
        return (
            f"Ignored: it is of {modes[notification.livemode]} mode, and this console is connected in "
            f"{modes[account.livemode]} mode. Correct the webhook's address in Stripe."
        )
    if notification.account and notification.account != account.stripe_id:
        return (
            f"Ignored: it is of account {notification.account}, and this console is connected to "
            f"{account.stripe_id}."
        )
    return ""
