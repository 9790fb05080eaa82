"""An ingested event: read from a CloudEvent, kept as a record, shown as a CloudEvent again."""

import dataclasses
import datetime as dt
import json
from typing import Any

from sync.sandbox.openmeter import exact_json, instants
from sync.sandbox.openmeter.answers import bad_request
from sync.sandbox.openmeter.fields import Fields, without_empty


@dataclasses.dataclass(frozen=True, slots=True)
class Event:
    """One event. Its data holds numbers as the text that was sent."""

    id: str
    source: str
    type: str
    subject: str
    seconds: int
    """When it happened, in whole Unix seconds: the real server's column holds no more."""
    data: dict[str, Any] | None
    data_schema: str | None
    ingested_at: str

    @property
    def key(self) -> str:
        """What makes two events the same one: source and id, whatever else they say."""
        return json.dumps([self.source, self.id])

    def record(self) -> dict[str, Any]:
        """The event as the store keeps it: the data as text, because the store's JSON knows floats."""
        return {
            "id": self.id,
            "source": self.source,
            "type": self.type,
            "subject": self.subject,
            "time": instants.text(instants.from_seconds(self.seconds)),
            "seconds": self.seconds,
            "data": None if self.data is None else exact_json.dumps(self.data),
            "dataschema": self.data_schema,
            "ingestedAt": self.ingested_at,
        }

    @classmethod
    def from_record(cls, record: dict[str, Any]) -> "Event":
        """The event that `record` was made of."""
        return cls(
            id=record["id"],
            source=record["source"],
            type=record["type"],
            subject=record["subject"],
            seconds=record["seconds"],
            data=None if record["data"] is None else exact_json.loads(record["data"]),
            data_schema=record["dataschema"],
            ingested_at=record["ingestedAt"],
        )

    def cloud_event(self) -> dict[str, Any]:
        """The event as the listing shows it."""
        shown = without_empty(
            {
                "id": self.id,
                "source": self.source,
                "specversion": "1.0",
                "type": self.type,
                "subject": self.subject,
                "time": instants.text(instants.from_seconds(self.seconds)),
                "dataschema": self.data_schema,
            }
        )
        if self.data is not None:
            shown |= {"datacontenttype": "application/json", "data": self.data}
        return shown


def read_event(document: Any, *, now: dt.datetime) -> Event:
    """The event that this CloudEvent describes; `now` is its time when it names none.

    Past and future times are taken alike, values are not looked at. A wrong shape is a 400.
    """
    fields = Fields(document, what="an event")
    fields.choice("specversion", ("1.0",))
    if fields.has("datacontenttype"):
        fields.choice("datacontenttype", ("application/json",))
    data = fields.object("data")
    _refuse_unwritable(data)
    return Event(
        id=fields.text("id"),
        source=fields.text("source"),
        type=fields.text("type"),
        subject=fields.text("subject"),
        seconds=instants.to_seconds(fields.instant("time") or now),
        data=data,
        data_schema=fields.optional_text("dataschema"),
        ingested_at=instants.text(now),
    )


def _refuse_unwritable(data: dict[str, Any] | None) -> None:
    # Reading goes a little deeper than writing can: refuse here what could not be stored afterwards.
    try:
        exact_json.dumps(data)
    except RecursionError as error:
        raise bad_request(detail="data is nested too deeply") from error
