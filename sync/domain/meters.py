"""Which meters can be reported."""

ADDITIVE = frozenset({"SUM", "COUNT"})
"""Only these add up over windows; an average or a maximum of hours is not that of a day."""

REPLACE = "make a new meter with manage.py set_up_stripe --meter-only and move the prices to it"


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
            "Stripe, then run sync_stripe.",
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


def why_unlinked(*, name: str, slug: str) -> str:
    """Return the sentence that says that a meter is not tied to OpenMeter and what to do, or ""."""
    if slug:
        return ""
    return (
        f"The Stripe meter {name} has no OpenMeter meter: create one with slug {name} there, or set the "
        "slug on the meter here, then run sync_stripe."
    )
