"""People at the console: who they are, what they may do, and the addresses of its pages."""

from typing import Any

from django.contrib.auth import get_user_model
from django.contrib.auth.models import Permission
from django.contrib.messages import get_messages
from django.test import Client
from django.urls import reverse

PASSWORD = "a long password"


def log_in(client: Client, name: str = "grace", *permissions: str) -> Client:
    """Log somebody in who may do these things, named like sync.view_meter; everything if none is named."""
    users = get_user_model().objects
    if not permissions:
        client.force_login(users.create_superuser(name, f"{name}@example.com", PASSWORD))
        return client
    user = users.create_user(name, f"{name}@example.com", PASSWORD, is_staff=True)
    for permission in permissions:
        app, codename = permission.split(".")
        user.user_permissions.add(Permission.objects.get(content_type__app_label=app, codename=codename))
    client.force_login(user)
    return client


def url_of(model: Any, page: str, *args: Any) -> str:
    """Return the address of a model's page or dialog."""
    return reverse(f"admin:{model._meta.app_label}_{model._meta.model_name}_{page}", args=args)


def said(answer: Any) -> list[str]:
    """Return the messages that a person reads after what they did."""
    return [str(message) for message in get_messages(answer.wsgi_request)]
