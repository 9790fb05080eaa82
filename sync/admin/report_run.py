"""Runs: executions of reporting."""

from django.contrib import admin

from sync.admin.console_admin import ReadOnlyAdmin
from sync.admin.dialogs.cancel_run import CancelRun
from sync.admin.dialogs.report_usage import ReportEverything
from sync.admin.dialogs.sync_stripe import SyncStripe
from sync.models import ReportRun


@admin.register(ReportRun)
class ReportRunAdmin(ReadOnlyAdmin):
    """Who asked for what, and what came of it."""

    dialogs = (ReportEverything, SyncStripe, CancelRun)

    list_display = [
        "id",
        "status",
        "trigger",
        "requested_by",
        "dry_run",
        "queued_at",
        "finished_at",
        "outcomes",
    ]
    list_filter = ["status", "trigger", "dry_run"]
    search_fields = ["requested_by", "error"]
    ordering = ["-queued_at", "-id"]

    @admin.display(empty_value="–")
    def outcomes(self, run: ReportRun) -> str:
        """Its counters that are not zero."""
        return ", ".join(f"{name}: {count}" for name, count in sorted(run.counters.items()) if count)
