"""Who moves subjects may move their open periods."""

from typing import Any

from django.contrib.auth.management import create_permissions
from django.db import migrations

FROM = {"move_subject": ("move_open_period",)}
"""The permission whose holders may do this, too → what is new."""


def let_move(apps: Any, editor: Any) -> None:
    """Groups and people may do what is new."""
    using = editor.connection.alias
    config = apps.get_app_config("sync")
    # Permissions are otherwise made after the last migration only.
    config.models_module = True
    create_permissions(config, apps=apps, verbosity=0, using=using)
    config.models_module = None
    known = apps.get_model("auth", "Permission").objects.using(using).filter(content_type__app_label="sync")
    for old, names in FROM.items():
        new = known.filter(codename__in=names)
        for held in known.filter(codename=old):
            for holder in (*held.group_set.using(using).all(), *held.user_set.using(using).all()):
                (holder.permissions if hasattr(holder, "permissions") else holder.user_permissions).add(*new)


class Migration(migrations.Migration):
    dependencies = [
        ("sync", "0049_usage_untaken"),
        ("auth", "0012_alter_user_first_name_max_length"),
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
                    ("move_open_period", "Can move a subject's open period to another customer"),
                    ("end_subject", "Can end a subject's link"),
                ],
            },
        ),
        migrations.RunPython(let_move, migrations.RunPython.noop),
    ]
