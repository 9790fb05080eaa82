"""Look for what Stripe refused after it had taken it, whether a webhook told of it or not."""

from collections.abc import Callable
from datetime import datetime, timedelta

from django.db import transaction
from django.db.models import Q

from sync.models import StripeAccount
from sync.operations.find_unnamed import find_unnamed
from sync.operations.handle_notices import handle_notices
from sync.operations.keep_notice import keep_notice
from sync.ports import BillingGateway, SyncError, UsageSource

OVERLAP = timedelta(hours=1)
"""From so long before the last look on they are listed again: for reports that come late, and clocks."""
OLDEST = timedelta(days=29)
"""Stripe keeps them for 30 days."""


def read_refusals(
    *,
    stripe: BillingGateway,
    openmeter: UsageSource,
    clock: Callable[[], datetime],
    invoice_grace: timedelta,
) -> str:
    """Every report of refused events since the last look is kept and worked on; return why not, or "".

    What they do not name is looked for in Stripe's totals.

    A webhook tells of them sooner, but it may not be set up, be lost with a database that was put back, or
    never come. The mark moves only once all were kept. Safe to repeat and to run twice at once.
    """
    began_at = clock()
    account = StripeAccount.objects.get()
    since = (account.refusals_read_through or account.pinned_at) - OVERLAP
    try:
        for page in stripe.refusals(since=max(since, began_at - OLDEST)):
            with transaction.atomic():
                for one in page:
                    keep_notice(one, now=began_at)
        handle_notices(
            stripe=stripe,
            openmeter=openmeter,
            invoice_grace=invoice_grace,
            clock=clock,
            refusals_only=True,
        )
        find_unnamed(source=stripe, clock=clock)
    except SyncError as error:
        return f"What Stripe refused after it had taken it cannot be read: {error}"
    StripeAccount.objects.filter(
        Q(refusals_read_through=None) | Q(refusals_read_through__lt=began_at), singleton=True
    ).update(refusals_read_through=began_at)
    return ""
