"""Accepted meter events: which count, and what they add up to."""

import bisect
import dataclasses
import datetime as dt
from collections.abc import Iterable, Iterator, Sequence
from decimal import Decimal, localcontext
from typing import Any

from sync.sandbox.store import Store

KIND = "stripe.meter_event"
CANCELED_KIND = "stripe.canceled_meter_event"
WINDOW_SECONDS = {"hour": 3600, "day": 86_400}
UNIQUE_FOR = dt.timedelta(hours=24)
"""An identifier is refused again for this long after its event was received."""

EXACT_DIGITS = 80
"""Sums of 15-digit values with any number of decimals stay exact well below this precision."""


@dataclasses.dataclass(frozen=True, slots=True)
class Event:
    """A meter event that was accepted; `position` is the order of receipt."""

    position: int
    identifier: str
    event_name: str
    meter: str
    customer: str
    value: Decimal
    timestamp: int
    received_at: dt.datetime
    refused: str = ""
    """The code with which it was refused after it had been taken; it counts for nothing."""

    def as_dict(self) -> dict[str, Any]:
        """The event as a JSON-able object with an exact, exponent-free value."""
        body = dataclasses.asdict(self)
        if not self.refused:
            del body["refused"]
        return body | {"value": plain(self.value), "received_at": self.received_at.isoformat()}

    @classmethod
    def from_dict(cls, body: dict[str, Any]) -> "Event":
        """The event that `as_dict` wrote down."""
        exact = {
            "value": Decimal(body["value"]),
            "received_at": dt.datetime.fromisoformat(body["received_at"]),
        }
        return cls(**(body | exact))


class EventLedger:
    """All accepted events by meter and customer, ordered by timestamp, then by receipt."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._identifiers: dict[str, Event] = {}
        self._canceled: dict[int, Event] = {}
        self._refused: list[Event] = []
        self._enrolments: dict[tuple[str, str], list[Event]] = {}
        self._next_position = 1
        canceled = {body["position"] for body in store.all(CANCELED_KIND)}
        for body in store.all(KIND):
            event = Event.from_dict(body)
            self._index(event, is_canceled=event.position in canceled)

    def record(self, *, received_at: dt.datetime, **fields: Any) -> Event:
        """The event is accepted and on disk."""
        event = Event(position=self._next_position, received_at=received_at, **fields)
        self._store.put(KIND, str(event.position), event.as_dict())
        self._index(event)
        return event

    @property
    def last_position(self) -> int:
        """The order of receipt that the newest event has; 0 before the first."""
        return self._next_position - 1

    def is_taken(self, identifier: str, *, now: dt.datetime) -> bool:
        """Whether an event with this identifier was received within the last 24 hours."""
        event = self._identifiers.get(identifier)
        return event is not None and now - event.received_at < UNIQUE_FOR

    def find(self, identifier: str, *, event_name: str) -> Event | None:
        """The event that was received last under this identifier, unless it was canceled."""
        event = self._identifiers.get(identifier)
        if event is None or event.event_name != event_name or event.position in self._canceled:
            return None
        if event.refused:
            return None
        return event

    def cancel(self, event: Event, *, at: dt.datetime) -> None:
        """The event counts no more; its identifier stays taken."""
        body = {"position": event.position, "canceled_at": at.isoformat()}
        self._store.put(CANCELED_KIND, str(event.position), body)
        self._enrolments[event.meter, event.customer].remove(event)
        self._canceled[event.position] = event

    def canceled(self) -> Iterator[Event]:
        """The events that were canceled."""
        yield from self._canceled.values()

    def refused(self) -> Iterator[Event]:
        """The events that were taken and refused later; their identifiers stay taken."""
        yield from self._refused

    def enrolments(self) -> Iterator[tuple[str, str]]:
        """The pairs of meter id and customer that have events."""
        yield from self._enrolments

    def of(self, meter: str, customer: str) -> Sequence[Event]:
        """The events of a customer on a meter, by timestamp."""
        return self._enrolments.get((meter, customer), [])

    def between(self, meter: str, customer: str, *, start: int, end: int) -> Sequence[Event]:
        """Those with start <= timestamp < end."""
        events = self._enrolments.get((meter, customer), [])
        first = bisect.bisect_left(events, start, key=_timestamp)
        return events[first : bisect.bisect_left(events, end, key=_timestamp)]

    def _index(self, event: Event, *, is_canceled: bool = False) -> None:
        self._identifiers[event.identifier] = event
        self._next_position = max(self._next_position, event.position + 1)
        if event.refused:
            self._refused.append(event)
            return
        if is_canceled:
            self._canceled[event.position] = event
            return
        events = self._enrolments.setdefault((event.meter, event.customer), [])
        bisect.insort_right(events, event, key=_timestamp)


def counted(events: Iterable[Event], *, window: str | None) -> list[Event]:
    """The events that count: with a window, only the most recently received of each UTC hour or day."""
    if window is None:
        return list(events)
    newest: dict[int, Event] = {}
    for event in events:
        start = floor(event.timestamp, window)
        if start not in newest or newest[start].position < event.position:
            newest[start] = event
    return [newest[start] for start in sorted(newest)]


def aggregate(events: Sequence[Event], *, formula: str) -> Decimal:
    """What a meter makes of its counted events, exactly; nothing is zero.

    `last` is the value with the latest timestamp, among equals the one received last.
    """
    if formula == "count":
        return Decimal(len(events))
    if formula == "last":
        return (
            max(events, key=lambda event: (event.timestamp, event.position)).value if events else Decimal(0)
        )
    with localcontext(prec=EXACT_DIGITS):
        return sum((event.value for event in events), Decimal(0))


def floor(timestamp: int, window: str) -> int:
    """The start of the UTC hour or day that holds the timestamp."""
    return timestamp - timestamp % WINDOW_SECONDS[window]


def plain(value: Decimal) -> str:
    """The number without exponent and without needless zeros."""
    text = format(value, "f")
    text = text.rstrip("0").rstrip(".") if "." in text else text
    return "0" if text == "-0" else text


def _timestamp(event: Event) -> int:
    return event.timestamp
