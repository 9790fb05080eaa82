"""Which meters can be reported."""

ADDITIVE = frozenset({"SUM", "COUNT"})
"""Only these add up over windows; an average or a maximum of hours is not that of a day."""


def why_not_reported(
    *, name: str, formula: str, event_time_window: str, aggregation: str, active: bool, slug: str
) -> str | None:
    """Return the sentence that says why a meter is not reported and what to do, or None if it can be."""
    if not active:
        return f"The Stripe meter {name} is deactivated: reactivate it in Stripe, then run sync_stripe."
    if formula != "sum":
        return (
            f"The Stripe meter {name} has formula {formula}; only sum can carry measured usage. "
            "Create a sum meter and put its price on the subscriptions."
        )
    if event_time_window not in ("", "hour"):
        return (
            f"The Stripe meter {name} keeps one value per {event_time_window}; only raw and hourly "
            "meters are reported. Create a meter without that window."
        )
    if not slug:
        return (
            f"The Stripe meter {name} has no OpenMeter meter: create one with slug {name} there, "
            "or set the slug on the meter here, then run sync_stripe."
        )
    if aggregation not in ADDITIVE:
        return (
            f"The OpenMeter meter {slug} aggregates by {aggregation or 'an unknown rule'}, which does not "
            "add up over hours; use a SUM or COUNT meter."
        )
    return None
