"""OpenMeter's meters, subjects and usage, read through API v1."""

from collections.abc import Iterator, Sequence
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any, NoReturn
from urllib.parse import quote

from sync.clients.openmeter_transport import OpenMeterTransport
from sync.ports import SourceMeter, SyncError, UsageRow, WindowSize

MOST_METERS = 1000
"""The server ignores paging and always answers with its first 1000 meters."""
MOST_SUBJECTS_IN_URL = 50
MOST_URL_CHARACTERS = 4000
"""Proxies commonly refuse addresses beyond 8 kB; non-ASCII subjects triple when they are quoted."""
MOST_SUBJECTS_IN_BODY = 100
"""OpenMeter's own limit."""
WINDOWS: dict[WindowSize | None, timedelta] = {
    "MINUTE": timedelta(minutes=1),
    "HOUR": timedelta(hours=1),
    "DAY": timedelta(days=1),
    None: timedelta(0),
}


class OpenMeterClient:
    """Implements `ports.UsageSource`; safe to share between threads. Raises `SyncError`s only."""

    def __init__(self, transport: OpenMeterTransport) -> None:
        """Ask through `transport`."""
        self._transport = transport

    def meters(self) -> list[SourceMeter]:
        """Return every live meter, or refuse to guess where there may be more than one answer holds."""
        rows = self._rows(self._transport.ask("/api/v1/meters"))
        if len(rows) >= MOST_METERS:
            message = (
                f"OpenMeter lists only its first {MOST_METERS} meters and there may be more; "
                "delete unused meters in OpenMeter."
            )
            raise SyncError(message)
        return [self._meter(row) for row in rows if not row.get("deletedAt")]

    def subjects(self, slug: str, *, start: datetime, end: datetime) -> set[str]:
        """Return the subjects with events of this meter's type in `[start, end)`."""
        answer = self._transport.ask(
            f"/api/v1/meters/{quote(slug, safe='')}/subjects",
            params=[("from", _instant(start)), ("to", _instant(end))],
            about=f"meter '{slug}'",
        )
        if not isinstance(answer, list):
            self._refuse("did not answer with a list of subjects")
        return {subject for subject in answer if isinstance(subject, str) and subject}

    def query(
        self,
        slug: str,
        *,
        start: datetime,
        end: datetime,
        window: WindowSize | None,
        subjects: Sequence[str] | None = None,
        group_by: Sequence[str] = (),
    ) -> list[UsageRow]:
        """Return usage per subject; instants are taken as whole seconds, as OpenMeter does.

        Rows come in no particular order. No row means zero.
        """
        if subjects is not None and not subjects:
            return []
        groups = ["subject", *(key for key in group_by if key != "subject")]
        asked: dict[str, Any] = {"from": _instant(start), "to": _instant(end), "groupBy": groups}
        if window:
            asked |= {"windowSize": window, "windowTimeZone": "UTC"}
        # A row may begin before `start` only where `start` lies inside a window.
        span = (start.replace(microsecond=0) - WINDOWS[window], end)
        return [
            row
            for answer in self._answers(slug, asked, list(dict.fromkeys(subjects or ())))
            for raw in self._rows(answer.get("data") if isinstance(answer, dict) else None)
            if (row := self._usage_row(raw, slug, groups[1:], span)) is not None
        ]

    def _answers(self, slug: str, asked: dict[str, Any], subjects: list[str]) -> Iterator[Any]:
        path = f"/api/v1/meters/{quote(slug, safe='')}/query"
        about = f"meter '{slug}'"
        if (
            len(subjects) <= MOST_SUBJECTS_IN_URL
            and sum(map(len, map(quote, subjects))) < MOST_URL_CHARACTERS
        ):
            params = [(name, value) for name, value in asked.items() if isinstance(value, str)]
            params += [("groupBy", key) for key in asked["groupBy"]]
            params += [("subject", subject) for subject in subjects]
            yield self._transport.ask(path, params=params, about=about)
            return
        for first in range(0, len(subjects), MOST_SUBJECTS_IN_BODY):
            body = asked | {"subject": subjects[first : first + MOST_SUBJECTS_IN_BODY]}
            yield self._transport.ask(path, body=body, about=about)

    def _refuse(self, what: str) -> NoReturn:
        raise self._transport.unusable(what)

    def _rows(self, rows: object) -> list[dict[str, Any]]:
        if not isinstance(rows, list) or not all(isinstance(row, dict) for row in rows):
            self._refuse("did not answer with a list of rows")
        return rows

    def _meter(self, row: dict[str, Any]) -> SourceMeter:
        try:
            return SourceMeter(
                id=str(row["id"]),
                slug=str(row["slug"]),
                aggregation=str(row["aggregation"]).upper(),
                group_by=tuple(row.get("groupBy") or ()),
            )
        except KeyError as error:
            self._refuse(f"lists a meter without {error}")

    def _usage_row(
        self, raw: dict[str, Any], slug: str, groups: list[str], span: tuple[datetime, datetime]
    ) -> UsageRow | None:
        value, subject = raw.get("value"), raw.get("subject")
        if not isinstance(value, Decimal) or not value.is_finite():
            self._refuse(f"gave {value!r} as a value of meter '{slug}', which is no number")
        if not isinstance(subject, str) or not subject:
            if value == 0:
                # A COUNT over nothing is one row of 0 that belongs to nobody.
                return None
            self._refuse(f"did not say whose usage of meter '{slug}' a row is")
        start = _parse_instant(raw.get("windowStart"))
        if start is None or not span[0] <= start < span[1]:
            when = raw.get("windowStart")
            self._refuse(f"gave a row of meter '{slug}' for {when!r}, which was not asked for")
        group = raw.get("groupBy") or {}
        return UsageRow(subject, start, value, {key: str(group.get(key) or "") for key in groups})


def _instant(at: datetime) -> str:
    return at.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def _parse_instant(raw: object) -> datetime | None:
    """Return the instant in UTC; in a zone with half hours OpenMeter answers with that zone's offset."""
    try:
        at = datetime.fromisoformat(str(raw))
    except ValueError:
        return None
    return at.astimezone(UTC) if at.tzinfo else None
