"""What all pages of the console have in common: dialogs for actions, and times in the reader's zone."""

from collections.abc import Callable, Sequence
from functools import partial
from typing import Any, ClassVar, TypeVar

from django.contrib import admin, messages
from django.db import models
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.urls import URLPattern, path, reverse
from django.utils.http import urlencode
from unfold.dataclasses import UnfoldAction
from unfold.enums import ActionVariant

from sync.admin.dialogs.dialog import Dialog, Place, show_dialog
from sync.admin.formats import when
from sync.admin.lists import ListView

ModelT = TypeVar("ModelT", bound=models.Model)
MOST_SELECTED = 500
"""Rows that one dialog takes; more would not be read before they are confirmed."""
TIMES = {
    "fetched_at": "read from Stripe",
    "deleted_at": "deleted in Stripe",
    "planned_through": "measured through",
}
"""What instants are called on pages, where the column's name says too little."""


class ConsoleAdmin(ListView):
    """A page whose actions are dialogs: a GET looks, a POST acts, each with a permission of its own."""

    dialogs: ClassVar[Sequence[type[Dialog]]] = ()
    hidden_while_empty: ClassVar[Sequence[str]] = ()
    """Fields of one row's page that say nothing while they have no value."""
    when_empty: ClassVar[str] = ""
    """What to do next, said by the list while there is no row; empty where rows appear by themselves."""
    show_full_result_count = False  # counting a large table twice is slow
    list_per_page = 50
    list_filter_submit = True
    compressed_fields = True

    # --- dialogs: one address each, with an id for one row, with ?ids= for chosen ones, without for all ----

    def get_urls(self) -> list[URLPattern]:
        """Add an address for every dialog."""
        urls: list[URLPattern] = []
        for dialog in self.dialogs:
            view = self.admin_site.admin_view(partial(show_dialog, self, dialog))
            name = self._url_name(dialog)
            if Place.OBJECT in dialog.places:
                urls.append(path(f"<int:object_id>/{dialog.name}/", view, name=name))
            if dialog.places & {Place.LIST, Place.SELECTION}:
                urls.append(path(f"{dialog.name}/", view, name=name))
        return [*urls, *super().get_urls()]

    def _url_name(self, dialog: type[Dialog]) -> str:
        return f"{self.opts.app_label}_{self.opts.model_name}_{dialog.name}"

    def _buttons(self, request: HttpRequest, place: Place) -> list[UnfoldAction]:
        return [
            UnfoldAction(
                action_name=self._url_name(dialog),
                method=dialog,
                description=dialog.button,
                path=dialog.name,
                attrs={},
                icon=dialog.icon,
                variant=ActionVariant.DANGER if dialog.dangerous else ActionVariant.DEFAULT,
            )
            for dialog in self.dialogs
            if place in dialog.places and request.user.has_perm(dialog.permission)
        ]

    def _get_base_actions_list(self) -> list[UnfoldAction]:
        """Nothing that unfold would call on a GET."""
        return []

    _get_base_actions_detail = _get_base_actions_list

    def get_actions_list(self, request: HttpRequest) -> list[UnfoldAction]:
        """Return the dialogs of the whole list that this person may use."""
        return self._buttons(request, Place.LIST)

    def get_actions_detail(self, request: HttpRequest, object_id: Any) -> list[UnfoldAction]:
        """Return the dialogs of one row that this person may use and that make sense for it."""
        obj = self.get_object(request, str(object_id))
        return [
            button
            for button in self._buttons(request, Place.OBJECT)
            if obj is not None and not button.method.why_not(obj)
        ]

    def _get_actions_navigation(
        self,
        provided_actions: Any,  # noqa: ARG002 - unfold's signature
        allowed_actions: list[UnfoldAction],
        object_id: str | None = None,
    ) -> list[dict[str, Any]]:
        args = (object_id,) if object_id else ()
        return [
            {
                "title": one.description,
                "icon": one.icon,
                "variant": one.variant,
                "attrs": one.attrs,
                "dialog": None,
                "path": reverse(f"admin:{one.action_name}", args=args),
            }
            for one in allowed_actions
        ]

    def get_actions(self, request: HttpRequest) -> dict[str, Any]:
        """Return the dialogs for chosen rows; choosing one leads to its page, which does nothing yet."""
        return {
            dialog.name: (self._choose(dialog), dialog.name, dialog.button)
            for dialog in self.dialogs
            if Place.SELECTION in dialog.places and request.user.has_perm(dialog.permission)
        }

    def _choose(self, dialog: type[Dialog]) -> Callable[..., HttpResponse]:
        def choose(_admin: Any, request: HttpRequest, rows: models.QuerySet[Any]) -> HttpResponse:
            chosen = list(rows.order_by("pk").values_list("pk", flat=True)[: MOST_SELECTED + 1])
            if len(chosen) > MOST_SELECTED:
                messages.warning(request, f"Only the first {MOST_SELECTED} of the chosen rows are shown.")
            ids = ",".join(str(pk) for pk in chosen[:MOST_SELECTED])
            address = reverse(f"admin:{self._url_name(dialog)}")
            return HttpResponseRedirect(f"{address}?{urlencode({'ids': ids})}")

        return choose

    # --- times ---------------------------------------------------------------------------------------------

    def get_list_display(self, request: HttpRequest) -> Sequence[Any]:
        """Show instants in the reader's time zone."""
        return [self._timed(name) for name in super().get_list_display(request)]

    def get_fields(self, request: HttpRequest, obj: Any = None) -> Sequence[Any]:
        """Leave out what says nothing."""
        shown: Sequence[Any] = super().get_fields(request, obj)
        return [name for name in shown if name not in self.hidden_while_empty or getattr(obj, name, None)]

    def get_fieldsets(self, request: HttpRequest, obj: Any = None) -> Any:
        """Show instants in the reader's time zone."""
        return [
            (title, {**options, "fields": [self._timed(name) for name in options["fields"]]})
            for title, options in super().get_fieldsets(request, obj)
        ]

    def get_readonly_fields(self, request: HttpRequest, obj: Any = None) -> Sequence[Any]:
        """Instants are never typed in."""
        shown = super().get_readonly_fields(request, obj)
        return [*(self._timed(name) for name in shown), *self._times().values()]

    def _timed(self, name: Any) -> Any:
        return self._times().get(name, name) if isinstance(name, str) else name

    def _times(self) -> dict[str, Callable[[Any], Any]]:
        if not hasattr(self, "_time_columns"):
            fields = [field for field in self.opts.fields if isinstance(field, models.DateTimeField)]
            self._time_columns = {field.name: _time_column(field) for field in fields}
        return self._time_columns


def _time_column(field: models.DateTimeField[Any, Any]) -> Callable[[Any], Any]:
    @admin.display(ordering=field.name, description=TIMES.get(field.name, str(field.verbose_name)))
    def column(row: Any) -> Any:
        return when(getattr(row, field.name))

    column.__name__ = f"{field.name}_shown"
    return column


class ReadOnlyAdmin(ConsoleAdmin):
    """Nobody adds, changes or deletes here, whatever rights they have: operations do, and say why."""

    def has_add_permission(self, request: HttpRequest) -> bool:  # noqa: ARG002 - Django's signature
        """Rows come from operations only."""
        return False

    def has_change_permission(self, request: HttpRequest, obj: Any = None) -> bool:  # noqa: ARG002 - Django's signature
        """Rows change through operations only."""
        return False

    def has_delete_permission(self, request: HttpRequest, obj: Any = None) -> bool:  # noqa: ARG002 - Django's signature
        """Nothing is ever removed."""
        return False
