"""What the pages of the ledger and of the mirror have in common: they show, and change nothing."""

from decimal import Decimal
from typing import TypeVar

from django.contrib import admin
from django.db import models
from django.http import HttpRequest

from sync.domain.quantities import as_text

ModelT = TypeVar("ModelT", bound=models.Model)


class ReadOnlyAdmin(admin.ModelAdmin[ModelT]):
    """Nobody adds, changes or deletes here, whatever rights they have: operations do, and say why."""

    show_full_result_count = False  # counting a large ledger twice is slow
    list_per_page = 50

    def has_add_permission(self, request: HttpRequest) -> bool:  # noqa: ARG002 - Django's signature
        """Rows come from operations only."""
        return False

    def has_change_permission(self, request: HttpRequest, obj: ModelT | None = None) -> bool:  # noqa: ARG002 - Django's signature
        """Rows change through operations only."""
        return False

    def has_delete_permission(self, request: HttpRequest, obj: ModelT | None = None) -> bool:  # noqa: ARG002 - Django's signature
        """Nothing is ever removed."""
        return False


def units(quantity: Decimal | None) -> str:
    """Return a quantity for people: digits grouped, no empty decimals, never an exponent."""
    if quantity is None:
        return "–"
    return f"{Decimal(as_text(quantity)):,f}"
