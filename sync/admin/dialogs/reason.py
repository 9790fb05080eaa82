"""The question that every action and every change asks: why."""

from typing import Any

from django import forms
from unfold.widgets import UnfoldAdminTextareaWidget


class ReasonField(forms.CharField):
    """Wants a reason, which is kept."""

    def __init__(self, **kwargs: Any) -> None:
        """Be the same question everywhere."""
        known = {
            "label": "Why",
            "max_length": 1000,
            "widget": UnfoldAdminTextareaWidget(attrs={"rows": 3}),
            "help_text": "Kept for everybody who asks later.",
        }
        super().__init__(**known | kwargs)
