"""Nobody edits the ledger by hand, whatever rights they have."""

import pytest
from django.contrib import admin
from django.contrib.auth import get_user_model

from sync.models import (
    BillingPeriod,
    Customer,
    DeliveryAttempt,
    Enrolment,
    Finding,
    Meter,
    Price,
    ReportRun,
    StripeAccount,
    Subject,
    Subscription,
    SubscriptionItem,
    SubscriptionPause,
    UsageReport,
)

UNTOUCHABLE = [
    BillingPeriod,
    Customer,
    DeliveryAttempt,
    Enrolment,
    Finding,
    Price,
    ReportRun,
    StripeAccount,
    Subject,
    Subscription,
    SubscriptionItem,
    SubscriptionPause,
    UsageReport,
]
OURS = [(model, page) for model, page in admin.site._registry.items() if model.__module__.startswith("sync.")]


@pytest.fixture
def as_superuser(rf, db):
    """Return a request of somebody with every right there is."""
    request = rf.get("/")
    request.user = get_user_model().objects.create_superuser("root", "root@example.com", "a password")
    return request


@pytest.mark.parametrize("model", UNTOUCHABLE)
def test_a_superuser_can_only_look(as_superuser, model):
    page = admin.site._registry[model]
    assert page.has_view_permission(as_superuser)
    assert not page.has_add_permission(as_superuser)
    assert not page.has_change_permission(as_superuser)
    assert not page.has_delete_permission(as_superuser)
    assert "delete_selected" not in page.get_actions(as_superuser)


def test_meters_can_be_changed_but_neither_added_nor_deleted(as_superuser):
    page = admin.site._registry[Meter]
    assert page.has_change_permission(as_superuser)
    assert not page.has_add_permission(as_superuser)
    assert not page.has_delete_permission(as_superuser)
    assert page.get_actions(as_superuser) == {}


@pytest.mark.parametrize(("model", "page"), OURS)
def test_pages_say_what_they_load(model, page):
    assert page.show_full_result_count is False
    assert page.search_fields, f"{model.__name__} cannot be searched"
    assert page.ordering, f"{model.__name__} is in no order"
    assert page.ordering[-1] in {"id", "-id"}, "rows of the same rank would change places between pages"
    assert page.list_display != ("__str__",)
