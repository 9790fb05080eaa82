"""Carrying late usage forward is allowed apart; who could dismiss it can."""

from typing import Any

from django.contrib.auth.management import create_permissions
from django.db import migrations


def share_out(apps: Any, editor: Any) -> None:
    """Groups and people who may dismiss reports may carry them forward, too."""
    using = editor.connection.alias
    # Permissions are otherwise made after the last migration only.
    config = apps.get_app_config("sync")
    config.models_module = True
    create_permissions(config, apps=apps, verbosity=0, using=using)
    config.models_module = None
    permission = apps.get_model("auth", "Permission").objects.using(using)
    mine = permission.filter(content_type__app_label="sync")
    new = mine.get(codename="carry_usagereport")
    for old in mine.filter(codename="dismiss_usagereport"):
        for group in old.group_set.using(using).all():
            group.permissions.add(new)
        for user in old.user_set.using(using).all():
            user.user_permissions.add(new)


def take_back(apps: Any, editor: Any) -> None:
    """The permission is gone."""
    permission = apps.get_model("auth", "Permission").objects.using(editor.connection.alias)
    permission.filter(content_type__app_label="sync", codename="carry_usagereport").delete()


class Migration(migrations.Migration):
    dependencies = [("sync", "0037_request_ids"), ("auth", "0012_alter_user_first_name_max_length")]

    operations = [
        migrations.AlterModelOptions(
            name="usagereport",
            options={
                "default_permissions": ("view",),
                "ordering": ["enrolment", "slice_start", "revision"],
                "permissions": [
                    ("release_usagereport", "Can release a held report"),
                    ("dismiss_usagereport", "Can dismiss a report"),
                    ("retry_usagereport", "Can retry a refused report"),
                    ("carry_usagereport", "Can carry a late report forward"),
                ],
                "verbose_name": "report",
                "verbose_name_plural": "reports",
            },
        ),
        migrations.RunPython(share_out, take_back),
    ]
