"""Cursors and list envelopes."""

from collections.abc import Mapping, Sequence
from typing import Any

from sync.sandbox.stripe.errors import invalid, no_such

DEFAULT_LIMIT = 10
MAX_LIMIT = 100


def page(rows: Sequence[Mapping[str, Any]], params: Mapping[str, Any], *, url: str) -> dict[str, Any]:
    """The envelope with the page of `rows` that the cursors ask for. Raises StripeError for a bad cursor."""
    limit = params.get("limit", DEFAULT_LIMIT)
    if not 1 <= limit <= MAX_LIMIT:
        side = "less than or equal to 100" if limit > MAX_LIMIT else "greater than or equal to 1"
        message = f"Invalid integer: this value must be {side}."
        raise invalid(message, "limit", code="parameter_invalid_integer")
    after, before = params.get("starting_after"), params.get("ending_before")
    if after and before:
        message = "You may only specify one of these parameters: ending_before, starting_after."
        raise invalid(message, "ending_before")
    if before:
        end = _position(rows, before, "ending_before")
        start = max(0, end - limit)
        return envelope(rows[start:end], url=url, has_more=start > 0)
    start = _position(rows, after, "starting_after") + 1 if after else 0
    return envelope(rows[start : start + limit], url=url, has_more=start + limit < len(rows))


def envelope(rows: Sequence[Mapping[str, Any]], *, url: str, has_more: bool = False) -> dict[str, Any]:
    """A list object."""
    return {"object": "list", "url": url, "has_more": has_more, "data": list(rows)}


def _position(rows: Sequence[Mapping[str, Any]], id_: str, param: str) -> int:
    for position, row in enumerate(rows):
        if row["id"] == id_:
            return position
    raise no_such(id_, "object", param=param, status=400)
