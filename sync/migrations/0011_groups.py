"""The three groups that staff are sorted into: who sees, who reports, who sets up."""

from typing import Any

from django.contrib.auth.management import create_permissions
from django.db import migrations

SEEN = (
    "billingperiod customer deliveryattempt enrolment finding incident meter pause price reportrun "
    "stripeaccount subject subscription subscriptionitem subscriptionpause usageday usagereport worker"
)
VIEWER = {f"view_{model}" for model in SEEN.split()}
OPERATOR = VIEWER | {
    "report_usage",
    "sync_stripe",
    "cancel_reportrun",
    "release_usagereport",
    "dismiss_usagereport",
    "retry_usagereport",
    "pause_reporting",
    "resume_reporting",
    "resolve_finding",
}
ADMIN = OPERATOR | {"link_subject", "move_subject", "change_meter", "redefine_meter", "set_up_stripe"}
BACKGROUND = {"view_schedule", "change_schedule", "view_success", "view_failure", "view_ormq"}
"""django-q2's own: only admins look behind the runs, and switch schedules."""
GROUPS = {"Billing viewer": VIEWER, "Billing operator": OPERATOR, "Billing admin": ADMIN | BACKGROUND}


def create_groups(apps: Any, editor: Any) -> None:
    """Each group exists and has its permissions; what somebody gave it before stays."""
    using = editor.connection.alias
    group, permission = apps.get_model("auth", "Group"), apps.get_model("auth", "Permission")
    for label in ("sync", "django_q"):
        # Permissions are otherwise made after the last migration only.
        config = apps.get_app_config(label)
        config.models_module = True
        create_permissions(config, apps=apps, verbosity=0, using=using)
        config.models_module = None
    known = permission.objects.using(using).filter(content_type__app_label__in=("sync", "django_q"))
    for name, codenames in GROUPS.items():
        row, _ = group.objects.using(using).get_or_create(name=name)
        row.permissions.add(*known.filter(codename__in=codenames))


def delete_groups(apps: Any, editor: Any) -> None:
    """The groups are gone; their members stay."""
    group = apps.get_model("auth", "Group")
    group.objects.using(editor.connection.alias).filter(name__in=GROUPS).delete()


class Migration(migrations.Migration):
    dependencies = [
        ("sync", "0010_permissions"),
        ("auth", "0012_alter_user_first_name_max_length"),
        ("contenttypes", "0002_remove_content_type_name"),
        ("django_q", "0019_alter_task_options_alter_ormq_key_alter_ormq_lock_and_more"),
    ]

    operations = [migrations.RunPython(create_groups, delete_groups)]
