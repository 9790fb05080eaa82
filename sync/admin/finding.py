"""Findings: differences and obstacles that a person should look at."""

from django.contrib import admin

from sync.admin.console_admin import ReadOnlyAdmin
from sync.models import Finding


@admin.register(Finding)
class FindingAdmin(ReadOnlyAdmin):
    """What is the matter, since when, and how it ended."""

    list_display = ["kind", "message", "customer", "meter", "found_at", "seen_at", "resolved_at"]
    list_select_related = ["customer", "meter"]
    list_filter = ["kind", ("resolved_at", admin.EmptyFieldListFilter)]
    search_fields = ["message", "fingerprint", "customer__stripe_id", "customer__name"]
    ordering = ["-found_at", "-id"]
