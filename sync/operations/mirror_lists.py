"""Read whole lists of Stripe into the mirror, and find out what is not on them any more."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Protocol, TypeVar

from django.db import models

from sync.domain.retries import CURSOR_GONE
from sync.models import Listing
from sync.operations.keep_listings import begin_listing, forget_listing, keep_listing
from sync.operations.mirror_catalog import Tally
from sync.operations.store_rows import timed
from sync.ports import NotFound, TemporaryFailure

T = TypeVar("T")


class _WithId(Protocol):
    @property
    def id(self) -> str:
        """Stripe's id."""


T_with_id = TypeVar("T_with_id", bound=_WithId)
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
    listings: list[Listing] = field(default_factory=list)
    """The long lists that were read, with the instant at which each was begun."""
    gone_on: list[str] = field(default_factory=list)
    """Those that an earlier sync had begun, and how many objects it had stored."""

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

    def go_on(
        self,
        model: type[models.Model],
        pages: Callable[..., Iterator[Sequence[T_with_id]]],
        *,
        store: _Store[T_with_id],
        fetch: Callable[[str], None],
    ) -> None:
        """The same for a list that may be very long: a sync that was interrupted goes on where it stopped.

        Everything up to there was stored since the list was begun, so what is older than that instant is
        missing from it, however long the break was.
        """
        kind = f"{model._meta.model_name}s"  # noqa: SLF001 - Django's documented accessor
        listing = begin_listing(kind, now=self.clock())
        if listing.seen and not listing.read_at and not self._is_there(pages, listing):
            listing = forget_listing(listing, now=self.clock())
        self.listings.append(listing)
        if listing.seen:
            self.tally.add(kind, seen=listing.seen, changed=0)
            self.gone_on.append(f"{kind} after {listing.seen:,}")
        if not listing.read_at:
            rest = pages(after=listing.after) if listing.after else pages()
            for fetched_at, page in timed(rest, clock=self.clock):
                store(page, fetched_at=fetched_at)
                seen = self.tally.seen.get(kind, 0)
                keep_listing(listing, after=page[-1].id if page else listing.after, seen=seen)
                self.progress(f"{kind}: {seen}")
            keep_listing(listing, after=listing.after, seen=listing.seen, read_at=self.clock())
        self._confirm_missing(model, fetch, began_at=listing.began_at)

    def _is_there(self, pages: Callable[..., Iterator[Sequence[Any]]], listing: Listing) -> bool:
        """Whether Stripe still knows the object that the list goes on after."""
        try:
            next(pages(after=listing.after), None)
        except TemporaryFailure as error:
            if error.code != CURSOR_GONE:
                raise
            return False
        return True

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
