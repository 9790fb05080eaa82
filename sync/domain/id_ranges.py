"""Many row ids as short text: rows that were stored together have ids that follow one another."""

from collections.abc import Iterable


def as_ranges(ids: Iterable[int]) -> str:
    """Return ids as text like "17-45,48"; "" for none."""
    found: list[list[int]] = []
    for one in sorted(set(ids)):
        if found and one == found[-1][1] + 1:
            found[-1][1] = one
        else:
            found.append([one, one])
    return ",".join(str(first) if first == last else f"{first}-{last}" for first, last in found)


def from_ranges(text: str) -> frozenset[int]:
    """Return the ids that `as_ranges` wrote."""
    ids: set[int] = set()
    for part in filter(None, text.split(",")):
        first, _, last = part.partition("-")
        ids.update(range(int(first), int(last or first) + 1))
    return frozenset(ids)
