"""Incidents: when reporting was not alive, and when somebody was told."""

from django.contrib import admin

from sync.admin.console_admin import ReadOnlyAdmin
from sync.models import Incident


@admin.register(Incident)
class IncidentAdmin(ReadOnlyAdmin):
    """What was the matter, and how long."""

    list_display = ["kind", "message", "began_at", "told_at", "ended_at", "end_told_at"]
    list_filter = ["kind"]
    search_fields = ["message"]
    when_empty = "Nothing ever kept usage from being billed in time."
    ordering = ["-began_at", "-id"]
