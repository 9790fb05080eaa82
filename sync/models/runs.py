"""Executions of reporting, whoever started them."""

from django.db import models
from django.db.models import Q


class ReportRun(models.Model):
    """One execution of reporting: what it was asked to do, how far it came and what came out."""

    class Kind(models.TextChoices):
        """What is done: the main job, a full mirror of Stripe, a re-read of what changed there,
        or a comparison of all sides."""

        REPORT = "report"
        SYNC = "sync"
        CHANGES = "changes"
        RECONCILE = "reconcile"

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

    kind = models.CharField(max_length=10, choices=Kind, default=Kind.REPORT)
    trigger = models.CharField(max_length=10, choices=Trigger)
    requested_by = models.CharField(max_length=255, blank=True)
    scope = models.JSONField(default=dict, blank=True)
    window_start = models.DateTimeField(null=True, blank=True)
    window_end = models.DateTimeField(null=True, blank=True)
    dry_run = models.BooleanField(default=False)
    with_sync = models.BooleanField(default=True)
    """Whether Stripe is mirrored first."""
    retry_rejected = models.BooleanField(default=False)
    every_customer = models.BooleanField(default=False)
    """Whether a comparison asks Stripe about customers, too, who used nothing and have no reports."""
    as_of = models.DateTimeField(null=True, blank=True)
    """What had closed by then is planned, and nothing younger: the instant of the preview that a person
    confirmed; null means that nobody did, and by the time it is planned."""
    confirmed = models.JSONField(default=dict, blank=True)
    """What a person saw and confirmed: meter's Stripe id → billed units (text), and whose they are."""
    shown = models.JSONField(default=dict, blank=True)
    """What that preview showed beside it, as `confirmed_reports` reads it: which reports were due before,
    their units, and the money of everything."""
    status = models.CharField(max_length=12, choices=Status, default=Status.QUEUED)
    counters = models.JSONField(default=dict, blank=True)
    steps = models.JSONField(default=list, blank=True)
    """What it did so far, in order: name, done, total (0 if unknown), started_at, finished_at (ISO, UTC)."""
    error = models.TextField(blank=True)
    is_full = models.BooleanField(default=False)
    """Whether all of its scope was measured and nothing failed but what Stripe refuses: a run of everything
    that is full proves that reporting works."""
    notes = models.TextField(blank=True)
    """What people should know although it is no fault: what is paused, what was stopped."""
    cancel_asked_at = models.DateTimeField(null=True, blank=True)
    cancel_asked_by = models.CharField(max_length=255, blank=True)
    cancel_reason = models.TextField(blank=True)
    idle_runs = models.PositiveIntegerField(default=0)
    """How many other scheduled runs of that day, which found nothing to do, this row stands for."""
    queued_at = models.DateTimeField()
    started_at = models.DateTimeField(null=True, blank=True)
    heartbeat_at = models.DateTimeField(null=True, blank=True)
    finished_at = models.DateTimeField(null=True, blank=True)

    class Meta:
        verbose_name, verbose_name_plural = "run", "runs"
        ordering = ["-queued_at", "-id"]
        default_permissions = ("view",)
        permissions = [
            ("report_usage", "Can report usage to Stripe"),
            ("sync_stripe", "Can sync with Stripe"),
            ("reconcile_usage", "Can compare OpenMeter, the ledger and Stripe"),
            ("cancel_reportrun", "Can cancel a run"),
        ]
        constraints = [
            # A schedule that fires while its last run still goes on does not start a second one.
            models.UniqueConstraint(
                fields=["kind"],
                condition=Q(trigger="schedule", status__in=["queued", "running"]),
                name="one_scheduled_run_at_a_time",
            ),
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
        """Name its number."""
        return f"Run {self.pk}"
