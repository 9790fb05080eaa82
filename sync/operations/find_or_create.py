"""Create something in Stripe once, however often and wherever the creating was interrupted."""

import hashlib
import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Generic, TypeVar

from sync.ports import OutcomeUnknown, TemporaryFailure

T = TypeVar("T")

SERIES = 5
"""How many idempotency keys one call tries: a key answers for 24 h with what it first answered."""


@dataclass(frozen=True, slots=True)
class Found(Generic[T]):
    """Something that is there now, and whether this call created it."""

    value: T
    created: bool


def find_or_create(
    *,
    kind: str,
    params: Mapping[str, str],
    find: Callable[[], T | None],
    create: Callable[[str], T],
    confirm: Callable[[T], T | None],
) -> Found[T]:
    """Return what `find` finds, else what `create` (given an idempotency key) made and `confirm` confirms.

    The key is made of `params`, so a call that was cut off is answered with what it made. Two things make
    it take the next key: a stored answer about something that was deleted since, and a stored 5xx, which
    Stripe would repeat for a day. Raises what `create` raised where the outcome stays unknown.
    """
    found = find()
    failure: TemporaryFailure | None = None
    for series in range(SERIES):
        if found is not None:
            return Found(found, created=series > 0)
        try:
            made = confirm(create(_key(kind, params, series)))
        except TemporaryFailure as error:
            if not error.maybe_arrived:
                raise
            failure = error
        else:
            if made is not None:
                return Found(made, created=True)
        found = find()
    if found is not None:
        return Found(found, created=True)
    message = f"Stripe answered about the {kind} that is to be created as if it were there, but it is not."
    raise failure or OutcomeUnknown(f"{message} Try again in 24 hours or choose another name.")


def _key(kind: str, params: Mapping[str, str], series: int) -> str:
    content = json.dumps([kind, dict(params), series], sort_keys=True)
    return f"set-up-{kind}-{hashlib.sha256(content.encode()).hexdigest()}"
