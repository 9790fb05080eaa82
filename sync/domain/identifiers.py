"""Names that Stripe knows our events by."""

import re
from datetime import datetime
from hashlib import sha256

VERSION = "bc1"
"""Goes up when the recipe below changes: an old row keeps the identifier it was stored with."""

_OURS = re.compile(r"bc\d+:")

MAX_LENGTH = 100
"""Stripe's limit for `identifier`."""


def report_identifier(*, meter_id: str, customer_id: str, slice_start: datetime, revision: int) -> str:
    """Return the same text for the same slice and revision on every machine, at most 100 characters.

    It holds Stripe's own ids and no database key, so a restored or second database makes the same
    name for the same report and Stripe refuses the repetition.
    """
    tail = f"{int(slice_start.timestamp())}:{revision}"
    name = f"{VERSION}:{meter_id}:{customer_id}:{tail}"
    if len(name) <= MAX_LENGTH:
        return name
    digest = sha256(f"{meter_id}:{customer_id}".encode()).hexdigest()[:40]
    return f"{VERSION}:{digest}:{tail}"


def looks_ours(name: str) -> bool:
    """Whether a name was made by this recipe, or by an earlier one, in this database or another."""
    return _OURS.match(name) is not None


def idempotency_key(*, identifier: str, series: int) -> str:
    """Return the `Idempotency-Key` for one series of attempts.

    Stripe v1 repeats a stored answer, even a 500, for 24 h: after such an answer the series goes up
    and `identifier` alone keeps the event from counting twice.
    """
    return f"{identifier}:k{series}"
