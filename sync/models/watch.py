"""Whether reporting is alive, and what was told to whom when it was not."""

from django.db import models
from django.db.models import Q


class Worker(models.Model):
    """A background worker process's latest sign of life."""

    name = models.CharField(max_length=100, unique=True)
    seen_at = models.DateTimeField()

    class Meta:
        ordering = ["-seen_at", "-id"]
        default_permissions = ("view",)
        # What workers repeat by themselves; django-q2's own model of it takes no permissions of ours.
        permissions = [
            ("switch_off_schedule", "Can switch a schedule off"),
            ("switch_on_schedule", "Can switch a schedule on"),
        ]

    def __str__(self) -> str:
        """Name the worker."""
        return self.name


class Incident(models.Model):
    """Something that keeps usage from being billed in time; told once when it begins, once when it ends.

    Of one kind there may be several at a time, each about something else.
    """

    class Kind(models.TextChoices):
        """What is the matter."""

        NO_FULL_RUN = "no_full_run", "No full run for a while"
        WORKER_DEAD = "worker_dead", "No worker is alive"
        HELD = "held", "Reports are held"
        LATE = "late", "Reports are late"
        REJECTED = "rejected", "Stripe refused reports"
        UNKNOWN = "unknown", "Nobody knows whether Stripe has reports"
        PERIOD_CLOSES = "period_closes", "Usage is not in and its period closes soon"

    kind = models.CharField(max_length=30, choices=Kind)
    about = models.CharField(max_length=255, blank=True, default="")
    """What in particular, for machines: a billing period, or a meter and day; "" where there is but one."""
    message = models.TextField()
    began_at = models.DateTimeField()
    told_at = models.DateTimeField(null=True, blank=True)
    """When ADMINS were e-mailed that it began; null while that has not worked yet."""
    claimed_at = models.DateTimeField(null=True, blank=True)
    """When some process began to e-mail; another one may try if this does not end soon."""
    ended_at = models.DateTimeField(null=True, blank=True)
    end_told_at = models.DateTimeField(null=True, blank=True)

    class Meta:
        ordering = ["-began_at", "-id"]
        default_permissions = ("view",)
        constraints = [
            models.UniqueConstraint(
                fields=["kind", "about"], condition=Q(ended_at=None), name="incident_open_once"
            ),
        ]

    def __str__(self) -> str:
        """Name the matter."""
        return f"{self.get_kind_display()}: {self.message}"
