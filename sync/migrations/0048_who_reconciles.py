"""Who sees reports sees what differs; who may sync may have all sides compared."""

from typing import Any

from django.contrib.auth.management import create_permissions
from django.db import migrations

FROM = {
    "view_usagereport": ("view_reconciliation", "view_difference"),
    "sync_stripe": ("reconcile_usage",),
}
"""The permission whose holders may do this, too → what is new."""


def let_compare(apps: Any, editor: Any) -> None:
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
        ("sync", "0047_every_customer"),
        ("auth", "0012_alter_user_first_name_max_length"),
    ]

    operations = [migrations.RunPython(let_compare, migrations.RunPython.noop)]
