"""What happened in Stripe, and which objects have to be read again because of it."""

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class StripeEvent:
    """Something that happened to an object in Stripe. `object_kind` is Stripe's own name of its type."""

    id: str
    type: str
    created_at: datetime
    object_id: str
    object_kind: str


def latest_changes(events: Iterable[StripeEvent]) -> dict[tuple[str, str], datetime]:
    """Return kind and id of every object that changed, each once, with when it last did by Stripe's clock."""
    latest: dict[tuple[str, str], datetime] = {}
    for event in events:
        key = event.object_kind, event.object_id
        latest[key] = max(latest.get(key, event.created_at), event.created_at)
    return latest
