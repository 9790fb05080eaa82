"""What every list has in common, Django's own ones too: a name for its tab, an answer to any address."""

from typing import Any

from django.contrib.admin.models import LogEntry
from django.contrib.admin.views.main import ERROR_FLAG, SEARCH_VAR
from django.core.paginator import Paginator
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.utils.text import capfirst
from unfold.admin import ModelAdmin

LARGEST_ID = 2**63 - 1
"""No row has a larger id, and no database can be asked for one."""


class ListView(ModelAdmin):  # type: ignore[misc] # unfold ships no types
    """A list that is called what it shows, and that leaves out filters which no database could answer."""

    def changelist_view(
        self, request: HttpRequest, extra_context: dict[str, Any] | None = None
    ) -> HttpResponse:
        """Show the list; a filter that no database can be asked for leads to the whole list."""
        values = (value for name, several in request.GET.lists() if name != SEARCH_VAR for value in several)
        if any(_is_unanswerable(part) for value in values for part in value.split(",")):
            return HttpResponseRedirect(f"{request.path}?{ERROR_FLAG}=1")
        title = {"title": capfirst(self.opts.verbose_name_plural)}
        response: HttpResponse = super().changelist_view(request, title | (extra_context or {}))
        return response

    def get_paginator(self, request: HttpRequest, queryset: Any, *args: Any, **kwargs: Any) -> Paginator[Any]:
        """Page a row's history, newest first, with page numbers that exist, however its list is paged."""
        if getattr(queryset, "model", None) is LogEntry:
            return Paginator(queryset.order_by("-action_time", "-id"), *args, **kwargs)
        paginator: Paginator[Any] = super().get_paginator(request, queryset, *args, **kwargs)
        return paginator


def _is_unanswerable(text: str) -> bool:
    """Whether it is larger than any id, or holds what PostgreSQL takes in no text."""
    if "\x00" in text:
        return True
    digits = text.strip().removeprefix("-")
    return digits.isascii() and digits.isdecimal() and int(digits) > LARGEST_ID
