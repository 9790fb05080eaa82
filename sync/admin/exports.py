"""Downloads of a list as CSV or Excel file: what the page shows, with its filters, row by row."""

import csv
import tempfile
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from datetime import UTC, datetime
from decimal import Decimal
from itertools import islice
from typing import Any, ClassVar

from django.db.models import Model, QuerySet
from django.http import FileResponse, HttpRequest, HttpResponseBase, StreamingHttpResponse
from django.utils import timezone
from import_export.admin import ExportMixin
from import_export.fields import Field
from import_export.formats.base_formats import CSV, XLSX
from import_export.resources import ModelResource
from openpyxl import Workbook
from unfold.contrib.import_export.forms import ExportForm

from sync.domain.quantities import as_text

CHUNK = 2000
"""Rows that are in memory at once."""
MOST_IN_A_SHEET = 1_048_575
"""An Excel sheet holds this many rows beside its header."""
FORMULA = ("=", "+", "-", "@", "\t", "\r")
"""What a cell begins with that a spreadsheet would carry out."""


class Column(Field):  # type: ignore[misc] # import_export ships no types
    """A column of an export: what a function says of a row, as text that spreadsheets leave alone."""

    def __init__(self, name: str, value_of: Callable[[Any], Any]) -> None:
        """Take the value from a row by `value_of`."""
        super().__init__(column_name=name, readonly=True)
        self.value_of = value_of

    def export(self, instance: Any, **_: Any) -> Any:
        """Return what the cell holds."""
        return cell(self.value_of(instance))


def cell(value: Any) -> str | int:
    """Return exact digits for quantities, ISO 8601 in UTC for instants, and text that is no formula."""
    if value is None:
        return ""
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, int):
        return value
    if isinstance(value, Decimal):
        return as_text(value)
    if isinstance(value, datetime):
        return value.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
    text = str(value)
    return f"'{text}" if text.startswith(FORMULA) else text


def resource_of(model: type[Model], columns: Mapping[str, Callable[[Any], Any]]) -> type[ModelResource]:
    """Return the export of a model: its columns in order, nothing else, and no way back in."""
    names = list(columns)
    meta = type("Meta", (), {"model": model, "fields": names, "export_order": names})
    fields = {name: Column(name, value_of) for name, value_of in columns.items()}
    made: type[ModelResource] = type(f"{model.__name__}Resource", (ModelResource,), {**fields, "Meta": meta})
    return made


class CsvFirst(ExportForm):  # type: ignore[misc] # unfold ships no types
    """Asks for the format; csv unless somebody wants another."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        """Leave out the choice of none."""
        super().__init__(*args, **kwargs)
        field = self.fields["format"]
        field.choices = [choice for choice in field.choices if choice[0]]
        self.initial.setdefault("format", field.choices[0][0])


class ExportAdmin(ExportMixin):  # type: ignore[misc] # import_export ships no types
    """A list that whoever may see it may download. Nothing is ever imported."""

    export_related: ClassVar[Sequence[str]]
    """What the columns need beside the row itself."""
    export_template_name = "sync/export.html"
    export_form_class = CsvFirst
    formats = [CSV, XLSX]

    def export_reader(self) -> Callable[[Sequence[Any]], None]:
        """Return what adds to rows, a chunk at a time, what their columns need and no relation has."""
        return lambda _rows: None

    def has_export_permission(self, request: HttpRequest) -> bool:
        """Who sees the rows may take them along."""
        may: bool = self.has_view_permission(request)
        return may

    def _do_file_export(
        self, file_format: Any, request: HttpRequest, queryset: QuerySet[Any], **_: Any
    ) -> HttpResponseBase:
        """Send the rows as they are read, instead of building the file in memory."""
        resource = self.get_export_resource_classes(request)[0]()
        headers = [field.column_name for field in resource.get_export_fields()]
        # Loaded for a chunk at a time: joined, SQLite would sort all rows before it gave the first.
        chosen = queryset.select_related(None).prefetch_related(None)
        chosen = chosen.prefetch_related(*self.export_related)
        fields, read = resource.get_export_fields(), self.export_reader()
        rows = ([field.export(row) for field in fields] for row in _read(chosen, read))
        name = f"{self.opts.model_name}-{timezone.now():%Y-%m-%d-%H%M}"
        if isinstance(file_format, XLSX):
            if chosen.count() > MOST_IN_A_SHEET:
                msg = f"An Excel sheet holds {MOST_IN_A_SHEET:,} rows: narrow the list down, or choose csv."
                raise ValueError(msg)
            return _workbook(f"{name}.xlsx", headers, rows)
        return _csv(f"{name}.csv", headers, rows)


def _read(chosen: QuerySet[Any], read: Callable[[Sequence[Any]], None]) -> Iterator[Any]:
    rows = chosen.iterator(chunk_size=CHUNK)
    while chunk := list(islice(rows, CHUNK)):
        read(chunk)
        yield from chunk


class _Echo:
    """A file that hands back what is written into it."""

    def write(self, text: str) -> str:
        return text


def _csv(name: str, headers: list[str], rows: Iterable[list[Any]]) -> StreamingHttpResponse:
    writer = csv.writer(_Echo())

    def lines() -> Iterator[str]:
        # Excel takes a file for UTF-8 only by this mark.
        yield "\ufeff"
        yield writer.writerow(headers)
        for row in rows:
            yield writer.writerow(row)

    answer = StreamingHttpResponse(lines(), content_type="text/csv; charset=utf-8")
    answer["Content-Disposition"] = f'attachment; filename="{name}"'
    return answer


def _workbook(name: str, headers: list[str], rows: Iterable[list[Any]]) -> FileResponse:
    book = Workbook(write_only=True)
    sheet = book.create_sheet("Export")
    sheet.append(headers)
    for row in rows:
        sheet.append(row)
    file = tempfile.TemporaryFile()  # noqa: SIM115 - the response closes it
    book.save(file)
    file.seek(0)
    kind = "application/vnd.openxmlformats-officedocument.spreadsheetml.sheet"
    return FileResponse(file, as_attachment=True, filename=name, content_type=kind)
