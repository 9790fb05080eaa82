"""New definition…: a meter that was reported by gets a successor that measures otherwise."""

from typing import Any

from django import forms
from django.utils import timezone
from unfold.widgets import (
    UnfoldAdminDecimalFieldWidget,
    UnfoldAdminIntegerFieldWidget,
    UnfoldAdminSelectWidget,
    UnfoldAdminTextInputWidget,
)

from sync.admin.dialogs.dialog import Dialog, Outcome, Place, Preview, ReasonForm
from sync.admin.dialogs.set_up_stripe import named_as_here
from sync.admin.filters_field import FiltersField
from sync.admin.links import row_url
from sync.conf import load_config
from sync.models import Meter
from sync.operations.redefine_meter import MOST_DECIMALS, Definition, redefine_meter
from sync.operations.set_up_options import LONGEST
from sync.ports import InvalidInput
from sync.queries.meter_story import is_frozen, prices_on
from sync.wiring import connect


class DefinitionForm(ReasonForm):
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
    confirm_live = forms.CharField(
        label="Account",
        help_text="This creates a real meter: type the id of the live account (acct_…).",
        widget=UnfoldAdminTextInputWidget(attrs={"autocomplete": "off"}),
    )

    def __init__(self, *args: Any, live: bool, **kwargs: Any) -> None:
        """The account is asked for in live mode only; the reason comes last."""
        super().__init__(*args, **kwargs)
        if not live:
            del self.fields["confirm_live"]
        self.order_fields([name for name in self.fields if name != "why"])


class RedefineMeter(Dialog):
    """What was reported was measured one way for ever; what comes is measured another way."""

    name = "redefine"
    title = "Start a new definition"
    button = "New definition…"
    icon = "fork_right"
    submit = "Create the new meter"
    permission = "sync.redefine_meter"
    places = frozenset({Place.OBJECT})
    form_class = DefinitionForm
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
            "creates it in Stripe and here. The old one goes on until its prices have no subscriptions."
        )

    def form_kwargs(self) -> dict[str, Any]:
        """Begin with what the old meter has."""
        old: Meter | None = self.rows[0] if self.rows else None
        if old is None:
            return {"live": load_config().livemode}
        initial = {
            "meter_name": old.display_name or old.event_name,
            "window": old.event_time_window or "none",
            "openmeter_meter": old.openmeter_slug,
            "filters": old.filters,
            "scale": old.scale,
            "decimals": old.decimals,
        }
        return {"live": load_config().livemode, "initial": initial}

    def preview(self) -> Preview:
        """Show what has to be done in Stripe afterwards."""
        prices = prices_on(self.rows[0])
        return Preview(
            sentences=[
                "Stripe cannot change a price's meter. Afterwards, make a new price on the new meter for "
                "each of these in Stripe, and give it to the item of each subscription: usage counts on the "
                "new meter from that second on, and on the old one until then.",
                "Report usage right before that, shortly after a full hour: what was not reported by then "
                "is on no invoice of the old price, and waits here as late.",
            ],
            headers=("price to be replaced", "product", "living subscriptions"),
            rows=[(price.stripe_id, price.product_name, price.living) for price in prices],  # type: ignore[attr-defined]
        )

    def act(self, form: forms.Form) -> Outcome:
        """Create the new meter; takes a few calls to Stripe."""
        connections, given, old = connect(), form.cleaned_data, self.rows[0]
        definition = Definition(
            event_name=given["event_name"].strip(),
            meter_name=given["meter_name"].strip(),
            window=given["window"],
            openmeter_slug=given["openmeter_meter"].strip(),
            filters=given["filters"],
            scale=given["scale"],
            decimals=given["decimals"],
            confirm_live=given.get("confirm_live", ""),
        )
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
            raise InvalidInput(named_as_here(str(error), form)) from error
        return Outcome(
            message=f"The meter {new.event_name} carries the new definition of {old.event_name}.",
            about=[new, old],
            next_step=(
                f"Make prices on {new.event_name} in Stripe, and give them to the subscriptions' items."
            ),
            url=row_url(new),
        )
