"""Enrolments: one customer on one meter."""

from django.contrib import admin

from sync.admin.console_admin import ReadOnlyAdmin
from sync.models import Enrolment


@admin.register(Enrolment)
class EnrolmentAdmin(ReadOnlyAdmin):
    """How far each customer's usage has been measured, and what is paused."""

    list_display = ["id", "customer", "meter", "report_from", "planned_through"]
    list_select_related = ["customer", "meter"]
    list_filter = ["meter"]
    search_fields = ["customer__stripe_id", "customer__name", "customer__email", "meter__openmeter_slug"]
    ordering = ["customer__name", "id"]
