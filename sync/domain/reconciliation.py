"""Why OpenMeter, the ledger, Stripe and its invoices do not say the same of some usage."""

from collections.abc import Mapping
from enum import StrEnum


class Cause(StrEnum):
    """What explains units that one side has and the next one has not."""

    CHANGED = "changed"
    TRIAL = "trial"
    PAUSED = "paused"
    NO_SUBSCRIPTION = "no_subscription"
    NOT_OURS = "not_ours"
    NO_CUSTOMER = "no_customer"
    WAITING = "waiting"
    HELD = "held"
    LATE = "late"
    REFUSED = "refused"
    UNKNOWN = "unknown"
    GIVEN_UP = "given_up"
    CARRIED = "carried"
    MISSING = "missing"
    SURPLUS = "surplus"
    INVOICE = "invoice"

    @property
    def words(self) -> str:
        """Return what pages and commands call it."""
        return WORDS[self]


WORDS: Mapping[Cause, str] = {
    Cause.CHANGED: "OpenMeter says otherwise than was measured",
    Cause.TRIAL: "Not billable: used in a trial",
    Cause.PAUSED: "Not billable: used in a pause",
    Cause.NO_SUBSCRIPTION: "Used without an active subscription",
    Cause.NOT_OURS: "Not billable: used before this console reports",
    Cause.NO_CUSTOMER: "Used by a subject without a customer",
    Cause.WAITING: "Waits to be sent",
    Cause.HELD: "Held for a person",
    Cause.LATE: "Late: its period has closed",
    Cause.REFUSED: "Refused by Stripe",
    Cause.UNKNOWN: "Nobody knows whether Stripe has it",
    Cause.GIVEN_UP: "Dismissed by a person",
    Cause.CARRIED: "Carried into another period",
    Cause.MISSING: "Missing at Stripe",
    Cause.SURPLUS: "Stripe holds more than was reported",
    Cause.INVOICE: "A final invoice bills otherwise than was reported",
}

SETTLED = frozenset({Cause.TRIAL, Cause.PAUSED, Cause.NOT_OURS, Cause.GIVEN_UP, Cause.CARRIED, Cause.WAITING})
"""What is as it should be, or becomes so by itself: it explains a difference, and nobody has to mend it."""

BY_STATUS: Mapping[str, Cause] = {
    "pending": Cause.WAITING,
    "sending": Cause.WAITING,
    "held": Cause.HELD,
    "late": Cause.LATE,
    "rejected": Cause.REFUSED,
    "unknown": Cause.UNKNOWN,
    "dismissed": Cause.GIVEN_UP,
    "carried": Cause.CARRIED,
}
"""Why Stripe lacks the units of a report, by its status."""
