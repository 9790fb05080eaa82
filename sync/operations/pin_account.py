"""One database belongs to one Stripe account and mode."""

from datetime import datetime

from django.db.models import Q

from sync.models import StripeAccount
from sync.ports import Account, Misconfigured


def pin_account(account: Account, *, now: datetime) -> datetime:
    """This database belongs to `account`; raise `Misconfigured` if it belongs to another one.

    Returns since when it does.

    To be called before anything else is written. Safe to call any number of times: the first call pins,
    and of two first calls at once the database's unique constraint lets one win.
    """
    pinned, _ = StripeAccount.objects.get_or_create(
        defaults={"stripe_id": account.id, "livemode": account.livemode, "pinned_at": now},
        singleton=True,
    )
    if (pinned.stripe_id, pinned.livemode) != (account.id, account.livemode):
        message = (
            f"This database belongs to Stripe account {_named(pinned.stripe_id, livemode=pinned.livemode)}, "
            f"but STRIPE_KEY is of {_named(account.id, livemode=account.livemode)}; "
            "use that account's key, or another database (DATABASE_URL)."
        )
        raise Misconfigured(message)
    return pinned.pinned_at


def mark_events_read(*, through: datetime) -> None:
    """Everything that changed in Stripe before `through` was read; the mark never goes back."""
    StripeAccount.objects.filter(
        Q(events_read_through=None) | Q(events_read_through__lt=through), singleton=True
    ).update(events_read_through=through)


def _named(account_id: str, *, livemode: bool) -> str:
    return f"{account_id} ({'live' if livemode else 'test'} mode)"
