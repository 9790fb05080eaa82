"""What is left to do before the console reports anything."""

from dataclasses import dataclass

from sync.models import Meter, StripeAccount, SubscriptionItem, UsageReport


@dataclass(frozen=True, slots=True, kw_only=True)
class FirstSteps:
    """How far somebody has come who starts with an empty console."""

    stripe_read: bool
    """Whether all of Stripe was ever read."""
    meter_tied: bool
    """Whether a Stripe meter is tied to an OpenMeter meter."""
    somebody_subscribed: bool
    """Whether somebody is known who is billed by use."""
    usage_reported: bool
    """Whether anything was ever reported."""


def first_steps() -> FirstSteps:
    """Return how far it is."""
    return FirstSteps(
        stripe_read=StripeAccount.objects.filter(events_read_through__isnull=False).exists(),
        meter_tied=Meter.objects.exclude(openmeter_slug="").exists(),
        somebody_subscribed=SubscriptionItem.objects.filter(meter__isnull=False).exists(),
        usage_reported=UsageReport.objects.exists(),
    )
