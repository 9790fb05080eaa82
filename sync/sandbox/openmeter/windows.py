"""Aggregation windows: half-open stretches of Unix seconds, cut by the calendar of a time zone."""

import dataclasses
import datetime as dt
import zoneinfo

from sync.sandbox.openmeter import instants

SIZES = ("MINUTE", "HOUR", "DAY", "MONTH")
STEP_SECONDS = {"MINUTE": 60, "HOUR": 3600}


def zone_named(name: str) -> dt.tzinfo:
    """The IANA zone. Raises ValueError for a name that is none."""
    if name in {"", "UTC"}:
        return dt.UTC
    try:
        return zoneinfo.ZoneInfo(name)
    # A name that is a folder of the database ("America") or climbs out of it fails in other ways.
    except (zoneinfo.ZoneInfoNotFoundError, ValueError, OSError) as error:
        message = f"unknown time zone {name}"
        raise ValueError(message) from error


@dataclasses.dataclass(frozen=True, slots=True)
class Windows:
    """All windows of one size in one zone."""

    size: str
    zone: dt.tzinfo

    def containing(self, seconds: int) -> tuple[int, int]:
        """Start and end of the window that holds this second.

        Hours start on the zone's own hours, so not on UTC hours in a half-hour zone. Days run from
        midnight to midnight and last 23 or 25 hours where clocks change; months likewise.
        """
        local = instants.from_seconds(seconds, self.zone)
        step = STEP_SECONDS.get(self.size)
        if step is not None:
            offset = local.utcoffset() or dt.timedelta()
            start = seconds - (seconds + offset // dt.timedelta(seconds=1)) % step
            return start, start + step
        day = local.date()
        if self.size == "DAY":
            return self._midnight(day), self._midnight(day + dt.timedelta(days=1))
        first = day.replace(day=1)
        # Day 1 + 31 is always in the next month.
        return self._midnight(first), self._midnight((first + dt.timedelta(days=31)).replace(day=1))

    def _midnight(self, day: dt.date) -> int:
        # Where midnight does not exist, fold=0 reads it with the offset before the change, which is
        # the instant of the change: the day's true first second. Where it occurs twice: the first.
        return instants.to_seconds(dt.datetime(day.year, day.month, day.day, tzinfo=self.zone))
