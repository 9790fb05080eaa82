"""The one app of the console."""

from django.apps import AppConfig


class SyncConfig(AppConfig):
    """Registers the app and its system checks."""

    name = "sync"
    verbose_name = "Billing"

    def ready(self) -> None:
        """Make the system checks known."""
        from sync import checks  # noqa: F401 - importing registers them
