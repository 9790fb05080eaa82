"""Who may see and do what: every page and every action, for everybody who could try."""

import hashlib
from importlib import import_module

import pytest
from django.apps import apps
from django.contrib import admin
from django.contrib.admin.sites import all_sites
from django.contrib.auth.models import Group, Permission, User
from django.test import Client
from django.urls import reverse
from unfold.admin import ModelAdmin

from sync.admin.console_admin import ConsoleAdmin
from sync.models import ReportRun
from tests.factories import ReportRunFactory, UsageReportFactory
from tests.functional.pages import address_names, label, opened_dialogs, page, registered_dialogs
from tests.integration.test_admin_pages import fill

VIEWER, OPERATOR, ADMIN = "Billing viewer", "Billing operator", "Billing admin"
SUPERUSER, NO_GROUP, STRANGER, NOBODY = "superuser", "no group", "not staff", "not logged in"
EVERYBODY = {VIEWER, OPERATOR, ADMIN}
PEOPLE = (VIEWER, OPERATOR, ADMIN, SUPERUSER, NO_GROUP)
OUTSIDE = (STRANGER, NOBODY)

# Who may open which list and its rows. A superuser may do everything that anybody may.
SEES = {
    "sync.billingperiod": EVERYBODY,
    "sync.customer": EVERYBODY,
    "sync.deliveryattempt": EVERYBODY,
    "sync.difference": EVERYBODY,
    "sync.enrolment": EVERYBODY,
    "sync.finding": EVERYBODY,
    "sync.incident": EVERYBODY,
    "sync.meter": EVERYBODY,
    "sync.pause": EVERYBODY,
    "sync.price": EVERYBODY,
    "sync.reconciliation": EVERYBODY,
    "sync.reportrun": EVERYBODY,
    "sync.stripeaccount": EVERYBODY,
    "sync.stripenotice": EVERYBODY,
    "sync.subject": EVERYBODY,
    "sync.subscription": EVERYBODY,
    "sync.subscriptionitem": EVERYBODY,
    "sync.subscriptionpause": EVERYBODY,
    "sync.usagereport": EVERYBODY,
    "django_q.schedule": {ADMIN},
    "django_q.success": {ADMIN},
    "django_q.failure": {ADMIN},
    "django_q.ormq": {ADMIN},
    "auth.user": set(),
    "auth.group": set(),
}

# Who may carry out which dialog.
ACTS = {
    "django_q.schedule/switch_off": {ADMIN},
    "django_q.schedule/switch_on": {ADMIN},
    "sync.customer/link": {ADMIN},
    "sync.customer/pause": {OPERATOR, ADMIN},
    "sync.customer/report": {OPERATOR, ADMIN},
    "sync.customer/resume": {OPERATOR, ADMIN},
    "sync.customer/set_up": {ADMIN},
    "sync.customer/sync": {OPERATOR, ADMIN},
    "sync.enrolment/start_at": {ADMIN},
    "sync.finding/resolve": {OPERATOR, ADMIN},
    "sync.meter/pause": {OPERATOR, ADMIN},
    "sync.meter/redefine": {ADMIN},
    "sync.meter/resume": {OPERATOR, ADMIN},
    "sync.meter/set_up": {ADMIN},
    "sync.meter/sync": {OPERATOR, ADMIN},
    "sync.pause/pause": {OPERATOR, ADMIN},
    "sync.pause/resume": {OPERATOR, ADMIN},
    "sync.reconciliation/compare": {OPERATOR, ADMIN},
    "sync.reportrun/cancel": {OPERATOR, ADMIN},
    "sync.reportrun/report": {OPERATOR, ADMIN},
    "sync.reportrun/sync": {OPERATOR, ADMIN},
    "sync.subject/end": {ADMIN},
    "sync.subject/link": {ADMIN},
    "sync.subject/move": {ADMIN},
    "sync.subject/move_open_period": {ADMIN},
    "sync.subscription/report": {OPERATOR, ADMIN},
    "sync.subscription/sync": {OPERATOR, ADMIN},
    "sync.usagereport/already_billed": {OPERATOR, ADMIN},
    "sync.usagereport/carry": {OPERATOR, ADMIN},
    "sync.usagereport/compare": {OPERATOR, ADMIN},
    "sync.usagereport/dismiss": {OPERATOR, ADMIN},
    "sync.usagereport/release": {OPERATOR, ADMIN},
    "sync.usagereport/retry": {OPERATOR, ADMIN},
}

# Who may write into which of Django's own forms; everything else has none.
WRITES = {
    ("sync.meter", "change"): {ADMIN},
    ("auth.user", "add"): set(),
    ("auth.user", "change"): set(),
    ("auth.group", "add"): set(),
    ("auth.group", "change"): set(),
    ("auth.group", "delete"): set(),
}

# Addresses beside lists, rows and dialogs: who may look at them, and of which model they show a row.
OTHER_PAGES = {
    "sync_finding_export": (EVERYBODY, None),
    "sync_reportrun_export": (EVERYBODY, None),
    "sync_usagereport_export": (EVERYBODY, None),
    "sync_reportrun_progress": (EVERYBODY, ReportRun),
}


@pytest.fixture
def everything(db, sandbox, sandbox_server, settings):
    """One of everything, reports and runs in every state, and a sandbox that keeps a log."""
    settings.SECURE_SSL_REDIRECT = False
    settings.STRIPE_KEY = "sk_test_access_0001"
    settings.STRIPE_API_BASE = sandbox_server.stripe_url
    settings.OPENMETER_URL = sandbox_server.openmeter_url
    fill(0, 1)
    for status in ("held", "late", "rejected", "unknown", "delivered"):
        UsageReportFactory(status=status)
    for status in ("queued", "running"):
        ReportRunFactory(status=status, trigger=ReportRun.Trigger.COMMAND)


@pytest.fixture
def sit_down(everything):
    """Return a function that gives anybody a browser."""

    def browser(person, **options):
        client = Client(**options)
        if person == NOBODY:
            return client
        user = User.objects.create_user(
            person,
            is_staff=person != STRANGER,
            is_superuser=person == SUPERUSER,
        )
        if person in EVERYBODY:
            user.groups.add(Group.objects.get(name=person))
        client.force_login(user)
        return client

    return browser


def digest():
    """Return what all tables hold; sessions and logins belong to the browser."""
    tables = {
        model._meta.db_table: list(model._default_manager.order_by("pk").values_list())
        for model in apps.get_models()
        if model._meta.app_label != "sessions" and model is not User
    }
    return hashlib.sha256(repr(sorted(tables.items())).encode()).hexdigest()


def other_page(name, model):
    """Return the address of a page of its own, of one row where it shows one."""
    args = [model._default_manager.order_by("pk").values_list("pk", flat=True)[0]] if model else []
    return reverse(f"admin:{name}", args=args)


def may(person, those):
    return person == SUPERUSER or person in those


class TestTableOfRights:
    def test_names_every_page_and_every_dialog(self):
        assert {label(model) for model in admin.site._registry} == set(SEES)
        assert set(registered_dialogs()) == set(ACTS)
        assert address_names() == set(OTHER_PAGES)

    def test_is_what_the_groups_were_given(self, db):
        for name, who in ACTS.items():
            permission = registered_dialogs()[name].permission.split(".")[1]
            holders = Group.objects.filter(permissions__codename=permission).values_list("name", flat=True)
            assert set(holders) == who, name

    def test_has_a_permission_for_each_action_and_asks_why(self):
        allowed_by = {}
        for name, dialog in registered_dialogs().items():
            allowed_by.setdefault(dialog.permission, set()).add(name.split("/")[1])
            assert dialog.form_class.base_fields["why"].required, name
        assert [names for names in allowed_by.values() if len(names) > 1] == []

    def test_lets_those_who_could_before_go_on_where_a_permission_was_split(self, db):
        migration = import_module("sync.migrations.0019_permissions_of_their_own")
        user, group = User.objects.create_user("eve"), Group.objects.create(name="Night shift")
        user.user_permissions.add(Permission.objects.get(codename="move_subject"))
        group.permissions.add(Permission.objects.get(codename="change_schedule"))
        migration.share(Permission.objects, using="default")
        assert user.has_perm("sync.end_subject")
        assert not user.has_perm("sync.switch_on_schedule")
        given = set(group.permissions.values_list("codename", flat=True))
        assert given == {"change_schedule", "switch_off_schedule", "switch_on_schedule"}

    def test_knows_no_second_site(self):
        assert list(all_sites) == [admin.site]


@pytest.mark.parametrize("person", PEOPLE)
class TestStaff:
    def test_see_what_the_table_says_and_change_nothing_by_looking(self, sit_down, sandbox, person):
        client, before = sit_down(person), digest()
        for model in admin.site._registry:
            expected = 200 if may(person, SEES[label(model)]) else 403
            assert client.get(page(model, "changelist")).status_code == expected, model
            for pk in model._default_manager.values_list("pk", flat=True)[:1]:
                assert client.get(page(model, "change", pk)).status_code == expected, model
                assert client.get(page(model, "history", pk)).status_code == expected, model
        for name, address in opened_dialogs():
            expected = 200 if may(person, ACTS[name]) else 403
            assert client.get(address).status_code == expected, address
        for name, (who, model) in OTHER_PAGES.items():
            address = other_page(name, model)
            assert client.get(address).status_code == (200 if may(person, who) else 403), address
        assert client.get("/").status_code == 200
        assert digest() == before
        asked_stripe = [call for call in sandbox.requests() if call["path"].startswith("/v1/")]
        assert [call for call in asked_stripe if call["method"] != "GET"] == []

    def test_act_only_where_the_table_says(self, sit_down, sandbox, person):
        client, before = sit_down(person), digest()
        for name, address in opened_dialogs():
            if not may(person, ACTS[name]):
                assert client.post(address, {"why": "because"}).status_code == 403, address
        assert digest() == before
        assert sandbox.requests() == []

    def test_write_into_no_form_that_the_table_leaves_out(self, sit_down, person):
        client, before = sit_down(person), digest()
        for model in admin.site._registry:
            rows = model._default_manager.values_list("pk", flat=True)[:1]
            addresses = [("add", page(model, "add"))] + [
                (kind, page(model, kind, pk)) for kind in ("change", "delete") for pk in rows
            ]
            for kind, address in addresses:
                writes = WRITES.get((label(model), kind))
                if writes is None or not may(person, writes):
                    assert client.post(address, {"post": "yes"}).status_code == 403, address
                if kind != "change" and (writes is None or not may(person, writes)):
                    assert client.get(address).status_code == 403, address
        assert digest() == before

    def test_delete_nothing_from_a_list(self, sit_down, person):
        client, before = sit_down(person), digest()
        for model in admin.site._registry:
            if (label(model), "delete") not in WRITES:
                chosen = list(model._default_manager.values_list("pk", flat=True))
                form = {"action": "delete_selected", "_selected_action": chosen, "post": "yes"}
                client.post(page(model, "changelist"), form)
        assert digest() == before


@pytest.mark.parametrize("person", OUTSIDE)
class TestOutsiders:
    def test_are_sent_to_the_login_from_everywhere(self, sit_down, sandbox, person):
        client, before = sit_down(person), digest()
        addresses = ["/", *(address for _, address in opened_dialogs())]
        addresses += [other_page(name, model) for name, (_, model) in OTHER_PAGES.items()]
        for model in admin.site._registry:
            addresses += [page(model, "changelist"), page(model, "add")]
            for pk in model._default_manager.values_list("pk", flat=True)[:1]:
                addresses += [page(model, kind, pk) for kind in ("change", "delete", "history")]
        for address in addresses:
            for ask in (client.get, client.post):
                answer = ask(address)
                assert answer.status_code == 302, address
                assert answer["Location"].startswith("/login/"), address
        assert digest() == before
        assert sandbox.requests() == []


class TestForms:
    def test_are_refused_without_their_token(self, sit_down, sandbox):
        client, before = sit_down(SUPERUSER, enforce_csrf_checks=True), digest()
        addresses = [address for _, address in opened_dialogs()]
        addresses += [page(model, "changelist") for model in admin.site._registry]
        for address in addresses:
            assert client.post(address, {"why": "because"}).status_code == 403, address
        assert digest() == before
        assert sandbox.requests() == []


class TestActions:
    def test_are_dialogs_everywhere(self):
        for model, shown in admin.site._registry.items():
            assert isinstance(shown, ModelAdmin), model
            assert not [
                name
                for name in ("actions_list", "actions_row", "actions_detail", "actions_submit_line")
                if getattr(shown, name)
            ], f"{model}: unfold runs these on a GET"

    def test_of_a_list_lead_to_a_dialog_or_are_djangos_own(self, rf, everything):
        request = rf.get("/")
        request.user = User.objects.create_superuser("root")
        for model, shown in admin.site._registry.items():
            allowed = {dialog.name for dialog in getattr(shown, "dialogs", ())}
            if label(model) == "auth.group":
                allowed.add("delete_selected")
            assert set(shown.get_actions(request)) <= allowed, model

    def test_belong_to_our_own_pages(self):
        others = {
            label(model)
            for model, shown in admin.site._registry.items()
            if not isinstance(shown, ConsoleAdmin)
        }
        assert others == {"auth.user", "auth.group"}
