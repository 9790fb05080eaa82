"""Who is billed for what, and when: subscriptions, their items and the items' billing periods."""

from datetime import UTC

from django.db import models
from django.db.models import F, Q

from sync.models.catalog import Meter, Price
from sync.models.customers import Customer
from sync.models.fields import QuantityField


class Subscription(models.Model):
    """A Stripe subscription of any status, mirrored."""

    stripe_id = models.CharField(max_length=255, unique=True)
    customer = models.ForeignKey(Customer, on_delete=models.PROTECT, related_name="subscriptions")
    status = models.CharField(max_length=30)
    billing_mode = models.CharField(max_length=20)
    created_at = models.DateTimeField()
    start_date = models.DateTimeField()
    """When it began; before `created_at` for a backdated one."""
    trial_start = models.DateTimeField(null=True, blank=True)
    trial_end = models.DateTimeField(null=True, blank=True)
    cancel_at = models.DateTimeField(null=True, blank=True)
    ended_at = models.DateTimeField(null=True, blank=True)
    deleted_at = models.DateTimeField(null=True, blank=True)
    fetched_at = models.DateTimeField()

    class Meta:
        ordering = ["-created_at", "id"]
        default_permissions = ("view",)

    def __str__(self) -> str:
        """Name the subscription."""
        return f"{self.stripe_id} ({self.status})"


class SubscriptionPause(models.Model):
    """A stretch in which a subscription was paused, as far as syncs saw it: its usage is on no invoice.

    A subscription does not show when its pause began or ended, so it is taken as short as it may have been.
    """

    subscription = models.ForeignKey(Subscription, on_delete=models.PROTECT, related_name="pauses")
    start = models.DateTimeField()
    end = models.DateTimeField(null=True, blank=True)
    """Null while it lasts."""

    class Meta:
        ordering = ["subscription", "start"]
        default_permissions = ("view",)
        constraints = [
            models.UniqueConstraint(fields=["subscription"], condition=Q(end=None), name="pause_open_once"),
            models.CheckConstraint(
                condition=Q(end=None) | Q(end__gt=F("start")), name="pause_ends_after_start"
            ),
        ]

    def __str__(self) -> str:
        """Name subscription and stretch."""
        until = f"{self.end:%Y-%m-%d %H:%M:%S}" if self.end else "until now"
        return f"{self.subscription_id} [{self.start:%Y-%m-%d %H:%M:%S}, {until})"


class SubscriptionItem(models.Model):
    """One price on a subscription. `meter` is null while nothing says what it measures."""

    stripe_id = models.CharField(max_length=255, unique=True)
    subscription = models.ForeignKey(Subscription, on_delete=models.PROTECT, related_name="items")
    price = models.ForeignKey(Price, on_delete=models.PROTECT, related_name="items")
    meter = models.ForeignKey(Meter, null=True, blank=True, on_delete=models.PROTECT, related_name="items")
    created_at = models.DateTimeField()
    deleted_at = models.DateTimeField(null=True, blank=True)
    fetched_at = models.DateTimeField()

    class Meta:
        ordering = ["id"]
        default_permissions = ("view",)

    def __str__(self) -> str:
        """Name the item."""
        return self.stripe_id


class ItemPrice(models.Model):
    """That an item had this price from `start` until `end`: kept for ever, only an end is ever added.

    The first one counts from the item's beginning, also where its usage was backdated.
    """

    item = models.ForeignKey(SubscriptionItem, on_delete=models.PROTECT, related_name="prices")
    price = models.ForeignKey(Price, on_delete=models.PROTECT, related_name="item_prices")
    meter = models.ForeignKey(
        Meter, null=True, blank=True, on_delete=models.PROTECT, related_name="item_prices"
    )
    """What measured it, as far as is known; null where nothing says so."""
    start = models.DateTimeField()
    end = models.DateTimeField(null=True, blank=True)
    """Null while the item has it."""
    not_before = models.DateTimeField(null=True, blank=True)
    """Set where the end is only known roughly: it was then or later, and by `end` at the latest."""

    class Meta:
        ordering = ["item", "start"]
        default_permissions = ()
        indexes = [
            models.Index(fields=["end"], condition=Q(end__isnull=False), name="item_price_ended"),
        ]
        constraints = [
            models.UniqueConstraint(fields=["item"], condition=Q(end=None), name="item_price_open_once"),
            models.UniqueConstraint(fields=["item", "start"], name="item_price_once_per_start"),
            models.CheckConstraint(
                condition=Q(end=None) | Q(end__gt=F("start")), name="item_price_ends_after_start"
            ),
            models.CheckConstraint(
                condition=Q(not_before=None) | Q(end__gte=F("not_before")), name="item_price_roughly_ended"
            ),
        ]

    def __str__(self) -> str:
        """Name item, price and stretch."""
        until = f"{self.end:%Y-%m-%d %H:%M:%S}" if self.end else "until now"
        return f"{self.item_id} at {self.price_id} [{self.start:%Y-%m-%d %H:%M:%S}, {until})"


class BillingPeriod(models.Model):
    """One item's billing period `[start, end)` and the invoice that closes it. Kept for ever."""

    item = models.ForeignKey(SubscriptionItem, on_delete=models.PROTECT, related_name="periods")
    start = models.DateTimeField()
    end = models.DateTimeField()
    closes_at = models.DateTimeField()
    """After this its invoice may be final: usage that arrives later is on no invoice."""
    finalized_at = models.DateTimeField(null=True, blank=True)
    """When its invoice became final; from then on neither its end nor its closing moves."""
    invoice_id = models.CharField(max_length=255, blank=True)
    """The invoice that closes it, a draft first."""
    billed_quantity = QuantityField(null=True, blank=True)
    """Units on all final invoices that are valid; null until then, and where lines do not tell."""

    class Meta:
        ordering = ["item", "start"]
        default_permissions = ("view",)
        indexes = [
            models.Index(fields=["closes_at"], condition=Q(finalized_at=None), name="period_closing"),
        ]
        constraints = [
            models.UniqueConstraint(fields=["item", "start"], name="period_once_per_item_and_start"),
            models.CheckConstraint(condition=Q(end__gt=F("start")), name="period_ends_after_start"),
            models.CheckConstraint(condition=Q(closes_at__gte=F("end")), name="period_closes_after_end"),
        ]

    def __str__(self) -> str:
        """Name item and stretch."""
        return f"{self.item_id} [{self.start:%Y-%m-%d %H:%M:%S}, {self.end:%Y-%m-%d %H:%M:%S})"

    @property
    def page_name(self) -> str:
        """What its page is called: who is billed for what, and when."""
        item = self.item
        of = f"{item.subscription.customer.label}, {item.price.product_name or item.price.stripe_id}"
        return f"{of}, {self.start.astimezone(UTC):%Y-%m-%d} to {self.end.astimezone(UTC):%Y-%m-%d}"
