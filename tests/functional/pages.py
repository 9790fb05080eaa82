"""Every address that the console answers at, found by walking what is registered."""

from collections.abc import Iterator
from typing import Any, NamedTuple

from django.contrib import admin
from django.urls import URLPattern, URLResolver, get_resolver, reverse

from sync.admin.console_admin import ConsoleAdmin
from sync.admin.dialogs.dialog import Dialog, Place
from sync.models import ReportRun, UsageReport

BUILT_IN = {"changelist", "add", "change", "delete", "history"}
"""What Django's admin adds for every model."""
DJANGOS_OWN = {
    "index",
    "login",
    "logout",
    "password_change",
    "password_change_done",
    "jsi18n",
    "autocomplete",
    "view_on_site",
    "app_list",
    "search",
    "auth_user_password_change",
}
"""Pages of Django's and unfold's site that belong to no model of ours."""

TELLING = {UsageReport: {"held", "rejected", "delivered"}, ReportRun: {"running", "failed", "succeeded"}}
"""The statuses whose pages differ."""


class Opened(NamedTuple):
    """A dialog at one of its places."""

    name: str
    """model/dialog, as the table of rights has it."""
    address: str


def label(model: Any) -> str:
    """Return a model's name as the table of rights has it."""
    return str(model._meta.label_lower)


def page(model: Any, kind: str, *args: Any) -> str:
    """Return the address of one of Django's pages for a model."""
    return reverse(f"admin:{model._meta.app_label}_{model._meta.model_name}_{kind}", args=args)


def registered_dialogs() -> dict[str, type[Dialog]]:
    """Return every dialog by model/dialog."""
    return {
        f"{label(model)}/{dialog.name}": dialog
        for model, shown in admin.site._registry.items()
        if isinstance(shown, ConsoleAdmin)
        for dialog in shown.dialogs
    }


def opened_dialogs() -> Iterator[Opened]:
    """Yield every dialog's address at every place: for all, for chosen rows, and for some single rows."""
    for model, shown in admin.site._registry.items():
        if not isinstance(shown, ConsoleAdmin):
            continue
        some = 6 if model is UsageReport else 2
        ids = list(model._default_manager.order_by("pk").values_list("pk", flat=True)[:some])
        for dialog in shown.dialogs:
            name = f"{label(model)}/{dialog.name}"
            if Place.LIST in dialog.places:
                yield Opened(name, page(model, dialog.name))
            if Place.SELECTION in dialog.places:
                yield Opened(name, f"{page(model, dialog.name)}?ids={','.join(map(str, ids))}")
            if Place.OBJECT in dialog.places:
                yield from (Opened(name, page(model, dialog.name, pk)) for pk in ids)


def lists() -> Iterator[str]:
    """Yield the overview and every list."""
    yield reverse("admin:index")
    for model in admin.site._registry:
        yield page(model, "changelist")


def rows() -> Iterator[str]:
    """Yield the page of the first row of each kind, of reports and runs the first in each telling status."""
    for model in admin.site._registry:
        found = model._default_manager.order_by("pk")
        first = {getattr(row, "status", ""): row.pk for row in found.reverse()[:50]}
        told = [pk for status, pk in first.items() if model not in TELLING or status in TELLING[model]]
        yield from (page(model, "change", pk) for pk in sorted(told))


def dialogs() -> Iterator[str]:
    """Yield every dialog once, for one row that it makes sense for or for the whole list."""
    seen: set[str] = set()
    for model, shown in admin.site._registry.items():
        found = list(shown.get_queryset(None).order_by("pk")[:50])
        for dialog in getattr(shown, "dialogs", ()):
            if dialog.__name__ in seen:
                continue
            seen.add(dialog.__name__)
            if Place.LIST in dialog.places:
                yield page(model, dialog.name)
            if Place.OBJECT not in dialog.places:
                continue
            sensible = [row.pk for row in found if not dialog.why_not(row)] or [row.pk for row in found]
            yield page(model, dialog.name, sensible[0])


def address_names() -> set[str]:
    """Return the name of every address that is neither one of Django's pages nor a dialog."""
    known = DJANGOS_OWN | {
        f"{model._meta.app_label}_{model._meta.model_name}_{kind}"
        for model, shown in admin.site._registry.items()
        for kind in BUILT_IN | {dialog.name for dialog in getattr(shown, "dialogs", ())}
    }
    return {name for name in _names(get_resolver().url_patterns) if name not in known}


def _names(patterns: list[Any]) -> Iterator[str]:
    for pattern in patterns:
        if isinstance(pattern, URLResolver):
            yield from _names(pattern.url_patterns)
        elif isinstance(pattern, URLPattern) and pattern.name:
            yield pattern.name
