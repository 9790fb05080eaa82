"""What came of comparing OpenMeter, the ledger and Stripe."""

from django.db import models
from django.db.models import Q

from sync.domain.reconciliation import Cause
from sync.models.catalog import Meter
from sync.models.customers import Customer
from sync.models.fields import QuantityField
from sync.models.runs import ReportRun
from sync.models.subscriptions import BillingPeriod


class Reconciliation(models.Model):
    """A comparison of whole UTC days in `[start, end)`, and of the invoices that became final in them."""

    run = models.OneToOneField(ReportRun, on_delete=models.PROTECT, related_name="reconciliation")
    start = models.DateTimeField()
    end = models.DateTimeField()
    is_whole = models.BooleanField(default=False)
    """Whether it came to its end, over every customer and meter, with all sides answering."""

    class Meta:
        ordering = ["-id"]
        default_permissions = ("view",)

    def __str__(self) -> str:
        """Name its run."""
        return f"Reconciliation of run {self.run_id}"


class ReconciledDay(models.Model):
    """What a meter's UTC day comes to on each side, in billed units. Append-only."""

    reconciliation = models.ForeignKey(Reconciliation, on_delete=models.CASCADE, related_name="days")
    meter = models.ForeignKey(Meter, on_delete=models.PROTECT, related_name="reconciled_days")
    day = models.DateField()
    used = QuantityField()
    """By OpenMeter now, of subjects that have a customer on this meter."""
    measured = QuantityField()
    """By the ledger, whatever became of it."""
    told = QuantityField()
    """What Stripe surely was told, by the ledger."""
    held = QuantityField(null=True, blank=True)
    """What Stripe holds; null where it was not asked, or did not answer."""

    class Meta:
        ordering = ["meter", "day"]
        default_permissions = ()
        constraints = [
            models.UniqueConstraint(fields=["reconciliation", "meter", "day"], name="reconciled_day_once"),
        ]

    def __str__(self) -> str:
        """Name meter and day."""
        return f"{self.meter_id} on {self.day:%Y-%m-%d}"


class Difference(models.Model):
    """Units that one side has and the next one has not, and why. Append-only."""

    reconciliation = models.ForeignKey(Reconciliation, on_delete=models.CASCADE, related_name="differences")
    meter = models.ForeignKey(Meter, on_delete=models.PROTECT, related_name="differences")
    customer = models.ForeignKey(
        Customer, null=True, blank=True, on_delete=models.PROTECT, related_name="differences"
    )
    subject = models.CharField(max_length=512, blank=True)
    """Whose usage it is, where no customer is known."""
    day = models.DateField(null=True, blank=True)
    """The UTC day; null for a whole period, or all days together."""
    period = models.ForeignKey(
        BillingPeriod, null=True, blank=True, on_delete=models.PROTECT, related_name="differences"
    )
    cause = models.CharField(max_length=20, choices=[(cause.value, cause.words) for cause in Cause])
    units = QuantityField()
    """Billed units that the later side lacks; negative where it has more."""
    detail = models.TextField(blank=True)

    class Meta:
        ordering = ["-reconciliation", "meter", "cause", "day", "id"]
        default_permissions = ("view",)
        constraints = [
            models.CheckConstraint(condition=~Q(units=0), name="a_difference_is_not_zero"),
        ]

    def __str__(self) -> str:
        """Name the cause and where it was found."""
        return f"{Cause(self.cause).words} ({self.pk})"
