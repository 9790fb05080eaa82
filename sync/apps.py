"""The one app of the console."""

from typing import Any

from django.apps import AppConfig
from django.db.models.signals import post_migrate


class SyncConfig(AppConfig):
    """Registers the app and its system checks."""

    name = "sync"
    verbose_name = "Billing"

    def ready(self) -> None:
        """Make the system checks known, and let migrate declare the schedules."""
        from sync import checks  # noqa: F401 - importing registers them

        post_migrate.connect(_declare_schedules, sender=self)


def _declare_schedules(**_: Any) -> None:
    from sync.schedules import declare_schedules

    declare_schedules()
