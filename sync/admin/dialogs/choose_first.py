"""Dialogs whose preview depends on what is asked for: first a question by GET, then the confirmation."""

from collections.abc import Sequence
from functools import cached_property
from typing import Any, ClassVar

from django import forms

from sync.admin.dialogs.dialog import Dialog, DialogForm, Preview


class ChooseFirst(Dialog):
    """Asks first, shows what it would come to, and acts once that was confirmed."""

    template = "sync/choose_first.html"
    choose_class: ClassVar[type[DialogForm]]
    """What is asked first; its fields are carried along to the confirmation."""
    choose: ClassVar[str] = "Show what it changes"

    @cached_property
    def chosen(self) -> forms.Form:
        """The first question, answered or not."""
        data = self.request.POST if self.request.method == "POST" else self.request.GET
        names = self.choose_class.base_fields
        is_answered = any(name in data for name in names)
        return self.choose_class(data if is_answered else None, **self.choose_kwargs())

    def choose_kwargs(self) -> dict[str, Any]:
        """Return what the first question is built with beside the answer."""
        return {}

    @property
    def is_chosen(self) -> bool:
        """Whether the first question is answered, so that there is something to confirm."""
        return self.chosen.is_valid()

    @property
    def choice(self) -> dict[str, Any]:
        """What was answered."""
        return self.chosen.cleaned_data

    def answers(self) -> Sequence[str]:
        """Return what was answered."""
        return [str(value) for value in self.choice.values()] if self.is_chosen else ()

    def preview(self) -> Preview:
        """Show nothing before the first question is answered."""
        if not self.is_chosen:
            return Preview(nothing_to_do=self.unchosen())
        return self.preview_of_choice()

    def unchosen(self) -> str:
        """Return what is said while the first question is open; nothing is done without an answer to it."""
        return "Nothing was done: see what is wrong above." if self.request.method == "POST" else ""

    def preview_of_choice(self) -> Preview:
        """Return what is shown of what was asked for; must change nothing."""
        raise NotImplementedError
