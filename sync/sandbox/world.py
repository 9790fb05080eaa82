"""What every handler of the sandbox is given: the time, the memory and the settings."""

import dataclasses
from typing import Any

from sync.sandbox.clock import Clock
from sync.sandbox.store import Store

KIND = "settings"
KEY = "sandbox"


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
            if type(value) not in kinds:
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
