"""When reporting stands still, for whom and why."""

from django.db import models
from django.db.models import Q

from sync.models.catalog import Meter
from sync.models.customers import Customer


class Pause(models.Model):
    """Nothing is measured or sent for everything, one meter or one customer until `resumed_at`.

    Rows stay when they are over, so that anybody can see later why nothing was reported meanwhile.
    `paused_at` and `resumed_at` are half-open; usage of that time is reported once it is over.
    """

    meter = models.ForeignKey(Meter, null=True, blank=True, on_delete=models.PROTECT, related_name="pauses")
    customer = models.ForeignKey(
        Customer, null=True, blank=True, on_delete=models.PROTECT, related_name="pauses"
    )
    by_stripe = models.BooleanField(default=False)
    """Stripe refuses the meter's events; a sync that finds it active again resumes it."""
    scope = models.CharField(max_length=300)
    """Names what stands still, so that it is paused once at a time: `everything`, `meter:mtr_…`, …"""
    reason = models.TextField()
    paused_by = models.CharField(max_length=255)
    paused_at = models.DateTimeField()
    resumed_by = models.CharField(max_length=255, blank=True)
    resumed_at = models.DateTimeField(null=True, blank=True)
    resume_reason = models.TextField(blank=True)

    class Meta:
        ordering = ["-paused_at", "-id"]
        default_permissions = ("view",)
        permissions = [
            ("pause_reporting", "Can pause reporting"),
            ("resume_reporting", "Can resume reporting"),
        ]
        constraints = [
            models.UniqueConstraint(
                fields=["scope"], condition=Q(resumed_at=None), name="paused_once_at_a_time"
            ),
            models.CheckConstraint(
                condition=Q(meter=None) | Q(customer=None), name="pause_of_meter_or_customer"
            ),
            models.CheckConstraint(
                condition=Q(by_stripe=False) | Q(meter__isnull=False), name="stripe_refuses_meters_only"
            ),
            models.CheckConstraint(condition=~Q(reason=""), name="a_pause_has_a_reason"),
        ]

    def __str__(self) -> str:
        """Say what stands still."""
        return f"{self.scope}: {self.reason}"

    @property
    def sentence(self) -> str:
        """Return what stands still since when, by whom and why, for people."""
        what = "everything"
        if self.meter:
            what = f"meter {self.meter.slug}"
        elif self.customer:
            what = f"{self.customer}"
        return (
            f"Reporting of {what} is paused since {self.paused_at:%Y-%m-%d %H:%M} UTC by {self.paused_by}: "
            f"{self.reason}"
        )
