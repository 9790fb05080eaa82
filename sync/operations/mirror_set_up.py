"""Show at once what set-up created, without a sync of everything."""

from datetime import datetime, timedelta

from sync.operations.assign_subjects import assign_subjects, enrol_customers
from sync.operations.mirror_catalog import CatalogMirror, Tally
from sync.operations.mirror_subscriptions import SubscriptionMirror
from sync.ports import BillingGateway, SyncError


def mirror_set_up(
    *,
    stripe: BillingGateway,
    price_id: str,
    subscription_id: str,
    invoice_grace: timedelta,
    pinned_at: datetime,
    now: datetime,
) -> str:
    """Price, customer and subscription are known here and the customer is enrolled; return "".

    Where Stripe does not answer, return why: the next sync brings the rest. `now` is before the requests.
    Safe to repeat.
    """
    catalog = CatalogMirror(stripe=stripe, clock=lambda: now, tally=Tally())
    subscriptions = SubscriptionMirror(catalog=catalog, invoice_grace=invoice_grace, pinned_at=pinned_at)
    try:
        catalog.fetch_price(price_id)
        # The customer, whom nobody has listed yet, comes with it.
        subscriptions.fetch(subscription_id)
    except SyncError as error:
        return str(error)
    # A key that somebody else has, too, stays where it is; the next sync has the finding.
    assign_subjects(now=now)
    enrol_customers()
    return ""
