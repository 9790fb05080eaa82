"""Subjects: the keys that OpenMeter files usage under."""

from django.contrib import admin

from sync.admin.console_admin import ReadOnlyAdmin
from sync.models import Subject


@admin.register(Subject)
class SubjectAdmin(ReadOnlyAdmin):
    """Whose usage is filed under which key, and since when."""

    list_display = ["key", "customer", "valid_from", "valid_to", "seen_at"]
    list_select_related = ["customer"]
    search_fields = ["key", "customer__stripe_id", "customer__name"]
    ordering = ["key", "id"]
