"""Keep how far a list was read, so that a full sync which is interrupted goes on from there."""

from collections.abc import Iterable
from datetime import datetime

from sync.models import Listing


def begin_listing(kind: str, *, now: datetime) -> Listing:
    """Return where to go on in a list, or its beginning.

    Another sync may begin at the same instant, and its row serves as well as ours; it may also be over before
    that row is read. Then there is none, this sync keeps nothing of how far it is, and reads all the same.
    """
    known = Listing.objects.filter(kind=kind).first()
    if known and known.goes_on(now=now):
        return known
    if known:
        Listing.objects.filter(kind=kind).delete()
    begun = Listing(kind=kind, began_at=now)
    Listing.objects.bulk_create([begun], ignore_conflicts=True)
    return Listing.objects.filter(kind=kind).first() or begun


def keep_listing(listing: Listing, *, after: str, seen: int, read_at: datetime | None = None) -> None:
    """The list is stored up to `after`.

    Two syncs at once may write the same row: whichever wins, all up to there was stored since it began.
    """
    listing.after, listing.seen = after, seen
    changes = {"after": after, "seen": seen} | ({"read_at": read_at} if read_at else {})
    Listing.objects.filter(pk=listing.pk, began_at=listing.began_at).update(**changes)


def forget_listing(listing: Listing, *, now: datetime) -> Listing:
    """The list is read from its beginning again; return it so."""
    Listing.objects.filter(pk=listing.pk).delete()
    return begin_listing(listing.kind, now=now)


def end_listings(listings: Iterable[Listing]) -> None:
    """The full sync is finished: the next one begins anew."""
    Listing.objects.filter(pk__in=[one.pk for one in listings if one.pk]).delete()
