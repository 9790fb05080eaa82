"""Write a page of Stripe's objects into a mirror table, never over newer rows."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, TypeVar

from django.db import models, transaction

T = TypeVar("T")
Row = Mapping[str, Any]
"""Column → value of one mirrored object; always with `stripe_id`."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Stored:
    """What became of a page. `stale` are the Stripe ids whose stored row is as new or newer."""

    ids: Mapping[str, int]
    changed: int
    stale: frozenset[str]


def timed(pages: Iterator[T], *, clock: Callable[[], datetime]) -> Iterator[tuple[datetime, T]]:
    """Yield each page with the time before it was asked for: what it says is at least that new."""
    while True:
        asked_at = clock()
        try:
            page = next(pages)
        except StopIteration:
            return
        yield asked_at, page


def store_rows(model: type[models.Model], rows: Sequence[Row], *, fetched_at: datetime) -> Stored:
    """Every row is stored unless what the table holds is as new or newer; seen rows are not deleted.

    Costs a fixed number of queries per page. Safe to repeat and to run twice at once: the guard stands
    in the UPDATE's own WHERE.
    """
    wanted = {row["stripe_id"]: {"deleted_at": None, **row, "fetched_at": fetched_at} for row in rows}
    table: models.Manager[Any] = model._default_manager  # noqa: SLF001 - Django's documented accessor
    with transaction.atomic():
        known = {row.stripe_id: row for row in table.filter(stripe_id__in=wanted)}
        stale = frozenset(key for key, row in known.items() if row.fetched_at >= fetched_at)
        new = [model(**fields) for key, fields in wanted.items() if key not in known]
        changed = [row for key, row in known.items() if key not in stale and _change(row, wanted[key])]
        older = table.filter(fetched_at__lt=fetched_at)
        if changed:
            columns = sorted({column for row in changed for column in wanted[row.stripe_id]} - {"stripe_id"})
            older.bulk_update(changed, [_field(model, column) for column in columns])
        ids = {key: row.pk for key, row in known.items()}
        if seen := set(ids.values()) - {row.pk for row in changed}:
            older.filter(pk__in=seen).update(fetched_at=fetched_at)
        if new:
            # Another sync may insert the same object meanwhile; its row serves as well as ours.
            table.bulk_create(new, ignore_conflicts=True)
            ids = dict(table.filter(stripe_id__in=wanted).values_list("stripe_id", "pk"))
    return Stored(ids=ids, changed=len(new) + len(changed), stale=stale)


def _change(row: Any, fields: Row) -> bool:
    """Set the fields and return whether any but `fetched_at` differed."""
    differs = any(getattr(row, column) != value for column, value in fields.items() if column != "fetched_at")
    for column, value in fields.items():
        setattr(row, column, value)
    return differs


def _field(model: type[models.Model], column: str) -> str:
    """Return the field's name for its column's: `meter` for `meter_id`."""
    return model._meta.get_field(column).name  # noqa: SLF001 - Django's documented accessor
