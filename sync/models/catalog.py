"""What is measured and what it costs: meters and prices."""

from django.db import models
from django.db.models import Q
from simple_history.models import HistoricalRecords

from sync.domain.meters import why_unlinked, why_unsupported
from sync.domain.pricing import PriceTerms
from sync.models.fields import QuantityField


class Meter(models.Model):
    """A Stripe billing meter, tied to the OpenMeter meter that measures it."""

    stripe_id = models.CharField(max_length=255, unique=True)
    event_name = models.CharField(max_length=100)
    display_name = models.CharField(max_length=250, blank=True)
    formula = models.CharField(max_length=20)
    event_time_window = models.CharField(max_length=10, blank=True)
    customer_key = models.CharField(max_length=100, default="stripe_customer_id")
    value_key = models.CharField(max_length=100, default="value")
    active = models.BooleanField(default=True)
    """Stripe's own status; an inactive meter refuses every event."""

    openmeter_slug = models.CharField(max_length=64, blank=True)
    openmeter_id = models.CharField(max_length=64, blank=True)
    aggregation = models.CharField(max_length=20, blank=True)
    filters = models.JSONField(default=dict, blank=True)
    """Group-by key → list of accepted values; empty means everything the OpenMeter meter counts."""
    scale = QuantityField(default=1)
    decimals = models.PositiveSmallIntegerField(default=6)
    settle_seconds = models.PositiveIntegerField(default=120)
    """How long after its end a slice may still receive usage in OpenMeter before it is reported."""
    max_units_per_slice = QuantityField(null=True, blank=True)
    replaces = models.ForeignKey(
        "self", null=True, blank=True, on_delete=models.PROTECT, related_name="replaced_by"
    )
    """The meter whose new definition this is: both may measure the same usage, while customers move."""

    conflict = models.TextField(blank=True)
    """Why the last sync found it to be another meter than the one reported so far; empty if it is not."""
    days_compared_at = models.DateTimeField(null=True, blank=True)
    """When the days of its open periods were last compared with OpenMeter, and planned where they differ."""
    deleted_at = models.DateTimeField(null=True, blank=True)
    fetched_at = models.DateTimeField()

    history = HistoricalRecords(excluded_fields=["fetched_at", "days_compared_at"])
    """Who changed how it is measured, and when; what a sync mirrors leaves no trace there."""

    class Meta:
        ordering = ["event_name", "id"]
        default_permissions = ("view", "change")
        permissions = [
            ("set_up_stripe", "Can run Stripe set-up"),
            ("redefine_meter", "Can start a new definition of a meter"),
        ]
        constraints = [
            models.CheckConstraint(condition=Q(decimals__lte=12), name="meter_decimals_at_most_12"),
        ]

    def __str__(self) -> str:
        """Name the meter by its event name."""
        return f"{self.event_name} ({self.stripe_id})"

    @property
    def sets_hours(self) -> bool:
        """Whether one value stands for a whole UTC hour (the *set* style) rather than adding up (*delta*)."""
        return self.event_time_window == "hour"

    @property
    def unsupported(self) -> str:
        """Return why it cannot be reported as it is and what to do, or ""."""
        return why_unsupported(
            name=self.event_name or self.stripe_id,
            formula=self.formula,
            event_time_window=self.event_time_window,
            aggregation=self.aggregation,
            active=self.active,
            deleted=self.deleted_at is not None,
            conflict=self.conflict,
        )

    @property
    def obstacle(self) -> str:
        """Return why it is not reported and what to do, or "": unsupported, or not tied to OpenMeter."""
        return self.unsupported or why_unlinked(name=self.event_name, slug=self.openmeter_slug)

    @property
    def slug(self) -> str:
        """The name people use for this meter."""
        return self.openmeter_slug or self.event_name


class Price(models.Model):
    """A Stripe price with its product's name, mirrored. `meter` is null: licensed, or legacy metered."""

    stripe_id = models.CharField(max_length=255, unique=True)
    active = models.BooleanField(default=True)
    lookup_key = models.CharField(max_length=255, blank=True)
    product_id = models.CharField(max_length=255)
    product_name = models.CharField(max_length=512, blank=True)
    meter = models.ForeignKey(Meter, null=True, blank=True, on_delete=models.PROTECT, related_name="prices")
    usage_type = models.CharField(max_length=20)
    currency = models.CharField(max_length=3)
    unit_amount_decimal = QuantityField(null=True, blank=True)
    billing_scheme = models.CharField(max_length=20)
    tiers_mode = models.CharField(max_length=20, blank=True)
    tiers = models.JSONField(default=list, blank=True)
    transform_quantity = models.JSONField(default=dict, blank=True)
    interval = models.CharField(max_length=10, blank=True)
    interval_count = models.PositiveSmallIntegerField(default=1)
    deleted_at = models.DateTimeField(null=True, blank=True)
    fetched_at = models.DateTimeField()

    class Meta:
        ordering = ["product_name", "id"]
        default_permissions = ("view",)

    def __str__(self) -> str:
        """Name product and price."""
        return f"{self.product_name} ({self.stripe_id})"

    @property
    def terms(self) -> PriceTerms:
        """What decides about the amount of a metered price."""
        return PriceTerms(
            currency=self.currency,
            unit_amount=self.unit_amount_decimal,
            billing_scheme=self.billing_scheme,
            tiers_mode=self.tiers_mode,
            tiers=self.tiers,
            transform_quantity=self.transform_quantity or None,
        )
