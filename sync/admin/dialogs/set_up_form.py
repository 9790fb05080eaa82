"""What staff are asked before set-up: what measures, what it is called, what a unit costs, and for whom."""

from collections.abc import Sequence
from decimal import Decimal
from typing import Any

from django import forms
from unfold.widgets import (
    UnfoldAdminDecimalFieldWidget,
    UnfoldAdminSelectWidget,
    UnfoldAdminTextInputWidget,
    UnfoldBooleanSwitchWidget,
)

from sync.admin.dialogs.dialog import DialogForm, ReasonForm
from sync.admin.filters_field import FiltersField
from sync.domain.meters import why_not_additive
from sync.domain.pricing import decimals_of, minor_of
from sync.operations.set_up_options import INTERVALS, LONGEST, MOST_DECIMALS
from sync.ports import SourceMeter

FOR_BILLING = ("unit_amount", "currency", "interval", "customer_name", "external_key")
"""What has to be said unless only a meter is wanted."""


def _text(label: str, name: str, hint: str, **options: Any) -> forms.CharField:
    return forms.CharField(
        label=label,
        max_length=LONGEST.get(name, 500),
        help_text=hint,
        widget=UnfoldAdminTextInputWidget,
        **{"required": False} | options,
    )


class SetUpChoice(DialogForm):
    """What is to exist: a meter, a price on it, and a customer who is subscribed to it."""

    openmeter_meter = forms.ChoiceField(
        label="OpenMeter meter", help_text="What measures the usage.", widget=UnfoldAdminSelectWidget
    )
    filters = FiltersField()
    event_name = _text(
        "Event name",
        "event_name",
        "Names the meter's events in Stripe; set-up finds its things by it. Empty: like the OpenMeter meter.",
    )
    meter_name = _text("Meter name", "meter_name", "How Stripe shows the meter. Empty: the event name.")
    window = forms.ChoiceField(
        label="Window",
        choices=[("none", "none: values add up (usual)"), ("hour", "hour: one value stands for an hour")],
        initial="none",
        widget=UnfoldAdminSelectWidget,
    )
    meter_only = forms.BooleanField(
        label="Meter only",
        required=False,
        help_text="For those who have products and customers already: nothing below counts then.",
        widget=UnfoldBooleanSwitchWidget,
    )
    product_name = _text("Product name", "product_name", "What invoices call it. Empty: the meter name.")
    unit_amount = forms.DecimalField(
        label="Price of one unit",
        required=False,
        min_value=Decimal(0),
        max_digits=24,
        help_text="In whole units of the currency, as on an invoice: 0.01 in USD is one cent.",
        widget=UnfoldAdminDecimalFieldWidget(attrs={"step": "any"}),
    )
    currency = _text("Currency", "currency", "Its three letters, like USD.", initial="USD")
    interval = forms.ChoiceField(
        label="Billed every",
        choices=[(name, name) for name in INTERVALS],
        initial="month",
        widget=UnfoldAdminSelectWidget,
    )
    lookup_key = _text("Lookup key", "lookup_key", "Finds the price again. Empty: made of the event name.")
    customer_name = _text("Customer name", "customer_name", "Of the customer who is subscribed.")
    customer_email = _text("Customer e-mail", "customer_email", "")
    external_key = _text(
        "External key", "external_key", "The subject that OpenMeter files this customer's usage under."
    )

    def __init__(
        self, *args: Any, sources: Sequence[SourceMeter], left_out: tuple[str, ...] = (), **kwargs: Any
    ) -> None:
        """Offer OpenMeter's meters, those that can be billed first; `left_out` is not asked for."""
        super().__init__(*args, **kwargs)
        for name in left_out:
            del self.fields[name]
        self._reasons = {one.slug: why_not_additive(one.aggregation) for one in sources}
        known = sorted(sources, key=lambda one: (bool(self._reasons[one.slug]), one.slug))
        field = self.fields["openmeter_meter"]
        assert isinstance(field, forms.ChoiceField)  # noqa: S101 - narrows the type for mypy
        field.choices = [("", "–"), *((one.slug, self._label(one)) for one in known)]

    def _label(self, source: SourceMeter) -> str:
        cannot = ": cannot be billed" if self._reasons[source.slug] else ""
        groups = f", grouped by {', '.join(source.group_by)}" if source.group_by else ""
        return f"{source.slug} ({source.aggregation}{cannot}{groups})"

    def clean_openmeter_meter(self) -> str:
        """What does not add up cannot be billed."""
        slug: str = self.cleaned_data["openmeter_meter"]
        if problem := self._reasons[slug]:
            message = f"{slug} {problem}."
            raise forms.ValidationError(message)
        return slug

    def clean_currency(self) -> str:
        """Stripe writes currencies small."""
        currency: str = self.cleaned_data["currency"].strip().lower()
        if currency and not (len(currency) == 3 and currency.isascii() and currency.isalpha()):
            message = "Write the currency's three letters, like USD."
            raise forms.ValidationError(message)
        return currency

    def clean(self) -> dict[str, Any]:
        """Names that were left empty follow from others; a price needs an amount, and a customer a key."""
        given = super().clean() or {}
        given["event_name"] = given.get("event_name") or given.get("openmeter_meter", "")
        given["meter_name"] = given.get("meter_name") or given["event_name"]
        given["product_name"] = given.get("product_name") or given["meter_name"]
        if not given.get("meter_only"):
            for name in FOR_BILLING:
                if name in self.fields and name not in self.errors and given.get(name) in (None, ""):
                    self.add_error(name, "This field is required, unless only a meter is wanted.")
            self._check_decimals(given)
        return given

    def _check_decimals(self, given: dict[str, Any]) -> None:
        amount, currency = given.get("unit_amount"), given.get("currency")
        if amount is None or not currency:
            return
        most = MOST_DECIMALS + decimals_of(currency)
        if -int(amount.normalize().as_tuple().exponent) > most:
            self.add_error("unit_amount", f"Stripe takes at most {most} decimals of {currency.upper()}.")

    @property
    def options(self) -> dict[str, Any]:
        """What was asked for, as set-up names it: the amount in the currency's smallest unit."""
        given = {name: value for name, value in self.cleaned_data.items() if value not in (None, "", {})}
        if "unit_amount" in given and "currency" in given:
            given["unit_amount"] = minor_of(given["unit_amount"], given["currency"])
        return given


class SetUpConfirmation(ReasonForm):
    """Asks why, and in live mode for the account."""

    confirm_live = forms.CharField(
        label="Account",
        help_text="This creates real objects: type the id of the live account (acct_…).",
        widget=UnfoldAdminTextInputWidget(attrs={"autocomplete": "off"}),
    )

    def __init__(self, *args: Any, live: bool, **kwargs: Any) -> None:
        """The account is asked for in live mode only; the reason comes last."""
        super().__init__(*args, **kwargs)
        if not live:
            del self.fields["confirm_live"]
        self.order_fields([name for name in self.fields if name != "why"])
