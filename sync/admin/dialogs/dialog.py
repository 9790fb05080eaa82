"""What every dialog has in common: who may open it, what it shows, what must be typed, what is kept."""

from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from enum import Enum
from typing import TYPE_CHECKING, Any, ClassVar

from django import forms
from django.contrib import messages
from django.contrib.admin.models import CHANGE, LogEntry
from django.contrib.contenttypes.models import ContentType
from django.core.exceptions import PermissionDenied
from django.db import models, transaction
from django.http import Http404, HttpRequest, HttpResponse, HttpResponseRedirect
from django.template.response import TemplateResponse
from django.urls import reverse
from django.views.decorators.csrf import csrf_protect

from sync.admin.dialogs.confirmation import fields_to_type
from sync.admin.dialogs.reason import ReasonField
from sync.admin.dialogs.seal import seal, why_broken
from sync.admin.lists import LARGEST_ID
from sync.domain.stake import Stake
from sync.ports import SyncError

if TYPE_CHECKING:
    from sync.admin.console_admin import ConsoleAdmin


class Place(Enum):
    """Where a dialog is opened from: the whole list, one row, or chosen rows of the list."""

    LIST = "list"
    OBJECT = "object"
    SELECTION = "selection"


class DialogForm(forms.Form):
    """A dialog's fields. A dialog adds what has to be typed again where much is at stake."""


class ReasonForm(DialogForm):
    """Asks why; the reason is kept."""

    why = ReasonField()


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """What was done. `about` are the rows whose history says so; `url` is where to go next."""

    message: str
    about: Sequence[models.Model] = ()
    url: str = ""
    warnings: Sequence[str] = ()
    """What could not be done, one sentence each."""
    next_step: str = ""
    """What people usually do next, as a sentence; a SafeString may hold a link."""


@dataclass(slots=True, kw_only=True)
class Preview:
    """What a dialog shows before anything is done: sentences, a table, and what is at stake."""

    sentences: list[str] = field(default_factory=list)
    headers: Sequence[str] = ()
    rows: Sequence[Sequence[Any]] = ()
    more: int = 0
    """How many further rows there are that the table leaves out."""
    stake: Stake = field(default_factory=Stake)
    """What is moved; much of it, and what has no price, has to be typed."""
    facts: Sequence[Any] = ()
    """What else is confirmed, beside what the table has room for."""
    nothing_to_do: str = ""
    """Why there is nothing to confirm, as a sentence; then the dialog cannot be submitted."""


class Dialog:
    """One thing that staff can do. A GET shows it; only a POST with its permission and a valid form acts."""

    name: ClassVar[str]
    """Piece of its address, and of no other dialog's on the same page."""
    title: ClassVar[str]
    button: ClassVar[str]
    """What the button that opens it says; ends in … because it asks first."""
    icon: ClassVar[str] = "bolt"
    submit: ClassVar[str]
    """What the button that acts says: the verb."""
    permission: ClassVar[str]
    places: ClassVar[frozenset[Place]]
    form_class: ClassVar[type[DialogForm]] = ReasonForm
    dangerous: ClassVar[bool] = False
    template: ClassVar[str] = "sync/dialog.html"
    atomic: ClassVar[bool] = True
    """Whether deed and log entry are one transaction; false where Stripe is called meanwhile."""
    holds_to_preview: ClassVar[bool] = False
    """Whether only what was shown is done: if it is something else by then, it is shown again instead."""

    def __init__(self, page: "ConsoleAdmin", request: HttpRequest, rows: Sequence[Any]) -> None:
        """Know who asks, and about which rows; those that it makes no sense for are left out."""
        self.page, self.request, self.asked = page, request, rows
        reasons = [(row, self.why_not(row)) for row in rows]
        self.rows: Sequence[Any] = [row for row, reason in reasons if not reason]
        self.left_out = [reason for _, reason in reasons if reason]
        """Why some of the chosen rows are left out, one sentence each."""

    @classmethod
    def why_not(cls, row: Any) -> str:  # noqa: ARG003 - most dialogs fit every row
        """Return why it makes no sense for this row, or ""."""
        return ""

    def description(self) -> str:
        """Return what will happen, in a sentence or two."""
        return ""

    def form_kwargs(self) -> dict[str, Any]:
        """Return what the form is built with beside the data."""
        return {}

    def preview(self) -> Preview:
        """Return what is shown before anything is done; must change nothing."""
        return Preview()

    def answers(self) -> Sequence[str]:
        """Return what was asked for before the preview was shown."""
        return ()

    def act(self, form: forms.Form) -> Outcome:
        """Do it: one operation call. Raises `SyncError`, whose sentence is shown in the form."""
        raise NotImplementedError

    @property
    def who(self) -> str:
        """Name of the person who asks."""
        return self.request.user.get_username()


def show_dialog(
    page: "ConsoleAdmin", dialog_class: type[Dialog], request: HttpRequest, object_id: int | None = None
) -> HttpResponse:
    """Show the dialog, or carry it out. A missing permission is a 403, rows that are not there a 404."""
    if not request.user.has_perm(dialog_class.permission):
        raise PermissionDenied
    dialog = dialog_class(page, request, _rows(page, dialog_class, request, object_id))
    return csrf_protect(lambda request: _answer(dialog, request))(request)


def _answer(dialog: Dialog, request: HttpRequest) -> HttpResponse:
    preview, problem = _preview(dialog)
    form = _form(dialog, preview, request)
    if request.method == "POST":
        if problem := problem or _why_not_as_shown(dialog, preview):
            form.add_error(None, problem)
        elif not preview.nothing_to_do and form.is_valid():
            try:
                return _done(dialog, form)
            except SyncError as error:
                form.add_error(None, str(error))
    context = {
        **dialog.page.admin_site.each_context(request),
        "title": dialog.title,
        "opts": dialog.page.opts,
        "dialog": dialog,
        "form": form,
        "preview": preview,
        "problem": problem,
        "shown": seal(_facts(dialog, preview), who=dialog.who) if dialog.holds_to_preview else "",
        "back": _back(dialog),
    }
    return TemplateResponse(request, dialog.template, context)


def _preview(dialog: Dialog) -> tuple[Preview, str]:
    if dialog.left_out and not dialog.rows:
        several = "This fits none of the chosen rows; the reasons are above."
        return Preview(nothing_to_do=several if len(dialog.left_out) > 1 else dialog.left_out[0]), ""
    try:
        return dialog.preview(), ""
    except SyncError as error:
        return Preview(nothing_to_do=str(error)), str(error)


def _facts(dialog: Dialog, preview: Preview) -> list[Any]:
    """Return what a person is held to: of which rows, and all that was shown of them."""
    shown = [preview.sentences, preview.rows, preview.facts, asdict(preview.stake)]
    return [dialog.request.path, [row.pk for row in dialog.rows], dialog.answers(), *shown]


def _why_not_as_shown(dialog: Dialog, preview: Preview) -> str:
    """Return why what would be done is not what was shown, or "": also where there is nothing to do."""
    if not dialog.holds_to_preview or preview.nothing_to_do:
        return ""
    text = dialog.request.POST.get("shown", "")
    return why_broken(text, _facts(dialog, preview), who=dialog.who)


def _form(dialog: Dialog, preview: Preview, request: HttpRequest) -> forms.Form:
    data = request.POST if request.method == "POST" else None
    form = dialog.form_class(data, **dialog.form_kwargs())
    form.fields.update(fields_to_type(preview.stake))
    return form


def _done(dialog: Dialog, form: forms.Form) -> HttpResponse:
    if dialog.atomic:
        with transaction.atomic():
            outcome = dialog.act(form)
            _log(dialog, outcome, form)
    else:
        outcome = dialog.act(form)
        _log(dialog, outcome, form)
    messages.success(dialog.request, outcome.message)
    for sentence in (*dialog.left_out, *outcome.warnings):
        messages.warning(dialog.request, sentence)
    if outcome.next_step:
        messages.info(dialog.request, outcome.next_step)
    return HttpResponseRedirect(outcome.url or _back(dialog))


def _log(dialog: Dialog, outcome: Outcome, form: forms.Form) -> None:
    """Who did what to which rows, and why, is in the admin's log."""
    why = form.cleaned_data.get("why", "")
    sentence = f"{outcome.message} {why}".strip()
    for row in outcome.about:
        LogEntry.objects.create(
            user_id=dialog.request.user.pk or 0,
            content_type=ContentType.objects.get_for_model(row),
            object_id=str(row.pk),
            object_repr=str(row)[:200],
            action_flag=CHANGE,
            change_message=sentence,
        )


def _rows(
    page: "ConsoleAdmin", dialog_class: type[Dialog], request: HttpRequest, object_id: int | None
) -> list[Any]:
    """Return the rows that the dialog is about; none for one of the whole list."""
    rows = page.get_queryset(request)
    if related := page.list_select_related:
        rows = rows.select_related(*(related if isinstance(related, list | tuple) else ()))
    if object_id is not None:
        row = rows.filter(pk=object_id).first() if object_id <= LARGEST_ID else None
        if row is None:
            raise Http404
        return [row]
    if Place.SELECTION not in dialog_class.places:
        return []
    text = request.POST.get("ids") or request.GET.get("ids") or ""
    ids = [int(part) for part in text.split(",") if part.isascii() and part.isdecimal()]
    ids = [pk for pk in ids if pk <= LARGEST_ID]
    if not ids and Place.LIST not in dialog_class.places:
        raise Http404
    return list(rows.filter(pk__in=ids).order_by("pk"))


def _back(dialog: Dialog) -> str:
    """Return the page that the dialog was opened from."""
    opts = dialog.page.opts
    name = f"admin:{opts.app_label}_{opts.model_name}"
    if "object_id" in (dialog.request.resolver_match.kwargs if dialog.request.resolver_match else {}):
        return reverse(f"{name}_change", args=(dialog.asked[0].pk,))
    return reverse(f"{name}_changelist")
