"""Run Stripe setup…: the command's options as a form; what exists is found, what does not is created."""

import re
from dataclasses import fields
from decimal import Decimal
from typing import Any

from django import forms
from django.db.models import Model
from django.urls import reverse
from django.utils import timezone
from django.utils.html import format_html, format_html_join
from django.utils.safestring import SafeString
from unfold.widgets import (
    UnfoldAdminDecimalFieldWidget,
    UnfoldAdminSelectWidget,
    UnfoldAdminTextInputWidget,
    UnfoldBooleanSwitchWidget,
)

from sync.admin.dialogs.dialog import Dialog, Outcome, Place, ReasonForm
from sync.conf import load_config
from sync.models import Meter
from sync.operations.set_up_stripe import (
    INTERVALS,
    LONGEST,
    SetUpObject,
    SetUpOptions,
    SetUpResult,
    set_up_stripe,
)
from sync.ports import InvalidInput
from sync.wiring import connect

DEFAULT = SetUpOptions()
_OPTION = re.compile(r"--([a-z]+(?:-[a-z]+)*)")
"""How a sentence of the command names an option; here it is a field."""


def _text(label: str, name: str, hint: str, *, required: bool = True) -> forms.CharField:
    return forms.CharField(
        label=label,
        initial=getattr(DEFAULT, name),
        max_length=LONGEST.get(name, 500),
        required=required,
        help_text=hint,
        widget=UnfoldAdminTextInputWidget,
    )


class SetUpForm(ReasonForm):
    """What is to exist: a meter, a price on it, and a customer who is subscribed to it."""

    event_name = _text("Event name", "event_name", "Names the events; set-up finds its things by it.")
    meter_name = _text("Meter name", "meter_name", "How Stripe shows the meter.")
    openmeter_meter = _text(
        "OpenMeter meter",
        "openmeter_meter",
        "Its slug; empty means the one called like the event name.",
        required=False,
    )
    window = forms.ChoiceField(
        label="Window",
        choices=[("none", "none: values add up (usual)"), ("hour", "hour: one value stands for an hour")],
        initial=DEFAULT.window,
        widget=UnfoldAdminSelectWidget,
    )
    meter_only = forms.BooleanField(
        label="Meter only",
        required=False,
        help_text="For those who have products and customers already: those are left alone then.",
        widget=UnfoldBooleanSwitchWidget,
    )
    product_name = _text("Product name", "product_name", "What invoices call it.")
    unit_amount = forms.DecimalField(
        label="Unit amount",
        initial=DEFAULT.unit_amount,
        min_value=Decimal(0),
        help_text="Price of one unit in the currency's smallest unit: 1 is $0.01, 0.5 half a cent.",
        widget=UnfoldAdminDecimalFieldWidget(attrs={"step": "any"}),
    )
    currency = _text("Currency", "currency", "Three lower-case letters.")
    interval = forms.ChoiceField(
        label="Billed every",
        choices=[(name, name) for name in INTERVALS],
        initial=DEFAULT.interval,
        widget=UnfoldAdminSelectWidget,
    )
    lookup_key = _text(
        "Lookup key",
        "lookup_key",
        "Finds the price again; empty means one made of the event name.",
        required=False,
    )
    customer_name = _text("Customer name", "customer_name", "Of the customer who is subscribed.")
    customer_email = _text("Customer e-mail", "customer_email", "", required=False)
    external_key = _text(
        "External key", "external_key", "The subject that OpenMeter files this customer's usage under."
    )
    confirm_live = forms.CharField(
        label="Account",
        help_text="This creates real objects: type the id of the live account (acct_…).",
        widget=UnfoldAdminTextInputWidget(attrs={"autocomplete": "off"}),
    )

    def __init__(self, *args: Any, left_out: tuple[str, ...] = (), **kwargs: Any) -> None:
        """Fields in `left_out` are not asked for; the reason comes last."""
        super().__init__(*args, **kwargs)
        for name in left_out:
            del self.fields[name]
        self.order_fields([name for name in self.fields if name != "why"])


class SetUpStripe(Dialog):
    """A person lets the console create, or find, what metered billing needs in Stripe."""

    name = "set_up"
    title = "Run Stripe setup"
    button = "Run Stripe setup…"
    icon = "construction"
    submit = "Set up"
    permission = "sync.set_up_stripe"
    places = frozenset({Place.LIST})
    form_class = SetUpForm
    atomic = False

    def description(self) -> str:
        """Say what will happen."""
        return (
            "Creates a meter, a product, a metered price, a customer and a subscription in Stripe, or finds "
            "what an earlier set-up created, and ties the meter to OpenMeter. Safe to repeat."
        )

    def form_kwargs(self) -> dict[str, Any]:
        """The account is asked for in live mode only."""
        return {"left_out": () if load_config().livemode else ("confirm_live",)}

    def act(self, form: forms.Form) -> Outcome:
        """Set up; takes a few calls to Stripe."""
        connections = connect()
        try:
            result = set_up_stripe(
                stripe=connections.stripe,
                openmeter=connections.openmeter,
                options=self.options(form.cleaned_data),
                now=timezone.now(),
            )
        except InvalidInput as error:
            raise InvalidInput(named_as_here(str(error), form)) from error
        made = Meter.objects.filter(stripe_id__in=[one.id for one in result.objects])
        about: list[Model] = [*made, *self.rows]
        note = [f"Nothing measures this meter yet. {named_as_here(result.note, form)}"]
        return Outcome(
            message=f"Set up: {', '.join(_words(one) for one in result.objects)}.",
            about=about,
            warnings=[] if result.openmeter_slug else note,
            next_step=_next_step(result),
        )

    def options(self, given: dict[str, Any]) -> SetUpOptions:
        """Return what was asked for; what is not on the form is as in the command."""
        known = {field.name for field in fields(SetUpOptions)}
        return SetUpOptions(**{name: value for name, value in given.items() if name in known})


class SubscribeCustomer(SetUpStripe):
    """The same for a customer who exists."""

    title = "Run Stripe setup for one customer"
    places = frozenset({Place.OBJECT})
    ASKS_NOT = ("meter_only", "customer_name", "customer_email", "external_key")

    @classmethod
    def why_not(cls, row: Any) -> str:
        """Whom Stripe has no more cannot be subscribed."""
        return f"{row} was deleted in Stripe." if row.deleted_at else ""

    def description(self) -> str:
        """Say what will happen."""
        return (
            f"Subscribes {self.rows[0] if self.rows else 'the customer'} to a metered price in Stripe, and "
            "creates its meter, product and price where they do not exist. Safe to repeat."
        )

    def form_kwargs(self) -> dict[str, Any]:
        """Nothing is asked about the customer."""
        return {"left_out": (*self.ASKS_NOT, *super().form_kwargs()["left_out"])}

    def options(self, given: dict[str, Any]) -> SetUpOptions:
        """Name the customer."""
        return super().options(given | {"customer_id": self.rows[0].stripe_id})


def _words(one: SetUpObject) -> str:
    return f"{one.kind} {one.id} {'created' if one.created else 'found'}"


def _next_step(result: SetUpResult) -> SafeString:
    """Return links to everything in Stripe, and to the sync that shows it here."""
    links = format_html_join(
        ", ",
        '<a class="outward" href="{}" target="_blank" rel="noopener noreferrer">{}</a>',
        ((one.url, one.kind) for one in result.objects),
    )
    return format_html(
        'See in Stripe: {}. Next, <a class="console-link" href="{}">sync with Stripe</a> to see it here.',
        links,
        reverse("admin:sync_meter_sync"),
    )


def named_as_here(sentence: str, form: forms.Form) -> str:
    """Return a sentence of the command with the form's labels instead of its options."""

    def label(option: re.Match[str]) -> str:
        name = option[1].replace("-", "_")
        return f'"{form.fields[name].label}"' if name in form.fields else option[0]

    return _OPTION.sub(label, sentence)
