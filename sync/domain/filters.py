"""Which usage a meter's filters take, how people write them, and whether two meters would take the same."""

import json
from collections.abc import Mapping, Sequence
from typing import Any

Filters = Mapping[str, Sequence[str]]
"""Group-by key → the values that count; empty means everything."""


def takes(filters: Filters, group: Mapping[str, str]) -> bool:
    """Whether usage of this group counts; what an event does not say is an empty value."""
    return all(group.get(key, "") in accepted for key, accepted in filters.items())


def overlap(one: Filters, other: Filters) -> bool:
    """Whether some event would be taken by both.

    None would only where there is a key that both name, with no value in common: a key that only one of
    them names may have any value for the other.
    """
    return not any(set(one[key]).isdisjoint(other[key]) for key in one.keys() & other.keys())


def keys_of(filters: Sequence[Filters]) -> list[str]:
    """Return every key that one of them names, in order: what usage has to be grouped by for all of them."""
    return sorted({key for one in filters for key in one})


def overlap_sentence(*, name: str, other: str, slug: str, filters: Filters) -> str:
    """Return that a meter would bill usage that another one bills already, and what to do."""
    which = "everything that it counts" if not filters else in_words(filters)
    return (
        f"{name} would bill usage of the OpenMeter meter {slug} that {other} bills already ({other} takes "
        f"{which}): choose filters of which no event meets both."
    )


def in_words(filters: Filters) -> str:
    """Return which usage is meant; "" where all is."""
    return " and ".join(
        f"{key} is {' or '.join(value or 'empty' for value in values)}"
        for key, values in sorted(filters.items())
    )


def read_filters(text: str) -> Any:
    """Return what somebody wrote: "type: input, output", one key a line, or JSON. Raises `ValueError`.

    What has commas in it, or is empty, is written as JSON; whether it makes sense is for others to say.
    """
    if text.lstrip().startswith(("{", "[")):
        return json.loads(text)
    filters: dict[str, list[str]] = {}
    for line in text.splitlines():
        if line.strip():
            key, colon, values = (part.strip() for part in line.partition(":"))
            accepted = [value.strip() for value in values.split(",")]
            if not (key and colon and all(accepted)) or key in filters:
                raise ValueError(line)
            filters[key] = accepted
    return filters


def write_filters(filters: Filters) -> str:
    """Return filters as people write them: one key a line, or as JSON where that would be read otherwise."""
    text = "\n".join(f"{key}: {', '.join(values)}" for key, values in filters.items())
    try:
        is_read_alike = read_filters(text) == filters
    except ValueError:
        is_read_alike = False
    return text if is_read_alike else json.dumps(filters, ensure_ascii=False)
