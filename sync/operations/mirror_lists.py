"""Read whole lists of Stripe into the mirror, and find out what is not on them any more."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Protocol, TypeVar

from django.db import models

from sync.operations.mirror_catalog import Tally
from sync.operations.store_rows import timed
from sync.ports import NotFound

T = TypeVar("T")
T_contra = TypeVar("T_contra", contravariant=True)
Progress = Callable[[str], None]
"""Called with what is read and how many of it were, like "customers: 200"."""
STEP = "Reading Stripe"


class _Store(Protocol[T_contra]):
    """Stores one page that was asked for at `fetched_at`."""

    def __call__(self, page: Sequence[T_contra], /, *, fetched_at: datetime) -> object:
        """Store it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class MirrorLists:
    """Reads whole lists."""

    clock: Callable[[], datetime]
    progress: Progress
    tally: Tally

    def mirror(
        self,
        model: type[models.Model],
        pages: Iterator[Sequence[T]],
        *,
        store: _Store[T],
        fetch: Callable[[str], None],
    ) -> None:
        """The table holds every listed object; what it held beside them was asked for one by one."""
        began_at = self.clock()
        kind = f"{model._meta.model_name}s"  # noqa: SLF001 - Django's documented accessor
        for fetched_at, page in timed(pages, clock=self.clock):
            store(page, fetched_at=fetched_at)
            self.progress(f"{kind}: {self.tally.seen.get(kind, 0)}")
        self._confirm_missing(model, fetch, began_at=began_at)

    def _confirm_missing(
        self, model: type[models.Model], fetch: Callable[[str], None], *, began_at: datetime
    ) -> None:
        """A list that is read page by page can miss a row, so each missing one is asked for itself."""
        table: models.Manager[Any] = model._default_manager  # noqa: SLF001 - Django's documented accessor
        missing = table.filter(deleted_at=None, fetched_at__lt=began_at)
        for stripe_id in list(missing.values_list("stripe_id", flat=True)):
            read_again(model, stripe_id, fetch=fetch, clock=self.clock)


def read_again(
    model: type[models.Model],
    stripe_id: str,
    *,
    fetch: Callable[[str], None],
    clock: Callable[[], datetime],
) -> None:
    """The row shows the object as Stripe has it now; it is marked deleted where Stripe has it no more."""
    table: models.Manager[Any] = model._default_manager  # noqa: SLF001 - Django's documented accessor
    asked_at = clock()
    try:
        fetch(stripe_id)
    except NotFound:
        table.filter(stripe_id=stripe_id, fetched_at__lt=asked_at).update(
            deleted_at=asked_at, fetched_at=asked_at
        )


def step_of(what: str) -> str:
    """Return the name of the step that a mirror's progress ("customers: 200") belongs to."""
    return f"{STEP}: {what.partition(':')[0]}"


def count_in(what: str) -> int:
    """Return how far a mirror's progress says it is."""
    number = what.rpartition(":")[2].strip()
    return int(number) if number.isdecimal() else 0
