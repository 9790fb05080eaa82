"""ULIDs, the form of every id that OpenMeter gives."""

import datetime as dt
import re
import secrets

from sync.sandbox.openmeter import instants

ALPHABET = "0123456789ABCDEFGHJKMNPQRSTVWXYZ"
LENGTH = 26
PATTERN = re.compile(r"[0-7][0-9A-HJKMNP-TV-Za-hjkmnp-tv-z]{25}")


def new(now: dt.datetime) -> str:
    """A fresh ULID of this millisecond. Two of one millisecond are in no order."""
    milliseconds = max((now - instants.EPOCH) // dt.timedelta(milliseconds=1), 0)
    number = milliseconds << 80 | secrets.randbits(80)
    return "".join(ALPHABET[number >> shift & 31] for shift in range(5 * (LENGTH - 1), -1, -5))
