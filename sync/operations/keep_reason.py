"""Say in a mapping's history why it changed."""

from typing import TypeVar

from django.db import models

M = TypeVar("M", bound=models.Model)
LONGEST_REASON = 100
"""What a history row holds; the log entry beside it has all of it."""


def keep_reason(row: M, why: str) -> M:
    """The history row of the next save or delete says why; return the row."""
    # simple-history looks for the reason here.
    setattr(row, "_change_reason", why[:LONGEST_REASON])  # noqa: B010 - no field of the model
    return row
