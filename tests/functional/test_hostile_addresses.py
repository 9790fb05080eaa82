"""Addresses that nobody means well with are answered, and break nothing."""

from urllib.parse import quote

import pytest
from django.contrib import admin
from django.contrib.auth.models import User

from sync.admin.dialogs.dialog import Place
from tests.functional.pages import page, registered_dialogs
from tests.integration.test_admin_pages import fill

HUGE = "9" * 40
MANGLED = [HUGE, "-1", "0", "x", "1,1,x,,2", "\x00", "1;DROP TABLE sync_meter", "²", "%"]
WORDS = ["\x00", "%", "\\", "x" * 5000, HUGE]


@pytest.fixture
def root(db, client, settings, sandbox_server, sandbox):
    """Return the browser of a superuser."""
    settings.SECURE_SSL_REDIRECT = False
    settings.STRIPE_KEY = "sk_test_hostile_0001"
    settings.STRIPE_API_BASE = sandbox_server.stripe_url
    settings.OPENMETER_URL = sandbox_server.openmeter_url
    fill(0, 1)
    client.force_login(User.objects.create_superuser("root"))
    return client


def status(root, address, data=None):
    """Return how an address is answered; 500 where it breaks."""
    root.raise_request_exception = False
    return root.get(address, data).status_code


def test_ids_that_are_none_choose_nothing(root):
    for name, dialog in registered_dialogs().items():
        label = name.split("/")[0]
        model = next(model for model in admin.site._registry if model._meta.label_lower == label)
        asked = [page(model, dialog.name, int(HUGE))] if Place.OBJECT in dialog.places else []
        if dialog.places & {Place.LIST, Place.SELECTION}:
            asked += [f"{page(model, dialog.name)}?ids={quote(ids)}" for ids in MANGLED]
        broken = [address for address in asked if status(root, address) not in {200, 404}]
        assert not broken, "\n".join(map(str, broken))


def test_searches_and_filters_find_nothing(root):
    broken = []
    for model, shown in admin.site._registry.items():
        names = ["o", "p", "e", "id", "id__exact", "nothing__here", *_filters(shown)]
        asked = [("q", word) for word in WORDS]
        asked += [(name, word) for name in names for word in (HUGE, "\x00")]
        broken += [
            (page(model, "changelist"), name, word)
            for name, word in asked
            if status(root, page(model, "changelist"), {name: word}) not in {200, 302, 400}
        ]
    assert not broken, "\n".join(map(str, broken))


def test_rows_that_are_not_there_are_not_found(root):
    asked = [page(model, "change", pk) for model in admin.site._registry for pk in (HUGE, "0", "x", "_5F")]
    assert [address for address in asked if status(root, address) not in {302, 404}] == []


def _filters(shown):
    for one in shown.list_filter:
        if isinstance(one, str):
            yield from (one, f"{one}__exact")
        elif isinstance(one, tuple):
            yield from (
                one[0],
                f"{one[0]}__exact",
                f"{one[0]}__id__exact",
                f"{one[0]}_from",
                f"{one[0]}_from_0",
            )
        else:
            yield getattr(one, "parameter_name", "")
