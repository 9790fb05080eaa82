"""The field in which people say what of an OpenMeter meter's usage counts."""

from typing import Any

from django import forms
from unfold.widgets import UnfoldAdminTextareaWidget

from sync.domain.filters import read_filters, write_filters
from sync.domain.meters import why_bad_filters


class FiltersField(forms.CharField):
    """Group-by keys and the values that count, one key a line; its value is a dict, empty for everything."""

    def __init__(self, **options: Any) -> None:
        """Say how it is written."""
        common: dict[str, Any] = {
            "label": "Filters",
            "required": False,
            "help_text": (
                "What counts of its usage, one key a line, like \u201cmodel: gpt-5, gpt-5-mini\u201d. Empty "
                "counts everything."
            ),
            "widget": UnfoldAdminTextareaWidget(attrs={"rows": 2}),
        }
        super().__init__(**common | options)

    def to_python(self, value: Any) -> Any:
        """Return what was written, as filters."""
        if isinstance(value, dict):
            return value
        try:
            filters = read_filters(str(value or ""))
        except ValueError:
            filters = None
        if problem := why_bad_filters(filters):
            raise forms.ValidationError(problem)
        return filters

    def validate(self, value: Any) -> None:
        """Nothing is asked for beyond its form."""

    def run_validators(self, value: Any) -> None:
        """Those of a text do not fit."""

    def prepare_value(self, value: Any) -> Any:
        """Return filters as people write them."""
        return write_filters(value) if isinstance(value, dict) else value

    def has_changed(self, initial: Any, data: Any) -> bool:
        """Whether something else counts, however it is written."""
        try:
            return bool(self.to_python(data) != (initial or {}))
        except forms.ValidationError:
            return True
