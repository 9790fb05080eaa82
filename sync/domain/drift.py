"""When a change looks so wrong that a person decides."""

from dataclasses import dataclass
from decimal import Decimal

from sync.domain.quantities import as_text, exact_sum


@dataclass(frozen=True, slots=True, kw_only=True)
class Change:
    """What one slice held before (`accounted`, 0 for a new one) and what it comes to now (`target`)."""

    accounted: Decimal
    target: Decimal

    @property
    def lowers(self) -> bool:
        """Whether Stripe would be told less than before."""
        return self.target < self.accounted


NOTHING = Decimal(0)
EMPTY_ANSWER = "OpenMeter answered with no usage at all where usage was reported before."
OTHER_GROUPS = (
    "OpenMeter answered with usage, but with none that this meter's filters take, where such usage was "
    "reported before: its groups may have been renamed."
)


def brake_reason(
    changes: list[Change],
    *,
    accounted_total: Decimal,
    silence: str,
    percent: int,
    ordered: Decimal = NOTHING,
) -> str:
    """Return why a meter's lowering reports must wait for a person, or "".

    `accounted_total` is what Stripe holds by the ledger for all slices that were read again. `silence` says
    why an answer without any usage of the meter is hard to believe, if it is. So many units as were
    `ordered` by a person, who saw them, may go without a reason. The reason is a sentence.
    """
    lowers = [change.accounted - change.target for change in changes if change.lowers]
    lowered = max(exact_sum([*lowers, -ordered]), NOTHING)
    if not lowered:
        return ""
    if silence:
        return silence
    if lowered * 100 > accounted_total * percent:
        return (
            f"This would lower the meter by {as_text(lowered)} of {as_text(accounted_total)} units, "
            f"more than {percent} %."
        )
    return ""
