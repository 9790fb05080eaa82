"""How the admin looks and what its sidebar holds; read by django-unfold through the setting UNFOLD."""

from collections.abc import Callable
from typing import Any

from django.http import HttpRequest
from django.templatetags.static import static
from django.urls import reverse_lazy


def _item(title: str, icon: str, page: str, permission: str = "", badge: str = "") -> dict[str, Any]:
    """Return a line of the sidebar, shown to those who may see the page."""

    def may_see(request: HttpRequest) -> bool:
        return not permission or request.user.has_perm(permission)

    line: dict[str, Any] = {
        "title": title,
        "icon": icon,
        "link": reverse_lazy(f"admin:{page}"),
        "permission": may_see,
    }
    return line | ({"badge": badge} if badge else {})


def _file(name: str) -> Callable[[HttpRequest], str]:
    return lambda _request: static(f"sync/{name}")


UNFOLD: dict[str, Any] = {
    "SITE_TITLE": "Billing console",
    "SITE_HEADER": "Billing console",
    "SITE_SUBHEADER": "OpenMeter to Stripe",
    "SITE_SYMBOL": "receipt_long",
    "SITE_FAVICONS": [{"rel": "icon", "type": "image/svg+xml", "href": _file("favicon.svg")}],
    "SITE_URL": None,
    "SHOW_VIEW_ON_SITE": False,
    "ENVIRONMENT": "sync.admin.environment.badge",
    "ENVIRONMENT_TITLE_PREFIX": "sync.admin.environment.title_prefix",
    "DASHBOARD_CALLBACK": "sync.admin.overview.overview",
    "STYLES": [_file(f"{name}.css") for name in ("console", "chips", "mappings", "runs", "overview")],
    "SCRIPTS": [_file("console.js"), _file("accessibility.js")],
    "COMMAND": {
        "search_models": ["sync.customer", "sync.subscription", "sync.meter"],
        "show_history": False,
    },
    "SIDEBAR": {
        "show_search": True,
        "command_search": True,
        "show_all_applications": False,
        "navigation": [
            {
                "items": [
                    _item("Overview", "dashboard", "index"),
                    _item("Customers", "groups", "sync_customer_changelist", "sync.view_customer"),
                    _item(
                        "Subscriptions",
                        "autorenew",
                        "sync_subscription_changelist",
                        "sync.view_subscription",
                    ),
                ],
            },
            {
                "title": "Meters & prices",
                "separator": True,
                "items": [
                    _item("Meters", "speed", "sync_meter_changelist", "sync.view_meter"),
                    _item("Prices", "sell", "sync_price_changelist", "sync.view_price"),
                    _item("Subjects", "badge", "sync_subject_changelist", "sync.view_subject"),
                ],
            },
            {
                "title": "Reporting",
                "separator": True,
                "items": [
                    _item("Runs", "play_circle", "sync_reportrun_changelist", "sync.view_reportrun"),
                    _item("Reports", "list_alt", "sync_usagereport_changelist", "sync.view_usagereport"),
                    _item(
                        "Findings",
                        "flag",
                        "sync_finding_changelist",
                        "sync.view_finding",
                        badge="sync.admin.environment.open_findings",
                    ),
                    _item(
                        "Reconciliations",
                        "balance",
                        "sync_reconciliation_changelist",
                        "sync.view_reconciliation",
                    ),
                    _item("Pauses", "pause_circle", "sync_pause_changelist", "sync.view_pause"),
                ],
            },
            {
                "title": "Administration",
                "separator": True,
                "collapsible": True,
                "items": [
                    _item("Connections", "cable", "sync_stripeaccount_changelist", "sync.view_stripeaccount"),
                    _item(
                        "Stripe's notices",
                        "notifications",
                        "sync_stripenotice_changelist",
                        "sync.view_stripenotice",
                    ),
                    _item("Incidents", "warning", "sync_incident_changelist", "sync.view_incident"),
                    _item("Enrolments", "how_to_reg", "sync_enrolment_changelist", "sync.view_enrolment"),
                    _item("Schedules", "schedule", "django_q_schedule_changelist", "django_q.view_schedule"),
                    _item("Failed tasks", "error", "django_q_failure_changelist", "django_q.view_failure"),
                    _item(
                        "Finished tasks", "task_alt", "django_q_success_changelist", "django_q.view_success"
                    ),
                    _item("Users", "person", "auth_user_changelist", "auth.view_user"),
                    _item("Groups", "group", "auth_group_changelist", "auth.view_group"),
                ],
            },
        ],
    },
}
