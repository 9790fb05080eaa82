"""Stripe's invoices, as far as they bill usage: what closes billing periods."""

from django.db import models
from django.db.models import F, Q

from sync.models.fields import QuantityField


class Invoice(models.Model):
    """An invoice with a line for a subscription item, mirrored. Billing periods say what follows from it."""

    stripe_id = models.CharField(max_length=255, unique=True)
    customer = models.CharField(max_length=255)
    """Stripe's id, as that of the subscription: an invoice may be read before what it is about."""
    subscription = models.CharField(max_length=255)
    status = models.CharField(max_length=30)
    auto_advance = models.BooleanField(null=True, blank=True)
    """Whether a draft becomes final by itself; null where Stripe does not say."""
    created_at = models.DateTimeField()
    automatically_finalizes_at = models.DateTimeField(null=True, blank=True)
    finalized_at = models.DateTimeField(null=True, blank=True)
    deleted_at = models.DateTimeField(null=True, blank=True)
    fetched_at = models.DateTimeField()

    class Meta:
        default_permissions = ()
        indexes = [
            models.Index(fields=["fetched_at"], condition=Q(status="draft"), name="invoice_draft"),
        ]

    def __str__(self) -> str:
        """Name the invoice."""
        return f"{self.stripe_id} ({self.status})"


class InvoiceLine(models.Model):
    """What an invoice bills for one subscription item in `[start, end)`."""

    invoice = models.ForeignKey(Invoice, on_delete=models.CASCADE, related_name="lines")
    stripe_id = models.CharField(max_length=255)
    item = models.CharField(max_length=255)
    """Stripe's id of the subscription item."""
    start = models.DateTimeField()
    end = models.DateTimeField()
    quantity = QuantityField(null=True, blank=True)

    class Meta:
        default_permissions = ()
        indexes = [models.Index(fields=["item", "end"], name="line_of_item")]
        constraints = [
            models.CheckConstraint(condition=Q(end__gt=F("start")), name="line_ends_after_start"),
        ]

    def __str__(self) -> str:
        """Name item and stretch."""
        return f"{self.item} [{self.start:%Y-%m-%d %H:%M:%S}, {self.end:%Y-%m-%d %H:%M:%S})"
