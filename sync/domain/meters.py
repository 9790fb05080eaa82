"""Which meters can be reported, and how that is said."""

from collections.abc import Mapping, Sequence
from typing import Any

ADDITIVE = frozenset({"SUM", "COUNT"})
"""Only these add up over windows; an average or a maximum of hours is not that of a day."""

REPLACE = "make a new meter with Stripe set-up and move the prices to it"


def why_unsupported(
    *,
    name: str,
    formula: str,
    event_time_window: str,
    aggregation: str,
    active: bool,
    deleted: bool,
    conflict: str,
) -> str:
    """Return the sentence that says why a meter cannot be reported and what to do, or ""."""
    reasons = (
        (deleted, f"The Stripe meter {name} no longer exists in Stripe; {REPLACE}."),
        (bool(conflict), conflict),
        (
            not active,
            f"The Stripe meter {name} is deactivated, so Stripe refuses its events; reactivate it in "
            "Stripe, then sync with Stripe.",
        ),
        (
            formula != "sum",
            f"The Stripe meter {name} has formula {formula}, and only sum can carry usage; {REPLACE}.",
        ),
        (
            event_time_window not in {"", "hour"},
            f"The Stripe meter {name} keeps one value per {event_time_window}, and only raw and hourly "
            f"meters are reported; {REPLACE}.",
        ),
        (
            bool(aggregation) and aggregation not in ADDITIVE,
            f"The Stripe meter {name} is measured by {aggregation} in OpenMeter, which does not add up over "
            "hours; tie it to a SUM or COUNT meter.",
        ),
    )
    return next((sentence for applies, sentence in reasons if applies), "")


def why_not_additive(aggregation: str) -> str:
    """Return why a measurement of this kind cannot be billed, or ""."""
    if aggregation in ADDITIVE:
        return ""
    return f"aggregates by {aggregation}, which does not add up over hours: only SUM and COUNT can be billed"


def why_unlinked(*, name: str, slug: str) -> str:
    """Return the sentence that says that a meter is not tied to OpenMeter and what to do, or ""."""
    if slug:
        return ""
    return (
        f"The Stripe meter {name} has no OpenMeter meter: create one with slug {name} there, or set the "
        "slug on the meter here, then sync with Stripe."
    )


def why_bad_filters(filters: Any) -> str:
    """Return why this names no group-by keys with the values that count, and how to write it, or ""."""
    well_formed = isinstance(filters, dict) and all(
        isinstance(values, list) and values and all(isinstance(value, str) for value in values)
        for values in filters.values()
    )
    if well_formed:
        return ""
    return HOW_TO_FILTER


HOW_TO_FILTER = (
    'Write filters like "model: gpt-5, gpt-5-mini", one key a line, or like {"model": ["gpt-5"]} where a '
    "value has a comma or is empty; nothing counts everything."
)


def filters_sentence(filters: Mapping[str, Sequence[str]]) -> str:
    """Return which usage counts, in words."""
    if not filters:
        return "Everything that the OpenMeter meter counts."
    parts = [
        f"{name} is {' or '.join(value or 'empty' for value in values)}"
        for name, values in sorted(filters.items())
    ]
    return f"Only usage whose {' and whose '.join(parts)}."


def style_sentence(event_time_window: str) -> str:
    """Return how Stripe is told, in words."""
    if event_time_window == "hour":
        return (
            "Set: one value stands for a whole UTC hour, and Stripe keeps the one that it received last. A "
            "correction sends the hour's whole total again."
        )
    return (
        "Delta: Stripe adds all values up. Each report carries what is missing of its slice, so a "
        "correction sends the difference, also below zero."
    )


def units_sentence(*, scale: str, decimals: int) -> str:
    """Return how a measurement becomes billed units, in words."""
    times = "as it is measured" if scale == "1" else f"measured × {scale}"
    return f"Billed units are usage {times}, rounded half-even to {decimals} decimals."
