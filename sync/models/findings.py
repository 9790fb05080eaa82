"""Differences and obstacles that a person should look at."""

from django.db import models
from django.db.models import Q

from sync.models.catalog import Meter
from sync.models.customers import Customer
from sync.models.subscriptions import SubscriptionItem


class Finding(models.Model):
    """A difference or an obstacle that a person should look at; open until `resolved_at` is set.

    `fingerprint` names the matter, so that seeing it again changes the open row instead of adding one.
    """

    class Kind(models.TextChoices):
        """What is the matter."""

        SUBJECT_NEVER_SEEN = "subject_never_seen", "No usage was ever seen under the customer's subjects"
        SUBJECT_CLAIMED_TWICE = "subject_claimed_twice", "Two customers claim one subject"
        ITEM_WITHOUT_METER = "item_without_meter", "A metered item has no meter"
        METER_WITHOUT_SLUG = "meter_without_slug", "A Stripe meter has no OpenMeter meter"
        METER_UNSUPPORTED = "meter_unsupported", "A meter cannot be reported"
        METER_REFUSED = "meter_refused", "Stripe refuses a meter's events"
        BILLED_TWICE = "billed_twice", "Stripe bills the same usage twice"
        LEGACY_PRICE = "legacy_price", "A price uses Stripe's removed usage records"
        USAGE_UNTAKEN = "usage_untaken", "Usage that no meter's filters take"
        BRAKE = "brake", "A change looks wrong and waits for a decision"
        ALREADY_BILLED = "already_billed", "Stripe holds usage that this console did not send"
        LATE = "late", "Usage arrived after its billing period closed"
        HALF_CLOSED = "half_closed", "One of several billing periods closed before usage arrived"
        REJECTED = "rejected", "Stripe refused a report"
        REFUSED_UNNAMED = "refused_unnamed", "Stripe refused events without naming them all"
        UNKNOWN_OUTCOME = "unknown_outcome", "Nobody knows whether Stripe received a report"
        INVOICE_GONE = "invoice_gone", "An invoice with usage was voided or deleted"
        MISSING_AT_STRIPE = "missing_at_stripe", "Stripe lacks usage that was reported"
        SURPLUS_AT_STRIPE = "surplus_at_stripe", "Stripe holds more than was reported"
        INVOICE_DIFFERS = "invoice_differs", "A final invoice bills otherwise than was reported"
        MEASURED_OTHERWISE = "measured_otherwise", "OpenMeter says otherwise than was measured"
        WITHOUT_CUSTOMER = "without_customer", "Usage of subjects without a customer"
        WITHOUT_SUBSCRIPTION = "without_subscription", "Usage without an active subscription"
        NOT_BILLABLE = "not_billable", "Usage that is billed to nobody by a rule"
        NOT_INVOICED = "not_invoiced", "Stripe made no invoice for usage that was reported"
        SWAP_NOT_BILLED = "swap_not_billed", "A price changed, and usage from before is on no invoice"
        SWAP_REPRICED = "swap_repriced", "Usage is billed at a price that came after it was used"
        SWAP_UNDATED = "swap_undated", "When a price changed is known only roughly"

    kind = models.CharField(max_length=30, choices=Kind)
    fingerprint = models.CharField(max_length=255)
    message = models.TextField()
    customer = models.ForeignKey(
        Customer, null=True, blank=True, on_delete=models.PROTECT, related_name="findings"
    )
    meter = models.ForeignKey(Meter, null=True, blank=True, on_delete=models.PROTECT, related_name="findings")
    item = models.ForeignKey(
        SubscriptionItem, null=True, blank=True, on_delete=models.PROTECT, related_name="findings"
    )
    found_at = models.DateTimeField()
    seen_at = models.DateTimeField()
    resolved_at = models.DateTimeField(null=True, blank=True)
    resolution = models.TextField(blank=True)

    class Meta:
        ordering = ["-found_at", "-id"]
        default_permissions = ("view",)
        permissions = [("resolve_finding", "Can resolve a finding")]
        constraints = [
            models.UniqueConstraint(
                fields=["kind", "fingerprint"], condition=Q(resolved_at=None), name="finding_open_once"
            ),
        ]

    def __str__(self) -> str:
        """Name the matter."""
        return f"{self.get_kind_display()}: {self.fingerprint}"
