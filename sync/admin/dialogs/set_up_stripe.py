"""Run Stripe setup…: what exists is found, what does not is created, after both sides were looked at."""

import re
from dataclasses import fields
from functools import cached_property
from typing import Any

from django import forms
from django.db.models import Model
from django.urls import reverse
from django.utils import timezone
from django.utils.html import format_html, format_html_join
from django.utils.safestring import SafeString

from sync.admin.dialogs.choose_first import ChooseFirst
from sync.admin.dialogs.dialog import Outcome, Place, Preview
from sync.admin.dialogs.set_up_form import SetUpChoice, SetUpConfirmation
from sync.admin.links import row_link
from sync.conf import load_config
from sync.domain.meters import filters_sentence
from sync.domain.price_words import price_sentence
from sync.domain.pricing import PriceTerms
from sync.models import Meter
from sync.operations.preview_set_up import PlannedObject, SetUpPreview, preview_set_up
from sync.operations.set_up_options import SetUpOptions
from sync.operations.set_up_stripe import SetUpObject, SetUpResult, set_up_stripe
from sync.ports import InvalidInput, SourceMeter, SyncError
from sync.wiring import connect, connect_briefly

_OPTION = re.compile(r"--([a-z]+(?:-[a-z]+)*)")
"""How a sentence of the command names an option; here it is a field."""


class SetUpStripe(ChooseFirst):
    """A person lets the console create, or find, what metered billing needs in Stripe."""

    name = "set_up"
    title = "Run Stripe setup"
    button = "Run Stripe setup…"
    icon = "construction"
    submit = "Set up"
    permission = "sync.set_up_stripe"
    places = frozenset({Place.LIST})
    choose_class = SetUpChoice
    choose = "Show what it creates"
    form_class = SetUpConfirmation
    atomic = False
    LEFT_OUT: tuple[str, ...] = ()

    def description(self) -> str:
        """Say what will happen."""
        return (
            "Creates a meter, a product, a metered price, a customer and a subscription in Stripe, or finds "
            "what is there already, and ties the meter to OpenMeter. You see first what it would do."
        )

    @cached_property
    def sources(self) -> list[SourceMeter]:
        """OpenMeter's meters; none where it does not answer, and `silence` says why."""
        try:
            return connect_briefly(load_config()).openmeter.meters()
        except SyncError as error:
            self.silence = str(error)
            return []

    silence = ""

    def choose_kwargs(self) -> dict[str, Any]:
        """Let one of OpenMeter's meters be chosen."""
        return {"sources": self.sources, "left_out": self.LEFT_OUT}

    def form_kwargs(self) -> dict[str, Any]:
        """The account is asked for in live mode only."""
        return {"live": load_config().livemode}

    def preview(self) -> Preview:
        """Say first whether OpenMeter has anything to bill."""
        if not self.sources:
            none = "OpenMeter has no meter yet: create a SUM or COUNT meter there first."
            return Preview(nothing_to_do=self.silence or none)
        return super().preview()

    def preview_of_choice(self) -> Preview:
        """Show what is there and what would be created; a look at both sides."""
        connections = connect()
        try:
            planned = preview_set_up(
                stripe=connections.stripe, openmeter=connections.openmeter, options=self.options()
            )
        except InvalidInput as error:
            return Preview(nothing_to_do=named_as_here(str(error), self.chosen))
        return Preview(
            sentences=_sentences(planned, self.options()),
            headers=("what", "in Stripe"),
            rows=[(one.kind, _state(one)) for one in planned.objects],
        )

    def act(self, form: forms.Form) -> Outcome:
        """Set up; takes a few calls to Stripe."""
        connections = connect()
        try:
            result = set_up_stripe(
                stripe=connections.stripe,
                openmeter=connections.openmeter,
                options=self.options(confirm_live=form.cleaned_data.get("confirm_live", "")),
                invoice_grace=connections.config.invoice_grace,
                now=timezone.now(),
            )
        except InvalidInput as error:
            raise InvalidInput(named_as_here(str(error), self.chosen, form)) from error
        meter = Meter.objects.get(stripe_id=result.objects[0].id)
        about: list[Model] = [meter, *self.rows]
        return Outcome(
            message=f"Set up: {', '.join(_words(one) for one in result.objects)}.",
            about=about,
            warnings=[_unseen(result.remark)] if result.remark else [],
            next_step=_next_step(result, meter),
        )

    def options(self, **more: Any) -> SetUpOptions:
        """Return what was asked for; what is not on the form is as in the command."""
        known = {field.name for field in fields(SetUpOptions)}
        chosen = self.chosen
        assert isinstance(chosen, SetUpChoice)  # noqa: S101 - narrows the type for mypy
        given = chosen.options | more
        return SetUpOptions(**{name: value for name, value in given.items() if name in known})


class SubscribeCustomer(SetUpStripe):
    """The same for a customer who exists."""

    title = "Run Stripe setup for one customer"
    places = frozenset({Place.OBJECT})
    LEFT_OUT = ("meter_only", "customer_name", "customer_email", "external_key")

    @classmethod
    def why_not(cls, row: Any) -> str:
        """Whom Stripe has no more cannot be subscribed."""
        return f"{row} was deleted in Stripe." if row.deleted_at else ""

    def description(self) -> str:
        """Say what will happen."""
        return (
            f"Subscribes {self.rows[0] if self.rows else 'the customer'} to a metered price in Stripe, and "
            "creates its meter, product and price where they do not exist. You see first what it would do."
        )

    def options(self, **more: Any) -> SetUpOptions:
        """Name the customer."""
        return super().options(customer_id=self.rows[0].stripe_id, **more)


def _sentences(planned: SetUpPreview, options: SetUpOptions) -> list[str]:
    source = planned.source
    measured = (
        f"OpenMeter's meter {source.slug} ({source.aggregation}) measures it; Stripe is sent it as events "
        f"named {options.event_name}."
    )
    if options.filters:
        measured = f"{measured} {filters_sentence(options.filters)}"
    missing = [one.kind for one in planned.objects if not one.id]
    does = f"Will be created: {', '.join(missing)}." if missing else "All of it exists in Stripe already."
    if options.meter_only:
        return [measured, does]
    terms = PriceTerms(currency=options.currency, unit_amount=options.unit_amount)
    return [measured, f"The price is {price_sentence(terms, interval=options.interval)}.", does]


def _state(one: PlannedObject) -> str | SafeString:
    if not one.id:
        return "will be created"
    link = '<a class="outward" href="{}" target="_blank" rel="noopener noreferrer">{}</a> is there'
    return format_html(link, one.url, one.id)


def _words(one: SetUpObject) -> str:
    return f"{one.kind} {one.id} {'created' if one.created else 'found'}"


def _unseen(why: str) -> SafeString:
    link = '<a class="console-link" href="{}">Sync with Stripe</a>'
    sync = format_html(link, reverse("admin:sync_meter_sync"))
    return format_html("{} The console does not show all of it yet. {} brings the rest.", why, sync)


def _next_step(result: SetUpResult, meter: Meter) -> SafeString:
    """Return links to everything in Stripe, and to the meter here."""
    links = format_html_join(
        ", ",
        '<a class="outward" href="{}" target="_blank" rel="noopener noreferrer">{}</a>',
        ((one.url, one.kind) for one in result.objects),
    )
    return format_html("See in Stripe: {}. Here: {}.", links, row_link(meter, meter.event_name))


def named_as_here(sentence: str, *asked: forms.Form) -> str:
    """Return a sentence of the command with the forms' labels instead of its options."""
    labels = {name: field.label for form in asked for name, field in form.fields.items()}

    def label(option: re.Match[str]) -> str:
        name = option[1].replace("-", "_")
        return f'"{labels[name]}"' if name in labels else option[0]

    return _OPTION.sub(label, sentence)
