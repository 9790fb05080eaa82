"""Links from one page of the console to another."""

from typing import Any

from django.db import models
from django.http import HttpRequest
from django.urls import reverse
from django.utils.html import format_html
from django.utils.http import urlencode
from django.utils.safestring import SafeString

from sync.admin.formats import NOTHING


def row_url(row: models.Model) -> str:
    """Return the page of a row."""
    opts = row._meta  # noqa: SLF001 - Django's documented way to a model's names
    return reverse(f"admin:{opts.app_label}_{opts.model_name}_change", args=(row.pk,))


def row_link(row: models.Model | None, text: Any = None) -> str | SafeString:
    """Return a link to a row's page, or a dash."""
    if row is None:
        return NOTHING
    return format_html('<a class="inward" href="{}">{}</a>', row_url(row), row if text is None else text)


def list_url(model: type[models.Model], **filters: Any) -> str:
    """Return the list of a model's rows, filtered."""
    opts = model._meta  # noqa: SLF001 - Django's documented way to a model's names
    address = reverse(f"admin:{opts.app_label}_{opts.model_name}_changelist")
    return f"{address}?{urlencode(filters)}" if filters else address


def report_usage_sentence(request: HttpRequest) -> str | SafeString:
    """Say who sends what waits now, with a link for those who may do it at once."""
    if not request.user.has_perm("sync.report_usage"):
        return "The next run sends it."
    return format_html(
        'The next run sends it. To send it now: <a class="inward" href="{}">Report usage…</a>',
        reverse("admin:sync_reportrun_report"),
    )
