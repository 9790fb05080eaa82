"""What each meter's days come to, added up once so that no page has to."""

from django.db import models

from sync.models.catalog import Meter
from sync.models.fields import QuantityField


class UsageDay(models.Model):
    """One meter's slices that begin on one UTC day: billed units measured and delivered, reports by state.

    Derived from the ledger by `operations.sum_up_days`; it can be made again at any time.
    """

    meter = models.ForeignKey(Meter, on_delete=models.PROTECT, related_name="usage_days")
    day = models.DateField()
    measured_units = QuantityField(default=0)
    """What the slices come to, by their newest standing revision."""
    delivered_units = QuantityField(default=0)
    """What Stripe holds of it by the ledger."""
    delivered = models.PositiveIntegerField(default=0)
    """Reports that Stripe has."""
    waiting = models.PositiveIntegerField(default=0)
    """Reports that will be sent without anybody's doing."""
    failed = models.PositiveIntegerField(default=0)
    """Reports that wait for a person: held, late, refused, or of unknown outcome."""
    stale = models.BooleanField(default=False)
    """Whether the ledger changed since; the next run's end adds it up again."""
    summed_at = models.DateTimeField()

    class Meta:
        ordering = ["meter", "day"]
        default_permissions = ("view",)
        constraints = [models.UniqueConstraint(fields=["meter", "day"], name="usage_day_once")]

    def __str__(self) -> str:
        """Name meter and day."""
        return f"{self.meter_id} on {self.day:%Y-%m-%d}"
