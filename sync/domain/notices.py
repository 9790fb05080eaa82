"""What Stripe tells by webhook: that an object changed, or that it refuses what it had taken."""

import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Protocol

ERROR_REPORT = "v1.billing.meter.error_report_triggered"
NO_METER_FOUND = "v1.billing.meter.no_meter_found"
REFUSALS = frozenset({ERROR_REPORT, NO_METER_FOUND})
"""Thin events: they hold no data, so that the event itself has to be asked for."""

METER_CODES = frozenset({"archived_meter", "no_meter"})
"""Codes that concern a meter as a whole; Stripe's list of codes is open."""

_MIRRORED = re.compile(
    r"customer\.(created|updated|deleted|subscription\.)|(price|product|invoice|billing\.meter)\."
)
_KEY_SERIES = re.compile(r":k\d+$")


@dataclass(frozen=True, slots=True, kw_only=True)
class Notification:
    """What a webhook said, without the object it showed: that may be outdated, or hold somebody's data."""

    id: str
    type: str
    created_at: datetime
    livemode: bool
    account: str
    """The connected account that it is about; "" for the account itself."""
    object_id: str
    object_kind: str

    @property
    def is_of_use(self) -> bool:
        """Whether anything is done about events of this type."""
        if self.type in REFUSALS:
            return True
        return bool(self.object_id) and _MIRRORED.match(self.type) is not None


@dataclass(frozen=True, slots=True, kw_only=True)
class Refused:
    """An event that Stripe took and refused later. `names` are what its request may be known by."""

    code: str
    message: str
    names: tuple[str, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class ErrorCount:
    """How often one code was the reason."""

    code: str
    count: int


@dataclass(frozen=True, slots=True, kw_only=True)
class ErrorReport:
    """Stripe's report of events that it took and refused later; `samples` need not be all of them."""

    type: str
    meter_id: str
    """"" where Stripe found no meter."""
    summary: str
    validation_start: datetime | None
    validation_end: datetime | None
    count: int
    counts: Sequence[ErrorCount]
    samples: Sequence[Refused]

    @property
    def concerns_meter(self) -> bool:
        """Whether it is the meter that is refused, and not single events."""
        return self.type == NO_METER_FOUND or any(one.code in METER_CODES for one in self.counts)


class ErrorReportSource(Protocol):
    """Stripe, as far as its reports of refused events are read. Raises `SyncError`s only."""

    def error_report(self, event_id: str) -> ErrorReport:
        """Return what the event says; `NotFound` once Stripe keeps it no more (30 days)."""

    def refusals(self, *, since: datetime) -> Iterator[list[Notification]]:
        """Yield events that tell of refused ones, from `since` on, newest first, a page at a time."""


def possible_identifiers(names: Iterable[str]) -> Iterator[str]:
    """Yield the identifiers of ours that these names may mean.

    It is not established whether Stripe names an event by its identifier or by the Idempotency-Key of its
    request, which is the identifier with the number of a series behind it.
    """
    for name in names:
        yield name
        if _KEY_SERIES.search(name):
            yield _KEY_SERIES.sub("", name)
