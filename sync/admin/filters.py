"""Filters that several lists have."""

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

from django.db.models import Q, QuerySet
from django.http import HttpRequest
from unfold.contrib.filters.admin import DropdownFilter, RangeDateFilter
from unfold.utils import parse_date_str

from sync.queries.waiting_reports import WAITS_FOR_A_PERSON


class DaysFilter(RangeDateFilter):  # type: ignore[misc] # unfold ships no types
    """Rows whose instant lies on one of these UTC days, the last one included."""

    def queryset(self, request: HttpRequest, queryset: QuerySet[Any]) -> QuerySet[Any]:  # noqa: ARG002 - Django's signature
        """Narrow the rows down; what is no date is left out."""
        first, last = (self._day(end) for end in ("from", "to"))
        if first:
            queryset = queryset.filter(**{f"{self.field_path}__gte": first})
        if last:
            queryset = queryset.filter(**{f"{self.field_path}__lt": last + timedelta(days=1)})
        return queryset

    def _day(self, end: str) -> datetime | None:
        day = parse_date_str(self.used_parameters.get(f"{self.parameter_name}_{end}"))
        return datetime(day.year, day.month, day.day, tzinfo=UTC) if day else None


class WaitsFilter(DropdownFilter):  # type: ignore[misc] # unfold ships no types
    """Reports that a person has to decide on."""

    title = "who is waited for"
    parameter_name = "waits"

    def lookups(self, request: HttpRequest, model_admin: Any) -> Sequence[tuple[str, str]]:  # noqa: ARG002 - Django's signature
        """Offer the one question that is asked often."""
        return [("person", "A person's decision")]

    def queryset(self, request: HttpRequest, queryset: QuerySet[Any]) -> QuerySet[Any]:  # noqa: ARG002 - Django's signature
        """Narrow the rows down."""
        return queryset.filter(WAITS_FOR_A_PERSON) if self.value() == "person" else queryset


class OpenFilter(DropdownFilter):  # type: ignore[misc] # unfold ships no types
    """Rows that are open, unless others are asked for; `ended` is when a row was over."""

    title = "state"
    parameter_name = "state"
    ended = "resolved_at"
    all_option = ["", "Open"]
    over = "Resolved"

    def lookups(self, request: HttpRequest, model_admin: Any) -> Sequence[tuple[str, str]]:  # noqa: ARG002 - Django's signature
        """Offer what is not shown by itself."""
        return [("over", self.over), ("all", "All")]

    def queryset(self, request: HttpRequest, queryset: QuerySet[Any]) -> QuerySet[Any]:  # noqa: ARG002 - Django's signature
        """Narrow the rows down."""
        is_open = Q(**{f"{self.ended}__isnull": True})
        return queryset.filter({"over": ~is_open, "all": Q()}.get(self.value() or "", is_open))
