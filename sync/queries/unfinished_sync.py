"""How far a full sync has come that was interrupted, and whether it should go on by itself."""

from datetime import datetime

from sync.models import Listing, ReportRun

Kind, Status = ReportRun.Kind, ReportRun.Status


def unfinished_sync(*, now: datetime) -> str:
    """Return how far the full sync is that the next one goes on with, as a sentence, or ""."""
    listings = [one for one in Listing.objects.all() if one.goes_on(now=now)]
    if not listings:
        return ""
    parts = ", ".join(f"{one}{' (all)' if one.read_at else ' so far'}" for one in listings)
    since = min(one.began_at for one in listings)
    return f"The sync that began on {since:%Y-%m-%d %H:%M} UTC is not finished; read are {parts}."


def goes_on_by_itself(*, now: datetime) -> bool:
    """Whether the schedule that reads changes should go on with an interrupted full sync this time.

    They take turns, so that neither keeps the other from its work. What a person stopped waits for one.
    """
    if not unfinished_sync(now=now):
        return False
    runs = ReportRun.objects.filter(kind__in=(Kind.SYNC, Kind.CHANGES)).order_by("-queued_at", "-id")
    last, last_sync = runs.first(), runs.filter(kind=Kind.SYNC).first()
    if last is None or last_sync is None or last.kind != Kind.CHANGES:
        return False
    return last_sync.status in {Status.PARTIAL, Status.INTERRUPTED}
