"""The field in which a dialog asks for a customer: it searches while somebody types."""

from typing import Any

from django import forms
from django.contrib import admin
from django.contrib.admin.widgets import AutocompleteSelect

from sync.models import Customer, Subject


class CustomerField(forms.ModelChoiceField[Customer]):
    """Takes a customer who is still in Stripe."""

    def __init__(self, **kwargs: Any) -> None:
        """Search the customers that the reader may see."""
        widget = AutocompleteSelect(
            Subject._meta.get_field("customer"),  # noqa: SLF001 - Django's documented way to a field
            admin.site,
            attrs={"class": "unfold-filter-autocomplete", "style": "width: 100%"},
        )
        super().__init__(queryset=Customer.objects.filter(deleted_at=None), widget=widget, **kwargs)
        self.error_messages["invalid_choice"] = "There is no such customer in Stripe any more."


SCRIPTS = (
    "admin/js/vendor/jquery/jquery.min.js",
    "admin/js/vendor/select2/select2.full.js",
    "admin/js/jquery.init.js",
    "unfold/js/select2.init.js",
)
STYLES = {"screen": ("admin/css/vendor/select2/select2.css", "admin/css/autocomplete.css")}
"""What the field needs beside its own; for the `Media` of forms that have it."""
