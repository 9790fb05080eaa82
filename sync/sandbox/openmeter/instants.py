"""Instants on the wire (RFC 3339 text) and inside (aware datetimes, whole Unix seconds)."""

import datetime as dt
import re

EPOCH = dt.datetime(1970, 1, 1, tzinfo=dt.UTC)
RFC_3339 = re.compile(
    r"(\d{4}-\d{2}-\d{2})[Tt](\d{2}:\d{2}:\d{2})(?:\.(\d+))?([Zz]|[+-]\d{2}:\d{2})",
    re.ASCII,
)

EARLIEST = -62_132_832_000  # 0001-02-01
LATEST = 253_399_536_000  # 9999-11-30
"""Between these every time zone and the next month can be told by a datetime."""


def parse(text: str) -> dt.datetime:
    """The instant, aware, with the offset it was written with. Raises ValueError."""
    found = RFC_3339.fullmatch(text)
    if found is None:
        message = f"{text!r} is not an RFC 3339 date-time with a time zone"
        raise ValueError(message)
    day, time, fraction, offset = found.groups()
    # datetime holds microseconds; nothing here looks past the whole second anyway.
    instant = dt.datetime.fromisoformat(f"{day}T{time}.{(fraction or '0')[:6]:0<6}{offset.upper()}")
    try:
        instant.astimezone(dt.UTC)
    except OverflowError as error:
        message = f"{text!r} is outside the years that can be told"
        raise ValueError(message) from error
    return instant


def text(instant: dt.datetime) -> str:
    """RFC 3339 as Go writes it: the instant's own offset, Z for zero, no trailing zeros of a fraction."""
    stamp = instant.isoformat(timespec="seconds")
    fraction = f".{instant.microsecond:06}".rstrip("0").rstrip(".")
    offset = stamp[19:]
    return f"{stamp[:19]}{fraction}{'Z' if offset == '+00:00' else offset}"


def to_seconds(instant: dt.datetime) -> int:
    """Whole Unix seconds; a fraction is cut, as the real server compares and stores times."""
    return (instant - EPOCH) // dt.timedelta(seconds=1)


def from_seconds(seconds: int, zone: dt.tzinfo = dt.UTC) -> dt.datetime:
    """The instant told in `zone`. Past the two ends it is the nearest end, so that nothing overflows."""
    within = min(max(seconds, EARLIEST), LATEST)
    return (EPOCH + dt.timedelta(seconds=within)).astimezone(zone)
