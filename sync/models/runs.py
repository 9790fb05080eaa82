"""Executions of reporting, whoever started them."""

from django.db import models
from django.db.models import Q


class ReportRun(models.Model):
    """One execution of reporting: what it was asked to do, how far it came and what came out."""

    class Trigger(models.TextChoices):
        """Who started it."""

        ADMIN = "admin"
        COMMAND = "command"
        SCHEDULE = "schedule"

    class Status(models.TextChoices):
        """How it stands. `partial`: something is still waiting or failed, the rest went through."""

        QUEUED = "queued"
        RUNNING = "running"
        SUCCEEDED = "succeeded"
        PARTIAL = "partial"
        FAILED = "failed"
        CANCELLED = "cancelled"
        INTERRUPTED = "interrupted"

    trigger = models.CharField(max_length=10, choices=Trigger)
    requested_by = models.CharField(max_length=255, blank=True)
    scope = models.JSONField(default=dict, blank=True)
    window_start = models.DateTimeField(null=True, blank=True)
    window_end = models.DateTimeField(null=True, blank=True)
    dry_run = models.BooleanField(default=False)
    status = models.CharField(max_length=12, choices=Status, default=Status.QUEUED)
    counters = models.JSONField(default=dict, blank=True)
    error = models.TextField(blank=True)
    queued_at = models.DateTimeField()
    started_at = models.DateTimeField(null=True, blank=True)
    heartbeat_at = models.DateTimeField(null=True, blank=True)
    finished_at = models.DateTimeField(null=True, blank=True)

    class Meta:
        ordering = ["-queued_at", "-id"]
        constraints = [
            models.CheckConstraint(
                condition=Q(status="queued")
                | Q(started_at__isnull=False)
                | Q(status__in=["cancelled", "failed"]),
                name="run_started_once_running",
            ),
            models.CheckConstraint(
                condition=Q(status__in=["queued", "running"], finished_at=None)
                | (~Q(status__in=["queued", "running"]) & Q(finished_at__isnull=False)),
                name="run_finished_iff_ended",
            ),
        ]

    def __str__(self) -> str:
        """Name number and status."""
        return f"Run {self.pk} ({self.status})"
