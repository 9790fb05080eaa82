"""What lives do not hold yet, because the console cannot do it yet."""

FEATURES = {
    # Usage that OpenMeter learns of later than the tail is found by nobody but a person with --from; so is
    # what was used where OpenMeter answered with nothing and the ledger had no reason for doubt.
    "late usage is found": True,
    # A backup that is put back on another day has days cut where hours were sent, under other identifiers.
    "first deliveries are compared with Stripe": True,
    # A held report that was right, and whose period closed before anybody looked, can only be dismissed as
    # if it were wrong: its slice stays at what Stripe was told, and only the dismissed row says so.
    "held reports become late": True,
    # A pause is dated by when it was seen; of a trial that nobody saw end, the pause counts from its end.
    "pauses are dated by Stripe's events": False,
    # Prices that change, of the same meter or another, and items that are replaced, in mid-period.
    "moved items": True,
    # Stripe need not name all that it refuses; the rest is marked to be compared with its summaries.
    "refusals that Stripe does not name are found": True,
    # Late usage is carried into an open period.
    "late usage is carried": True,
    # A meter that counts part of an OpenMeter meter's usage.
    "filters": False,
}
"""What lives may hold once the console can do it; turn it on with the feature, never to make a life pass."""
