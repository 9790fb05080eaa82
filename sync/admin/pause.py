"""Pauses: what stands still, or stood, and why."""

from django.contrib import admin

from sync.admin.console_admin import ReadOnlyAdmin
from sync.admin.dialogs.pause_reporting import PauseEverything, ResumeReporting
from sync.models import Pause


@admin.register(Pause)
class PauseAdmin(ReadOnlyAdmin):
    """Who paused what, and when it went on."""

    dialogs = (PauseEverything, ResumeReporting)

    list_display = ["scope", "reason", "paused_by", "paused_at", "resumed_by", "resumed_at"]
    list_filter = [("resumed_at", admin.EmptyFieldListFilter)]
    search_fields = ["scope", "reason", "paused_by", "customer__name", "meter__event_name"]
    ordering = ["-paused_at", "-id"]
