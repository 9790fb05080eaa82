"""Who pays (customers) and under which keys OpenMeter files their usage (subjects)."""

from django.db import models
from django.db.models import F, Q
from simple_history.models import HistoricalRecords


class StripeAccount(models.Model):
    """The one Stripe account and mode this database belongs to, pinned by the first sync."""

    singleton = models.BooleanField(default=True, unique=True, editable=False)
    stripe_id = models.CharField(max_length=255)
    livemode = models.BooleanField()
    pinned_at = models.DateTimeField()
    events_read_through = models.DateTimeField(null=True, blank=True)
    """Everything that changed in Stripe before this was read again; null until the first full sync."""
    refusals_read_through = models.DateTimeField(null=True, blank=True)
    """Every report of events that Stripe refused later was kept up to this; null until the first look."""

    class Meta:
        verbose_name, verbose_name_plural = "connection", "connections"
        default_permissions = ("view",)
        constraints = [models.CheckConstraint(condition=Q(singleton=True), name="account_is_single")]

    def __str__(self) -> str:
        """Name account and mode."""
        return f"{self.stripe_id} ({'live' if self.livemode else 'test'})"


class Customer(models.Model):
    """A Stripe customer, mirrored."""

    stripe_id = models.CharField(max_length=255, unique=True)
    name = models.CharField(max_length=512, blank=True)
    email = models.CharField(max_length=512, blank=True)
    external_key = models.CharField(max_length=512, blank=True)
    deleted_at = models.DateTimeField(null=True, blank=True)
    fetched_at = models.DateTimeField()

    class Meta:
        ordering = ["name", "id"]
        default_permissions = ("view",)

    def __str__(self) -> str:
        """Name the customer the way staff know it."""
        return f"{self.name or self.email or 'Customer'} ({self.stripe_id})"

    @property
    def label(self) -> str:
        """The customer's name alone, or what comes nearest, where there is little room."""
        return self.name or self.email or self.stripe_id


class Subject(models.Model):
    """The key that OpenMeter files usage under, and the customer it belonged to in `[valid_from, valid_to)`.

    A key never belongs to two customers at once; `valid_from` null means since ever, `valid_to` null
    means until further notice. Both are whole UTC hours, so no window belongs to two customers. Where both
    are the same, staff took the link back before it began: it never held, and no sync makes it again.
    """

    key = models.CharField(max_length=512)
    customer = models.ForeignKey(Customer, on_delete=models.PROTECT, related_name="subjects")
    valid_from = models.DateTimeField(null=True, blank=True)
    valid_to = models.DateTimeField(null=True, blank=True)
    seen_at = models.DateTimeField(null=True, blank=True)
    """When a sync last found usage of this key in OpenMeter; null means never."""

    history = HistoricalRecords(excluded_fields=["seen_at"])
    """Who linked or moved it, and when."""

    class Meta:
        ordering = ["key", "valid_from", "id"]
        default_permissions = ("view",)
        permissions = [
            ("link_subject", "Can link a subject to a customer"),
            ("move_subject", "Can move a subject to another customer"),
            ("move_open_period", "Can move a subject's open period to another customer"),
            ("end_subject", "Can end a subject's link"),
        ]
        constraints = [
            models.UniqueConstraint(fields=["key"], condition=Q(valid_to=None), name="subject_current_once"),
            models.UniqueConstraint(fields=["key"], condition=Q(valid_from=None), name="subject_first_once"),
            models.UniqueConstraint(
                fields=["key", "valid_from"],
                condition=Q(valid_to=None) | Q(valid_to__gt=F("valid_from")),
                name="subject_start_once",
            ),
            models.CheckConstraint(
                condition=Q(valid_to=None) | Q(valid_from=None) | Q(valid_to__gte=F("valid_from")),
                name="subject_ends_no_sooner",
            ),
        ]

    def __str__(self) -> str:
        """Name key and customer."""
        return f"{self.key} → {self.customer_id}"

    @property
    def never_held(self) -> bool:
        """Whether it was taken back before it began."""
        return self.valid_to is not None and self.valid_to == self.valid_from
