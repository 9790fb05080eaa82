"""Writing the rows of a meter query, as JSON or as the less exact CSV."""

import csv
import io
from collections.abc import Iterable, Sequence
from typing import Any

from sync.sandbox.openmeter import float64, instants
from sync.sandbox.openmeter.exact_json import NumberText
from sync.sandbox.openmeter.query import MeterQuery, Row

EVENT_COLUMNS = frozenset({"subject", "customer_id"})
"""Keys of a group that have a place of their own in the answer."""


def as_document(query: MeterQuery, rows: Iterable[Row]) -> dict[str, Any]:
    """`MeterQueryResult`: the period and window size as asked, absent where not asked."""
    document: dict[str, Any] = {}
    if query.start is not None:
        document["from"] = instants.text(query.start)
    if query.end is not None:
        document["to"] = instants.text(query.end)
    if query.windows is not None:
        document["windowSize"] = query.windows.size
    return document | {"data": [_row(row) for row in rows]}


def as_csv(query: MeterQuery, rows: Sequence[Row], display_names: dict[str, str]) -> str:
    """The rows as CSV. `display_names` by subject add a column where one of these subjects has one.

    The customer id stays empty, as it does at the real server.
    """
    grouped = "subject" in query.group_by
    named = grouped and any(row.groups["subject"] in display_names for row in rows)
    keys = [key for key in query.group_by if key != "subject"]
    lines = io.StringIO()
    writer = csv.writer(lines, lineterminator="\n")
    subject_columns = ["subject"] * grouped + ["subject_display_name"] * named
    writer.writerow(["window_start", "window_end", *subject_columns, *keys, "value"])
    for row in rows:
        subject = row.groups.get("subject", "")
        subject_cells = [subject] * grouped + [display_names.get(subject, "")] * named
        groups = ["" if key == "customer_id" else row.groups[key] for key in keys]
        window = [instants.text(row.window_start), instants.text(row.window_end)]
        writer.writerow([*window, *subject_cells, *groups, float64.csv_text(row.value)])
    return lines.getvalue()


def _row(row: Row) -> dict[str, Any]:
    document = {
        "value": NumberText(float64.json_text(row.value)),
        "windowStart": instants.text(row.window_start),
        "windowEnd": instants.text(row.window_end),
        "subject": row.groups.get("subject"),
        "groupBy": {key: value for key, value in row.groups.items() if key not in EVENT_COLUMNS},
    }
    if "customer_id" in row.groups:
        document["customerId"] = row.groups["customer_id"]
    return document
