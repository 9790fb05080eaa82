"""The events of a sandbox: kept in the store, found through an index in memory."""

import bisect
import operator
import secrets
from collections.abc import Iterable, Sequence
from weakref import WeakKeyDictionary

from sync.sandbox.openmeter.events import Event
from sync.sandbox.store import Store

KIND = "openmeter_event"
MARK_KIND, MARK_ID = "openmeter_index", "events"

seconds_of = operator.attrgetter("seconds")


class Timeline:
    """The events of one type in the order of their time, first come first within a second."""

    def __init__(self) -> None:
        self._events: list[Event] = []
        self._in_order = True

    def add(self, event: Event) -> None:
        """The event is part of the timeline."""
        self._events.append(event)
        self._in_order = False

    def remove(self, keys: set[str]) -> None:
        """No event with such a key is part of the timeline."""
        self._events = [event for event in self._events if event.key not in keys]

    def between(self, start: int | None, end: int | None) -> Sequence[Event]:
        """The events with start <= time < end, oldest first; None leaves that end open."""
        if not self._in_order:
            # Once per burst of writes, and cheap: the sort is stable and most of the list is in order.
            self._events.sort(key=seconds_of)
            self._in_order = True
        first = 0 if start is None else bisect.bisect_left(self._events, start, key=seconds_of)
        last = len(self._events) if end is None else bisect.bisect_left(self._events, end, key=seconds_of)
        return self._events[first:last]


class EventIndex:
    """Every event of one store by type. `token` is what the store holds while the index is true."""

    def __init__(self, events: Iterable[Event]) -> None:
        self.token = secrets.token_hex(8)
        self._timelines: dict[str, Timeline] = {}
        self.add(events)

    def add(self, events: Iterable[Event]) -> None:
        """The index finds these events too."""
        for event in events:
            self._timelines.setdefault(event.type, Timeline()).add(event)

    def remove(self, keys: set[str]) -> None:
        """The index finds no event with such a key."""
        for timeline in self._timelines.values():
            timeline.remove(keys)

    def of_type(self, event_type: str, start: int | None = None, end: int | None = None) -> Sequence[Event]:
        """Events of this type with start <= time < end, oldest first."""
        timeline = self._timelines.get(event_type)
        return timeline.between(start, end) if timeline else ()

    def of_any_type(self, start: int | None = None, end: int | None = None) -> list[Event]:
        """Events of all types with start <= time < end, type by type."""
        return [event for timeline in self._timelines.values() for event in timeline.between(start, end)]


# By store and not by world: an index must not outlive, nor keep alive, the store that it mirrors.
_indexes: WeakKeyDictionary[Store, EventIndex] = WeakKeyDictionary()


def event_index(store: Store) -> EventIndex:
    """The index of this store's events, built again if the store was cleared or is new to this process.

    The store itself says whether the index still speaks for it: clearing the store takes the mark away.
    """
    index = _indexes.get(store)
    if index is None or store.get(MARK_KIND, MARK_ID) != {"token": index.token}:
        index = _indexes[store] = EventIndex(map(Event.from_record, store.all(KIND)))
        store.put(MARK_KIND, MARK_ID, {"token": index.token})
    return index


def record_events(store: Store, events: Iterable[Event]) -> None:
    """The store holds these events, all in one transaction.

    Safe to call twice: an event whose source and id were seen before is dropped, as with the real
    server's deduplication switched on.
    """
    index = event_index(store)
    fresh: dict[str, Event] = {}
    for event in events:
        if store.get(KIND, event.key) is None:
            fresh.setdefault(event.key, event)
    store.put_many(KIND, [(key, event.record()) for key, event in fresh.items()])
    index.add(fresh.values())


def forget_events(store: Store, events: Iterable[Event]) -> int:
    """The store does not hold these events any more; answers how many they were."""
    index = event_index(store)
    keys = {event.key for event in events}
    for key in keys:
        store.delete(KIND, key)
    index.remove(keys)
    return len(keys)
