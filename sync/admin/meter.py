"""Meters: what is measured, and how it is turned into billed units."""

from typing import Any

from django import forms
from django.contrib import admin
from django.db import transaction
from django.db.models import Count, Exists, OuterRef, QuerySet
from django.http import HttpRequest, HttpResponse
from django.utils.html import format_html
from django.utils.safestring import SafeString

from sync.admin.chips import BAD, GOOD, QUIET, WAITS, chip
from sync.admin.dialogs.pause_reporting import PauseReporting, ResumeReporting
from sync.admin.dialogs.redefine_meter import RedefineMeter
from sync.admin.dialogs.set_up_stripe import SetUpStripe
from sync.admin.dialogs.sync_stripe import SyncStripe
from sync.admin.formats import stripe_link, units
from sync.admin.mapping_admin import MappingAdmin
from sync.admin.meter_form import MeterForm
from sync.conf import load_config
from sync.domain.filters import in_words
from sync.domain.meters import filters_sentence, style_sentence, units_sentence
from sync.domain.quantities import as_text
from sync.models import Meter, Pause
from sync.operations.keep_reason import keep_reason
from sync.operations.measure_anew import measure_anew
from sync.queries.meter_story import is_frozen, meter_story

DEFINITION = ("openmeter_slug", "filters", "scale", "decimals")
"""What defines the measurement: fixed once something was reported by it."""
TUNABLE = ("settle_seconds", "max_units_per_slice")
"""What may change at any time."""
SHOWN = {
    "filters": "filters_shown",
    "scale": "scale_shown",
    "max_units_per_slice": "most_units_shown",
}
"""How filters and quantities are shown that cannot be edited."""


@admin.register(Meter)
class MeterAdmin(MappingAdmin):
    """Stripe's side is mirrored; OpenMeter's side and the units are the console's own."""

    form = MeterForm
    dialogs = (SyncStripe, SetUpStripe, RedefineMeter, PauseReporting, ResumeReporting)
    list_display = ["event_name", "display_name", "slug_shown", "style", "enrolled", "state"]
    list_filter = ["active"]
    search_fields = ["event_name", "display_name", "openmeter_slug", "stripe_id"]
    search_help_text = "A name, OpenMeter's slug, or Stripe's id"
    when_empty = "Run Stripe setup… creates a meter, and Sync with Stripe… reads those that exist."
    ordering = ["event_name", "id"]
    change_form_before_template = "sync/meter_state.html"
    change_form_after_template = "sync/meter_story.html"
    fieldsets = [
        (
            "Measured in OpenMeter",
            {"fields": ["openmeter_slug", "in_openmeter", "aggregation", "filters", "filters_in_words"]},
        ),
        (
            "Turned into billed units",
            {"fields": ["scale", "decimals", "settle_seconds", "max_units_per_slice"]},
        ),
        (
            "Billed in Stripe",
            {
                "fields": [
                    "in_stripe",
                    "event_name",
                    "display_name",
                    "formula",
                    "event_time_window",
                    "active",
                    "deleted_at",
                    "fetched_at",
                ]
            },
        ),
    ]

    def has_add_permission(self, request: HttpRequest) -> bool:  # noqa: ARG002 - Django's signature
        """Meters come from Stripe: set_up_stripe creates them there."""
        return False

    def has_delete_permission(self, request: HttpRequest, obj: Meter | None = None) -> bool:  # noqa: ARG002 - Django's signature
        """The ledger speaks of meters for ever."""
        return False

    def get_queryset(self, request: HttpRequest) -> QuerySet[Meter]:
        """Count who is on each meter, and know which stand still."""
        rows: QuerySet[Meter] = super().get_queryset(request)
        pauses = Pause.objects.filter(meter=OuterRef("pk"), resumed_at=None)
        return rows.annotate(enrolled=Count("enrolments"), paused=Exists(pauses))

    def get_fieldsets(self, request: HttpRequest, obj: Meter | None = None) -> Any:
        """Show what cannot be edited as everywhere else: in words, and without empty decimals."""
        editable = self._editable(request, obj)
        shown = [
            (
                title,
                {
                    "fields": [
                        name if name in editable else SHOWN.get(name, name)
                        for name in options["fields"]
                        # What is shown in words needs no words beside it.
                        if name != "filters_in_words" or "filters" in editable
                    ]
                },
            )
            for title, options in super().get_fieldsets(request, obj)
        ]
        return [*shown, ("Reason for the change", {"fields": ["why"]})] if editable else shown

    def _editable(self, request: HttpRequest, obj: Meter | None) -> tuple[str, ...]:
        if obj is None or not self.has_change_permission(request, obj):
            return ()
        return TUNABLE if is_frozen(obj) else (*DEFINITION, *TUNABLE)

    def get_readonly_fields(self, request: HttpRequest, obj: Meter | None = None) -> list[Any]:
        """Everything but the console's own settings; after the first report its definition, too."""
        editable = self._editable(request, obj)
        names = [name for _, options in self.fieldsets for name in options["fields"]]
        shown = [name for name in (*names, *SHOWN.values()) if name not in editable]
        return [*super().get_readonly_fields(request, obj), *shown]

    def render_change_form(
        self, request: HttpRequest, context: dict[str, Any], *args: Any, **kwargs: Any
    ) -> HttpResponse:
        """Add how it works in words, and everything that hangs on it."""
        meter = context["original"]
        context |= {
            "meter": meter,
            "story": meter_story(meter),
            "style": style_sentence(meter.event_time_window),
            "units": units_sentence(scale=as_text(meter.scale), decimals=meter.decimals),
            "filtered": filters_sentence(meter.filters),
        }
        answer: HttpResponse = super().render_change_form(request, context, *args, **kwargs)
        return answer

    def save_model(self, request: HttpRequest, obj: Meter, form: forms.ModelForm[Meter], change: Any) -> None:  # noqa: ARG002 - Django's signature
        """Save only what was edited; a new slug is tied to the meter that OpenMeter has under it.

        What was measured under another definition, and found to be nothing, is measured again.
        """
        changed = _changed(form)
        if "openmeter_slug" in changed:
            source = form.source if isinstance(form, MeterForm) else None
            obj.openmeter_id, obj.aggregation = (source.id, source.aggregation) if source else ("", "")
            changed += ["openmeter_id", "aggregation"]
        with transaction.atomic():
            before = Meter.objects.get(pk=obj.pk)
            keep_reason(obj, form.cleaned_data["why"]).save(update_fields=changed)
            # A form takes filters for changed that nobody touched.
            if any(getattr(before, name) != getattr(obj, name) for name in DEFINITION):
                measure_anew(obj)

    def construct_change_message(
        self,
        request: HttpRequest,  # noqa: ARG002 - Django's signature
        form: Any,
        formsets: Any,  # noqa: ARG002
        add: Any = None,  # noqa: ARG002
    ) -> str:
        """Say what changed, and why."""
        names = ", ".join(str(form.fields[name].label) for name in _changed(form)) or "nothing"
        return f"Changed {names}. {form.cleaned_data['why']}"

    @admin.display(description="OpenMeter slug", ordering="openmeter_slug", empty_value="–")
    def slug_shown(self, meter: Meter) -> str:
        """What measures it."""
        return meter.openmeter_slug

    @admin.display(description="style", ordering="event_time_window")
    def style(self, meter: Meter) -> str:
        """Whether reports add up or stand for an hour."""
        return "set: one value an hour" if meter.sets_hours else "delta: adds up"

    @admin.display(description="customers", ordering="enrolled")
    def enrolled(self, meter: Meter) -> int:
        """How many customers are on it."""
        count: int = getattr(meter, "enrolled", 0)
        return count

    @admin.display(description="state")
    def state(self, meter: Meter) -> SafeString:
        """Whether its usage reaches Stripe."""
        if meter.deleted_at:
            return chip("gone in Stripe", tone=QUIET, icon="delete")
        if meter.obstacle:
            return chip("not reported", tone=BAD, icon="error")
        if getattr(meter, "paused", False):
            return chip("paused", tone=WAITS, icon="pause_circle")
        return chip("reported", tone=GOOD, icon="check_circle")

    @admin.display(description="in Stripe")
    def in_stripe(self, meter: Meter) -> str:
        """Its page in Stripe's dashboard."""
        return stripe_link("meter", meter.stripe_id)

    @admin.display(description="in OpenMeter")
    def in_openmeter(self, meter: Meter) -> str:
        """OpenMeter's own answer, where a browser may ask for it: no token is wanted."""
        config = load_config()
        if not meter.openmeter_id:
            return "not tied yet"
        if config.openmeter_token:
            return meter.openmeter_id
        address = f"{config.openmeter_url}/api/v1/meters/{meter.openmeter_id}"
        link = '<a class="outward" href="{}" target="_blank" rel="noopener noreferrer">{}</a>'
        return format_html(link, address, meter.openmeter_id)

    @admin.display(description="which means")
    def filters_in_words(self, meter: Meter) -> str:
        """What counts."""
        return filters_sentence(meter.filters)

    @admin.display(description="filters")
    def filters_shown(self, meter: Meter) -> str:
        """What counts, where nobody can change it."""
        return in_words(meter.filters) or "all usage of the meter"

    @admin.display(description="scale")
    def scale_shown(self, meter: Meter) -> str:
        """Measured × scale = billed units."""
        return units(meter.scale)

    @admin.display(description="Most units per slice")
    def most_units_shown(self, meter: Meter) -> str:
        """A slice with more is held."""
        return units(meter.max_units_per_slice)


def _changed(form: forms.ModelForm[Meter]) -> list[str]:
    """Return the fields of the meter that somebody changed; the reason is none."""
    return [name for name in form.changed_data if name != "why"]
