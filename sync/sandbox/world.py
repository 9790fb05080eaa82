"""What every handler of the sandbox is given: the time, the memory and the settings."""

import dataclasses
from typing import Any

from sync.sandbox.clock import Clock
from sync.sandbox.store import Store

KIND = "settings"
KEY = "sandbox"

MOST_HOURS = 72
HOURS = ("invoice_finalization_hours", "last_invoice_finalization_hours")
WORDS = {
    "cancel_at_mid_period": ("billed", "discarded"),
    "change_invoice_finalizes": ("later", "at_once"),
    "first_period_invoice_finalizes": ("later", "at_once"),
    "event_at_period_end": ("this", "next"),
    "graduated_lines": ("one", "each_tier"),
    "straddling_hour_window": ("event", "start"),
    "usage_before_pause": ("billed", "dropped"),
    "window_revised_after_price_change": ("difference", "whole"),
}
"""The values of a setting that says how Stripe behaves where that is not established."""


@dataclasses.dataclass
class Settings:
    """How the two look-alikes behave where the real ones vary."""

    stripe_rate_limit: int | None = None
    """Meter-event calls per second before a 429; None means unlimited."""
    summary_lag_seconds: int = 0
    """Event summaries leave out what was received within the last so many seconds."""
    meter_event_latency_ms: int = 0
    one_call_per_customer_and_meter: bool = True
    """A second meter event for a customer and meter while one is being processed is a 409."""
    invoice_finalization_hours: int = 1
    """How long an invoice of a period stays a draft, up to 72."""
    last_invoice_finalization_hours: int | None = None
    """The same for the last invoice of a subscription that ends as planned; None means no difference."""
    change_invoice_finalizes: str = "later"
    """Whether an invoice that a change made waits like others or is final at once; not established."""
    first_period_invoice_finalizes: str = "later"
    """The same for a first period whose invoice is the subscription's first of all; not established."""
    event_at_period_end: str = "next"
    """Which period has an event dated exactly at a period's end; not established."""
    straddling_hour_window: str = "event"
    """Which period has a window across a period's end: where its event is dated, or where it starts."""
    window_revised_after_price_change: str = "difference"
    """What the new price bills of a window of which the old one has billed an earlier value."""
    cancel_at_mid_period: str = "billed"
    """What becomes of the usage of a period that `cancel_at` cuts short; not established."""
    usage_before_pause: str = "billed"
    """What becomes of the usage before a pause in the period in which it ends; not established."""
    graduated_lines: str = "one"
    """Whether graduated tiers make one line or one each; not established."""
    openmeter_token: str = ""
    """The bearer token that OpenMeter demands; empty means that any caller is let in."""
    openmeter_latency_ms: int = 0

    @classmethod
    def load(cls, store: Store) -> "Settings":
        """The settings that the store holds, else the defaults."""
        known = {field.name for field in dataclasses.fields(cls)}
        saved = store.get(KIND, KEY) or {}
        return cls(**{name: value for name, value in saved.items() if name in known})

    def save(self, store: Store) -> None:
        """The store holds these settings."""
        store.put(KIND, KEY, self.as_dict())

    def problem_with(self, values: dict[str, Any]) -> str | None:
        """What is wrong with these values by name, or None where they can be assigned."""
        defaults = Settings().as_dict()
        for name, value in values.items():
            if name not in defaults:
                return f"unknown setting {name}; there are {sorted(defaults)}"
            default = defaults[name]
            kinds: tuple[type, ...] = (int, type(None)) if default is None else (type(default),)
            if type(value) not in kinds or not _is_admitted(name, value):
                return f"the setting {name} cannot be {value!r}"
        return None

    def assign(self, values: dict[str, Any]) -> None:
        """These fields have these values; the object stays the one that handlers already hold."""
        for name, value in values.items():
            setattr(self, name, value)

    def as_dict(self) -> dict[str, Any]:
        """The settings as JSON-able values by name."""
        return dataclasses.asdict(self)


@dataclasses.dataclass
class World:
    """One sandbox: handlers read the time from `clock` and keep everything in `store`."""

    clock: Clock
    store: Store
    settings: Settings


def _is_admitted(name: str, value: Any) -> bool:
    if name in HOURS:
        return value is None or 1 <= value <= MOST_HOURS
    return name not in WORDS or value in WORDS[name]
