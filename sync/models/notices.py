"""What Stripe told by webhook, kept before it was answered."""

from django.db import models
from django.db.models import Q

from sync.models.catalog import Meter


class StripeNotice(models.Model):
    """An event that Stripe told of. It says only what is to be asked for: nothing else of it is believed.

    Kept once, however often it is delivered. What it showed of an object is not kept.
    """

    event_id = models.CharField(max_length=255, unique=True)
    type = models.CharField(max_length=255)
    object_id = models.CharField(max_length=255, blank=True)
    object_kind = models.CharField(max_length=255, blank=True)
    livemode = models.BooleanField()
    created_at = models.DateTimeField()
    """When it happened, by Stripe's clock."""
    received_at = models.DateTimeField()
    next_attempt_at = models.DateTimeField(null=True, blank=True)
    """From when on somebody may take it; who takes it pushes this ahead. Null once it was handled."""
    handled_at = models.DateTimeField(null=True, blank=True)
    attempts = models.PositiveIntegerField(default=0)
    """How often handling it failed."""
    outcome = models.TextField(blank=True)
    """What was done, or why nothing was."""
    error = models.TextField(blank=True)
    """Why handling it failed the last time."""

    report = models.JSONField(default=dict, blank=True)
    """Of events that Stripe refused: how many, the codes, and the samples it names."""
    meter = models.ForeignKey(Meter, null=True, blank=True, on_delete=models.PROTECT, related_name="notices")
    validation_start = models.DateTimeField(null=True, blank=True)
    validation_end = models.DateTimeField(null=True, blank=True)
    """When Stripe looked at the events that it refuses: they came in before, whatever they are dated."""
    needs_comparison = models.BooleanField(default=False)
    """Whether Stripe refused more than it names, so that its totals have to be compared."""
    compared_at = models.DateTimeField(null=True, blank=True)

    class Meta:
        verbose_name, verbose_name_plural = "notice", "notices"
        ordering = ["-received_at", "-id"]
        default_permissions = ("view",)
        indexes = [
            models.Index(
                fields=["next_attempt_at"],
                condition=Q(next_attempt_at__isnull=False),
                name="notice_due",
            ),
            models.Index(fields=["received_at"], name="notice_received"),
            models.Index(
                fields=["meter"],
                condition=Q(needs_comparison=True, compared_at=None),
                name="notice_to_compare",
            ),
        ]
        constraints = [
            models.CheckConstraint(
                condition=Q(handled_at=None, next_attempt_at__isnull=False)
                | Q(handled_at__isnull=False, next_attempt_at=None),
                name="notice_is_handled_or_due",
            ),
            models.CheckConstraint(
                condition=Q(compared_at=None) | Q(needs_comparison=True), name="notice_compared_if_needed"
            ),
        ]

    def __str__(self) -> str:
        """Name event and type."""
        return f"{self.type} ({self.event_id})"
