"""Ending a link and switching schedules are allowed apart; who could do so before still can."""

from typing import Any

from django.contrib.auth.management import create_permissions
from django.db import migrations

FROM = {
    ("sync", "move_subject"): ("end_subject",),
    ("django_q", "change_schedule"): ("switch_off_schedule", "switch_on_schedule"),
}
"""The permission that allowed it so far → those that do now."""


def share_out(apps: Any, editor: Any) -> None:
    """Groups and people who held the wider permission hold the narrower ones, too."""
    using = editor.connection.alias
    permission = apps.get_model("auth", "Permission").objects.using(using)
    # Permissions are otherwise made after the last migration only.
    config = apps.get_app_config("sync")
    config.models_module = True
    create_permissions(config, apps=apps, verbosity=0, using=using)
    config.models_module = None
    share(permission, using=using)


def share(permission: Any, *, using: str) -> None:
    """Who holds a permission that was split holds its parts."""
    for (app, codename), narrower in FROM.items():
        new = permission.filter(content_type__app_label="sync", codename__in=narrower)
        for old in permission.filter(content_type__app_label=app, codename=codename):
            for group in old.group_set.using(using).all():
                group.permissions.add(*new)
            for user in old.user_set.using(using).all():
                user.user_permissions.add(*new)


def take_back(apps: Any, editor: Any) -> None:
    """The narrower permissions are gone; the wider ones allow everything again."""
    permission = apps.get_model("auth", "Permission").objects.using(editor.connection.alias)
    names = [name for narrower in FROM.values() for name in narrower]
    permission.filter(content_type__app_label="sync", codename__in=names).delete()


class Migration(migrations.Migration):
    dependencies = [
        ("sync", "0018_keep_what_counted_as_full"),
        ("auth", "0012_alter_user_first_name_max_length"),
        ("django_q", "0019_alter_task_options_alter_ormq_key_alter_ormq_lock_and_more"),
    ]

    operations = [
        migrations.AlterModelOptions(
            name="subject",
            options={
                "default_permissions": ("view",),
                "ordering": ["key", "valid_from", "id"],
                "permissions": [
                    ("link_subject", "Can link a subject to a customer"),
                    ("move_subject", "Can move a subject to another customer"),
                    ("end_subject", "Can end a subject's link"),
                ],
            },
        ),
        migrations.AlterModelOptions(
            name="worker",
            options={
                "default_permissions": ("view",),
                "ordering": ["-seen_at", "-id"],
                "permissions": [
                    ("switch_off_schedule", "Can switch a schedule off"),
                    ("switch_on_schedule", "Can switch a schedule on"),
                ],
            },
        ),
        migrations.RunPython(share_out, take_back),
    ]
