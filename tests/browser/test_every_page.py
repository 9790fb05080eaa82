"""What holds on every page: nothing in anybody's way, nothing outside the window, in light and dark."""

from django.contrib import admin
from django.urls import reverse

from tests.browser.visitor import NARROW, WIDE

MODELS = sorted(admin.site._registry, key=lambda model: model._meta.label)
ROWS = 3
"""Of each kind."""


def name_of(model) -> str:
    return f"admin:{model._meta.app_label}_{model._meta.model_name}"


class TestEveryPage:
    def test_is_readable_for_everybody_in_light_and_dark_wide_and_narrow(self, visit, console):
        console.script(f"from tests.integration.test_admin_pages import fill; fill(0, {ROWS})")
        someone = visit("root")
        barriers, overflow = [], []
        for path in pages(console):
            someone.go(path)
            someone.wear("light", WIDE)
            barriers += someone.barriers()
            overflow += someone.overflow()
            someone.wear("dark", NARROW)
            barriers += someone.barriers()
            overflow += someone.overflow()
        assert not barriers, "\n".join(barriers)
        assert not overflow, "\n".join(overflow)


def pages(console, only=()):
    """Yield every page's address: lists, one row of each kind, and every dialog."""
    yield "/"
    for model in MODELS:
        yield reverse(f"{name_of(model)}_changelist")
        rows = console.query(f"SELECT min(id) FROM {model._meta.db_table}")
        if rows[0][0] is not None:
            yield reverse(f"{name_of(model)}_change", args=[rows[0][0]])
