"""The overview: is reporting current, and what needs a person."""

from typing import Any

from django.http import HttpRequest


def overview(_request: HttpRequest, context: dict[str, Any]) -> dict[str, Any]:
    """Return the index page's context with what the overview shows."""
    return context
