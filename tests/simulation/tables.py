"""The console's tables as a whole: emptied between lives, kept as a backup, and put back."""

from typing import Any

from django.apps import apps
from django.db import connection, models, transaction

Backup = dict[type[models.Model], list[models.Model]]


def _models() -> list[type[models.Model]]:
    return [model for model in apps.get_app_config("sync").get_models() if model._meta.managed]


def empty_tables() -> None:
    """No table of the console holds a row."""
    # Foreign keys are checked at the commit only, so the order does not matter.
    with transaction.atomic(), connection.cursor() as cursor:
        for model in _models():
            cursor.execute(f'DELETE FROM "{model._meta.db_table}"')


def back_up() -> Backup:
    """Return every row of every table as it is now."""
    return {model: list(_rows(model)) for model in _models()}


def put_back(backup: Backup) -> None:
    """The tables hold what they held when the backup was made."""
    empty_tables()
    with transaction.atomic():
        for model, rows in backup.items():
            _manager(model).bulk_create(rows, batch_size=500)


def _rows(model: type[models.Model]) -> models.QuerySet[Any]:
    return _manager(model).all()


def _manager(model: type[models.Model]) -> models.Manager[Any]:
    return model._base_manager
