"""The settings of a meter that are the console's own."""

from datetime import timedelta
from typing import Any

from django import forms
from django.core.exceptions import ValidationError

from sync.admin.dialogs.reason import ReasonField
from sync.admin.filters_field import FiltersField
from sync.conf import load_config
from sync.domain.settling import longest_settle, why_reported_too_late
from sync.models import Meter
from sync.operations.choose_source import choose_source
from sync.ports import InvalidInput, SourceMeter, SyncError
from sync.queries.overlapping import why_overlapping
from sync.schedules import REPORT_MINUTES
from sync.wiring import connect_briefly


class MeterForm(forms.ModelForm[Meter]):
    """Refuses what could not be measured, and asks why."""

    filters = FiltersField()
    why = ReasonField()
    source: SourceMeter | None = None
    """OpenMeter's meter, once it was looked up."""

    class Meta:
        """How the console's own settings are called and explained."""

        labels = {
            "openmeter_slug": "OpenMeter slug",
            "settle_seconds": "Settle time in seconds",
            "max_units_per_slice": "Most units per slice",
        }
        help_texts = {
            "openmeter_slug": "The OpenMeter meter that measures it, a SUM or COUNT; it must exist there.",
            "scale": "Measured × scale = billed units.",
            "decimals": "Of billed units, at most 12.",
            "settle_seconds": "How long after its end a slice may still receive usage in OpenMeter.",
            "max_units_per_slice": "A slice with more is held for a person; empty means no limit.",
        }

    def clean_scale(self) -> Any:
        """Measured × scale = billed units, so the scale is above zero."""
        scale = self.cleaned_data["scale"]
        if scale <= 0:
            message = "The scale must be above zero."
            raise ValidationError(message)
        return scale

    def clean_settle_seconds(self) -> int:
        """What settles last is still in before its invoice becomes final."""
        seconds: int = self.cleaned_data["settle_seconds"]
        every, grace = timedelta(minutes=REPORT_MINUTES), load_config().invoice_grace
        problem = why_reported_too_late(
            what="this settle time", settle=timedelta(seconds=seconds), every=every, grace=grace
        )
        if problem:
            most = max(0, int(longest_settle(every=every, grace=grace).total_seconds()))
            way_out = f"Enter at most {most:,} seconds, or let Stripe keep invoices open for longer."
            message = f"{problem} {way_out}"
            raise ValidationError(message)
        return seconds

    def clean(self) -> dict[str, Any] | None:
        """OpenMeter has the meter that is named, can bill it, and groups it by what it is filtered by.

        And nobody is billed for the same usage by another meter.
        """
        cleaned = super().clean()
        slug, filters = (self.cleaned_data.get(name) for name in ("openmeter_slug", "filters"))
        before = (self.instance.openmeter_slug, self.instance.filters)
        if not slug or filters is None or (slug, filters) == before:
            return cleaned
        try:
            openmeter = connect_briefly(load_config()).openmeter
            self.source = choose_source(openmeter, slug=slug, filters=filters)
        except InvalidInput as error:
            self.add_error("openmeter_slug", str(error))
        except SyncError as error:
            message = f"{error} So nobody knows whether OpenMeter has {slug}, and nothing was saved."
            self.add_error(None, message)
        meter = self.instance
        problem = why_overlapping(
            name=meter.event_name,
            slug=slug,
            filters=filters,
            meter_id=meter.pk,
            replaces=meter.replaces_id,
        )
        if problem and "filters" in self.fields:
            self.add_error("filters", problem)
        return cleaned
