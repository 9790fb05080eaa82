"""Customers who are billed by use and whose usage nobody has ever seen."""

from django.db.models import Exists, OuterRef, QuerySet

from sync.domain.statuses import OVER
from sync.models import Customer, Subject, SubscriptionItem


def silent_customers() -> QuerySet[Customer]:
    """Return customers with a living metered item, none of whose subjects OpenMeter ever had usage of.

    Goes by what is so, whatever somebody said of its finding.
    """
    metered = living_items().filter(subscription__customer=OuterRef("pk"), meter__isnull=False)
    seen = Subject.objects.filter(customer=OuterRef("pk"), seen_at__isnull=False)
    return Customer.objects.filter(Exists(metered)).filter(~Exists(seen))


def living_items() -> QuerySet[SubscriptionItem]:
    """Return items on subscriptions that go on."""
    return SubscriptionItem.objects.filter(deleted_at=None, subscription__deleted_at=None).exclude(
        subscription__status__in=OVER
    )
