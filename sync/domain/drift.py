"""When a change looks so wrong that a person decides."""

from dataclasses import dataclass
from decimal import Decimal


@dataclass(frozen=True, slots=True, kw_only=True)
class Change:
    """What one slice held before (`accounted`, 0 for a new one) and what it comes to now (`target`)."""

    accounted: Decimal
    target: Decimal

    @property
    def lowers(self) -> bool:
        """Whether Stripe would be told less than before."""
        return self.target < self.accounted


def brake_reason(
    changes: list[Change], *, held_total: Decimal, answer_is_empty: bool, percent: int
) -> str | None:
    """Return why a meter's lowering reports must wait for a person, or None.

    `held_total` is what the ledger holds for the stretch that was read again. The reason is a sentence.
    """
    lowered = sum((c.accounted - c.target for c in changes if c.lowers), start=Decimal(0))
    if not lowered:
        return None
    if answer_is_empty:
        return "OpenMeter answered with no usage at all where usage was reported before."
    if lowered * 100 > held_total * percent:
        return (
            f"This would lower the meter by {lowered.normalize():f} of {held_total.normalize():f} units, "
            f"more than {percent} %."
        )
    return None
