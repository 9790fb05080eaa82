"""New definition…: a meter that was reported by gets a successor that measures otherwise."""

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from django import forms
from django.utils import timezone
from unfold.widgets import (
    UnfoldAdminDecimalFieldWidget,
    UnfoldAdminIntegerFieldWidget,
    UnfoldAdminSelectWidget,
    UnfoldAdminTextInputWidget,
)

from sync.admin.dialogs.choose_first import ChooseFirst
from sync.admin.dialogs.dialog import DialogForm, Outcome, Place, Preview
from sync.admin.dialogs.set_up_form import SetUpConfirmation
from sync.admin.dialogs.set_up_stripe import named_as_here
from sync.admin.filters_field import FiltersField
from sync.admin.formats import units
from sync.admin.links import row_url
from sync.conf import load_config
from sync.domain.quantities import as_text
from sync.models import Meter, Price
from sync.operations.preview_definition import DefinitionPreview, preview_definition
from sync.operations.redefine_meter import MOST_DECIMALS, Definition, redefine_meter
from sync.operations.set_up_options import LONGEST
from sync.ports import InvalidInput
from sync.queries.meter_story import is_frozen, prices_on
from sync.wiring import connect


class DefinitionChoice(DialogForm):
    """How usage is measured from now on."""

    event_name = forms.CharField(
        label="New event name",
        max_length=LONGEST["event_name"],
        help_text="Names the new meter's events; the old one keeps its own.",
        widget=UnfoldAdminTextInputWidget,
    )
    meter_name = forms.CharField(
        label="Meter name",
        max_length=LONGEST["meter_name"],
        help_text="How Stripe shows the meter.",
        widget=UnfoldAdminTextInputWidget,
    )
    window = forms.ChoiceField(
        label="Window",
        choices=[("none", "none: values add up (usual)"), ("hour", "hour: one value stands for an hour")],
        widget=UnfoldAdminSelectWidget,
    )
    openmeter_meter = forms.CharField(
        label="OpenMeter meter", max_length=64, help_text="Its slug.", widget=UnfoldAdminTextInputWidget
    )
    filters = FiltersField()
    scale = forms.DecimalField(
        label="Scale",
        max_digits=38,
        decimal_places=18,
        help_text="Measured × scale = billed units.",
        widget=UnfoldAdminDecimalFieldWidget(attrs={"step": "any"}),
    )
    decimals = forms.IntegerField(
        label="Decimals",
        min_value=0,
        max_value=MOST_DECIMALS,
        help_text="Of billed units.",
        widget=UnfoldAdminIntegerFieldWidget,
    )


class RedefineMeter(ChooseFirst):
    """What was reported was measured one way for ever; what comes is measured another way."""

    name = "redefine"
    title = "Start a new definition"
    button = "New definition…"
    icon = "fork_right"
    submit = "Create the new meter"
    permission = "sync.redefine_meter"
    places = frozenset({Place.OBJECT})
    choose_class = DefinitionChoice
    choose = "Show what it measures"
    form_class = SetUpConfirmation
    atomic = False

    @classmethod
    def why_not(cls, row: Meter) -> str:
        """One that nothing was reported by is changed on its own page."""
        if is_frozen(row):
            return ""
        return "Nothing was reported by this meter yet: change its definition on its page."

    def description(self) -> str:
        """Say what will happen, and what will not."""
        return (
            "What was reported stays as it was measured, so a changed measurement is a new meter. This "
            "creates it in Stripe and here. The old one goes on until its prices have no subscriptions. You "
            "see first what both of them measure."
        )

    def choose_kwargs(self) -> dict[str, Any]:
        """Begin with what the old meter has."""
        old: Meter | None = self.rows[0] if self.rows else None
        if old is None:
            return {}
        initial = {
            "meter_name": old.display_name or old.event_name,
            "window": old.event_time_window or "none",
            "openmeter_meter": old.openmeter_slug,
            "filters": old.filters,
            "scale": as_text(old.scale),
            "decimals": old.decimals,
        }
        return {"initial": initial}

    def form_kwargs(self) -> dict[str, Any]:
        """The account is asked for in live mode only."""
        return {"live": load_config().livemode}

    @property
    def definition(self) -> Definition:
        """What was asked for."""
        given = self.choice
        return Definition(
            event_name=given["event_name"].strip(),
            meter_name=given["meter_name"].strip(),
            window=given["window"],
            openmeter_slug=given["openmeter_meter"].strip(),
            filters=given["filters"],
            scale=given["scale"],
            decimals=given["decimals"],
        )

    def preview_of_choice(self) -> Preview:
        """Show what both definitions measure, and what has to be done in Stripe afterwards."""
        old, definition = self.rows[0], self.definition
        try:
            measured = preview_definition(
                meter=old, definition=definition, openmeter=connect().openmeter, now=timezone.now()
            )
        except InvalidInput as error:
            return Preview(nothing_to_do=named_as_here(str(error), self.chosen))
        return Preview(
            sentences=[_measured(measured, old), *_in_stripe(prices_on(old))],
            headers=(
                "UTC day",
                f"units of {old.event_name}",
                f"units of {definition.event_name}",
                "difference",
            ),
            rows=_rows(measured) if measured.days else (),
        )

    def act(self, form: forms.Form) -> Outcome:
        """Create the new meter; takes a few calls to Stripe."""
        connections, given, old = connect(), form.cleaned_data, self.rows[0]
        definition = replace(self.definition, confirm_live=given.get("confirm_live", ""))
        try:
            new = redefine_meter(
                meter=old,
                definition=definition,
                stripe=connections.stripe,
                openmeter=connections.openmeter,
                why=given["why"],
                now=timezone.now(),
            )
        except InvalidInput as error:
            raise InvalidInput(named_as_here(str(error), self.chosen, form)) from error
        return Outcome(
            message=f"The meter {new.event_name} carries the new definition of {old.event_name}.",
            about=[new, old],
            next_step=(
                f"Make prices on {new.event_name} in Stripe, and give them to the subscriptions' items."
            ),
            url=row_url(new),
        )


def _measured(measured: DefinitionPreview, old: Meter) -> str:
    since = f"{measured.span.start:%Y-%m-%d}"
    if not measured.days:
        return f"Customers on {old.event_name} used nothing since {since} that either definition counts."
    return (
        f"This is what customers on {old.event_name} used since {since}, in their open periods and up to the "
        "last full hour: as the old definition turns it into units, and as the new one would. Nothing of it "
        "is billed again."
    )


def _rows(measured: DefinitionPreview) -> list[tuple[object, ...]]:
    """Return all days together, then each of them."""
    lines = [("all of it", measured.old, measured.new)]
    lines += [(f"{day.span.start:%Y-%m-%d}", day.old, day.new) for day in measured.days]
    return [(name, units(old), units(new), units(new - old)) for name, old, new in lines]


def _in_stripe(prices: Sequence[Price]) -> list[str]:
    named = ", ".join(
        f"{price.stripe_id} ({price.product_name}, living subscriptions: {price.living})"  # type: ignore[attr-defined]
        for price in prices
    )
    return [
        "Stripe cannot change a price's meter. Afterwards, make a new price on the new meter in Stripe for "
        f"each of these and give it to the item of each subscription: {named or 'none is known here'}. Usage "
        "counts on the new meter from that second on, and on the old one until then.",
        "Report usage right before that, shortly after a full hour: what was not reported by then is on no "
        "invoice of the old price, and waits here as late.",
    ]
