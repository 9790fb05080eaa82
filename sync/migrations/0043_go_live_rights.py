"""Who decides on reports may compare them; what was delivered already needs no look before its first delivery."""

from typing import Any

from django.contrib.auth.management import create_permissions
from django.db import migrations
from django.db.models import Exists, OuterRef
from django.utils import timezone

FROM = {
    "retry_usagereport": ("compare_usagereport",),
    "dismiss_usagereport": ("adopt_usagereport",),
    "move_subject": ("start_enrolment",),
}
"""The permission whose holders may do this, too → what is new."""


def prepare(apps: Any, editor: Any) -> None:
    """Groups and people may do what is new, and enrolments that were sent already count as checked."""
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
    sent = (
        apps.get_model("sync", "UsageReport")
        .objects.using(using)
        .filter(enrolment=OuterRef("pk"), first_sent_at__isnull=False)
    )
    enrolments = apps.get_model("sync", "Enrolment").objects.using(using)
    enrolments.filter(Exists(sent), checked_at=None).update(checked_at=timezone.now())


class Migration(migrations.Migration):
    dependencies = [
        ("sync", "0042_go_live"),
        ("auth", "0012_alter_user_first_name_max_length"),
    ]

    operations = [migrations.RunPython(prepare, migrations.RunPython.noop)]
