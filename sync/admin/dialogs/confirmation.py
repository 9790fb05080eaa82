"""What has to be typed before much is moved, or real customers are concerned."""

from collections.abc import Iterator
from decimal import Decimal
from typing import Any

from django import forms
from unfold.widgets import UnfoldAdminTextInputWidget

from sync.admin.formats import units
from sync.conf import load_config
from sync.domain.pricing import Money
from sync.domain.stake import Stake

LIVE_WORD = "LIVE"


class TypedField(forms.CharField):
    """Takes nothing but what the dialog asks to be typed."""

    def __init__(self, *, expected: str, label: str, hint: str) -> None:
        """Show the hint, and repeat it to those who type something else."""
        super().__init__(
            label=label,
            help_text=hint,
            widget=UnfoldAdminTextInputWidget(attrs={"autocomplete": "off"}),
        )
        self.expected, self.hint = expected, hint

    def validate(self, value: Any) -> None:
        """Take it with or without the commas between thousands."""
        super().validate(value)
        if value.replace(",", "") != self.expected.replace(",", ""):
            raise forms.ValidationError(self.hint)


def fields_to_type(stake: Stake) -> Iterator[tuple[str, TypedField]]:
    """Yield the fields by name: amounts from a limit on, units that have no price, the word in live mode.

    What has no price may be worth anything, so there is no limit below which it goes without saying.
    """
    config = load_config()
    for money in stake.moved:
        if money.major >= config.confirm_amount:
            yield f"typed_{money.currency}", _amount(money)
    for meter, quantity in stake.unpriced.items():
        yield f"units_{meter}", _units(meter, quantity)
    if config.livemode:
        yield (
            "typed_word",
            TypedField(
                expected=LIVE_WORD,
                label="Live mode",
                hint=f"This is about real customers: type {LIVE_WORD} to confirm.",
            ),
        )


def _amount(money: Money) -> TypedField:
    amount = money.text.split()[0]
    return TypedField(
        expected=amount,
        label=f"Amount in {money.currency.upper()}",
        hint=f"Much is at stake: type {amount} to confirm.",
    )


def _units(meter: str, quantity: Decimal) -> TypedField:
    shown = units(quantity)
    return TypedField(
        expected=shown,
        label=f"Units of {meter}",
        hint=f"Nobody can say what they cost, because no price is known: type {shown} to confirm.",
    )
