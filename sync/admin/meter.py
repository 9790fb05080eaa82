"""Meters: what is measured, and how it is turned into billed units."""

from typing import Any

from django import forms
from django.contrib import admin
from django.core.exceptions import ValidationError
from django.db import transaction
from django.http import HttpRequest

from sync.admin.console_admin import ConsoleAdmin
from sync.admin.dialogs.pause_reporting import PauseReporting, ResumeReporting
from sync.admin.dialogs.set_up_stripe import SetUpStripe
from sync.admin.dialogs.sync_stripe import SyncStripe
from sync.models import Meter, UsageReport
from sync.operations.measure_anew import measure_anew

DEFINITION = ("openmeter_slug", "filters", "scale", "decimals")
"""What defines the measurement: fixed once something was reported by it."""
TUNABLE = ("settle_seconds", "max_units_per_slice")
"""What may change at any time."""


class MeterForm(forms.ModelForm[Meter]):
    """Refuses what could not be measured."""

    def clean_scale(self) -> Any:
        """Measured × scale = billed units, so the scale is above zero."""
        scale = self.cleaned_data["scale"]
        if scale <= 0:
            message = "The scale must be above zero."
            raise ValidationError(message)
        return scale

    def clean_filters(self) -> Any:
        """Filters name, for each group-by key, the values that count."""
        filters = self.cleaned_data["filters"] or {}
        well_formed = isinstance(filters, dict) and all(
            isinstance(values, list) and values and all(isinstance(value, str) for value in values)
            for values in filters.values()
        )
        if not well_formed:
            message = 'Write filters like {"model": ["gpt-5", "gpt-5-mini"]}; leave {} to count everything.'
            raise ValidationError(message)
        return filters


@admin.register(Meter)
class MeterAdmin(ConsoleAdmin):
    """Stripe's side is mirrored; OpenMeter's side and the units are the console's own."""

    form = MeterForm
    dialogs = (SyncStripe, SetUpStripe, PauseReporting, ResumeReporting)
    list_display = [
        "event_name",
        "display_name",
        "openmeter_slug",
        "aggregation",
        "formula",
        "event_time_window",
        "active",
    ]
    list_filter = ["active"]
    search_fields = ["event_name", "display_name", "openmeter_slug", "stripe_id"]
    ordering = ["event_name", "id"]
    fields = [
        "stripe_id",
        "event_name",
        "display_name",
        "formula",
        "event_time_window",
        "active",
        "aggregation",
        *DEFINITION,
        *TUNABLE,
        "conflict",
        "deleted_at",
        "fetched_at",
    ]

    def has_add_permission(self, request: HttpRequest) -> bool:  # noqa: ARG002 - Django's signature
        """Meters come from Stripe: set_up_stripe creates them there."""
        return False

    def has_delete_permission(self, request: HttpRequest, obj: Meter | None = None) -> bool:  # noqa: ARG002 - Django's signature
        """The ledger speaks of meters for ever."""
        return False

    def get_readonly_fields(self, request: HttpRequest, obj: Meter | None = None) -> list[Any]:
        """Everything but the console's own settings; after the first report its definition, too."""
        frozen = obj is None or UsageReport.objects.filter(enrolment__meter=obj).exists()
        editable = TUNABLE if frozen else (*DEFINITION, *TUNABLE)
        shown = [name for name in self.fields or () if isinstance(name, str) and name not in editable]
        return [*super().get_readonly_fields(request, obj), *shown]

    def save_model(self, request: HttpRequest, obj: Meter, form: forms.ModelForm[Meter], change: Any) -> None:  # noqa: ARG002 - Django's signature
        """Save only what was edited; a new slug is tied to OpenMeter's meter by the next sync.

        What was measured under another definition, and found to be nothing, is measured again.
        """
        changed = list(form.changed_data)
        if "openmeter_slug" in changed:
            obj.openmeter_id = obj.aggregation = ""
            changed += ["openmeter_id", "aggregation"]
        with transaction.atomic():
            before = Meter.objects.get(pk=obj.pk)
            obj.save(update_fields=changed)
            # A form takes filters for changed that nobody touched.
            if any(getattr(before, name) != getattr(obj, name) for name in DEFINITION):
                measure_anew(obj)
