"""Users and groups, in the console's theme."""

from typing import Any

from django.contrib import admin
from django.contrib.auth.admin import GroupAdmin, UserAdmin
from django.contrib.auth.models import Group, User
from django.db import models
from django.http import HttpRequest
from unfold.admin import ModelAdmin
from unfold.forms import AdminPasswordChangeForm, UserChangeForm, UserCreationForm
from unfold.widgets import UnfoldAdminCheckboxSelectMultipleWidget

from sync.admin.formats import when
from sync.admin.lists import ListView

admin.site.unregister(User)
admin.site.unregister(Group)


@admin.register(User)
class ConsoleUserAdmin(ListView, UserAdmin, ModelAdmin):  # type: ignore[type-arg,misc] # unfold ships no types
    """Who may log in. People who leave are deactivated, so that the log still names them.

    What somebody may do comes from groups only: one place says it, and everybody in a group may do the same.
    """

    fieldsets = (
        (None, {"fields": ("username", "password")}),
        ("Person", {"fields": ("first_name", "last_name", "email")}),
        ("Rights", {"fields": ("is_active", "is_staff", "is_superuser", "groups")}),
        ("Dates", {"fields": ("last_login_shown", "date_joined_shown")}),
    )
    readonly_fields = ("last_login_shown", "date_joined_shown")
    filter_horizontal = ()
    form = UserChangeForm
    add_form = UserCreationForm
    change_password_form = AdminPasswordChangeForm

    @admin.display(description="last login")
    def last_login_shown(self, user: User) -> str:
        """When they came last."""
        return when(user.last_login)

    @admin.display(description="date joined")
    def date_joined_shown(self, user: User) -> str:
        """Since when they may come."""
        return when(user.date_joined)

    def formfield_for_manytomany(
        self, db_field: "models.ManyToManyField[Any, Any]", request: HttpRequest, **kwargs: Any
    ) -> Any:
        """Show groups as boxes to tick."""
        field = super().formfield_for_manytomany(db_field, request, **kwargs)
        if db_field.name == "groups" and field is not None:
            field.widget = UnfoldAdminCheckboxSelectMultipleWidget(choices=field.choices)
            field.help_text = ""
        return field

    def has_delete_permission(self, request: HttpRequest, obj: Any = None) -> bool:  # noqa: ARG002 - Django's signature
        """Nobody is deleted: with them the log of what they did would go."""
        return False


@admin.register(Group)
class ConsoleGroupAdmin(ListView, GroupAdmin, ModelAdmin):  # type: ignore[misc] # unfold ships no types
    """Who may do what: Billing viewer, operator and admin, and whatever groups are made here."""
