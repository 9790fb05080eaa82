"""People at work in the console: browsers, the queue, and the world's time."""

import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import time_machine
from django.contrib.admin.models import LogEntry
from django.contrib.auth import get_user_model
from django.contrib.auth.models import Group, Permission
from django.http import HttpResponse
from django.test import Client
from django.urls import reverse
from django.utils.module_loading import import_string
from django_q.models import OrmQ

from sync.admin.dialogs.confirmation import TypedField
from tests.world import World


class Office:
    """The console's pages against a world's sandbox, at the world's time."""

    def __init__(self, world: World, settings: Any, commit: Callable[..., Any]) -> None:
        """Point Django's settings at the sandbox; `commit` runs what waits for a commit."""
        self.world, self._commit = world, commit
        settings.STRIPE_KEY = world.config.stripe_key
        settings.STRIPE_API_BASE = world.config.stripe_api_base
        settings.STRIPE_RATE_LIMIT = world.config.stripe_rate_limit
        settings.OPENMETER_URL = world.config.openmeter_url
        settings.SECURE_SSL_REDIRECT = False

    def browser(self, name: str = "ada", *, group: str = "", permission: str = "") -> Client:
        """Return the browser of somebody who may do everything, but for a group or permission."""
        users = get_user_model().objects
        if not (group or permission):
            user = users.create_superuser(name, f"{name}@example.com")
        else:
            user = users.create_user(name, f"{name}@example.com", is_staff=True)
        if group:
            user.groups.add(Group.objects.get(name=group))
        if permission:
            app, codename = permission.split(".")
            user.user_permissions.add(Permission.objects.get(content_type__app_label=app, codename=codename))
        browser = Client()
        browser.force_login(user)
        return browser

    @contextmanager
    def now(self) -> Iterator[None]:
        """It is the world's time in here."""
        with time_machine.travel(self.world.now, tick=False):
            yield

    def get(self, browser: Client, url: str, **query: Any) -> HttpResponse:
        """Open a page."""
        with self.now():
            return browser.get(url, query)

    def post(self, browser: Client, url: str, **data: Any) -> HttpResponse:
        """Submit a form; what waits for the commit happens."""
        with self.now(), self._commit(execute=True):
            return browser.post(url, data)

    def confirm(self, browser: Client, url: str, **data: Any) -> HttpResponse:
        """Look at a dialog, and confirm what it shows; nothing that it wants typed is typed by itself."""
        shown = self.get(browser, url, **{name: value for name, value in data.items() if name != "why"})
        return self.post(browser, url, **carried_back(shown) | data)

    def work(self) -> list[Any]:
        """Carry out every queued task as a worker does, from its stored payload; return the results."""
        results = []
        for queued in OrmQ.objects.order_by("pk"):
            task = queued.task
            with self.now():
                results.append(import_string(task["func"])(*task["args"]))
            queued.delete()
        return results


def dialog_url(model: str, name: str, *args: int) -> str:
    """Return a dialog's address, of one row or of the list."""
    return reverse(f"admin:sync_{model}_{name}", args=args)


def carried_back(answer: HttpResponse) -> dict[str, str]:
    """Return what a dialog's form carries back of what it showed."""
    return dict(re.findall(r'name="(shown|preview)" value="([^"]+)"', text_of(answer)))


def typed(answer: HttpResponse) -> dict[str, str]:
    """Return what a dialog wants typed, as somebody who reads it types it."""
    fields = answer.context["form"].fields.items()  # type: ignore[attr-defined]
    return {name: field.expected for name, field in fields if isinstance(field, TypedField)}


def text_of(answer: HttpResponse) -> str:
    """Return a page's source."""
    return answer.content.decode()


def log_of(row: Any) -> list[str]:
    """Return what the admin's log says of a row, oldest first."""
    entries = LogEntry.objects.filter(object_id=str(row.pk), content_type__model=row._meta.model_name)
    return [entry.change_message for entry in entries.order_by("pk")]
