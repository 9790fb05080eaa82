"""Subscription items, as Stripe has them."""

from typing import Any

from django.contrib import admin
from django.http import HttpRequest, HttpResponse
from unfold.contrib.filters.admin import RelatedDropdownFilter

from sync.admin.console_admin import ReadOnlyAdmin
from sync.admin.formats import NOTHING
from sync.admin.links import row_link
from sync.admin.tags import price_sentence
from sync.models import SubscriptionItem
from sync.queries.item_prices import swapped_items


@admin.register(SubscriptionItem)
class SubscriptionItemAdmin(ReadOnlyAdmin):
    """Which price and meter is on which subscription."""

    list_display = ["stripe_id", "customer", "subscription_link", "price_link", "meter_slug", "created_at"]
    list_select_related = ["subscription__customer", "price", "meter"]
    list_filter = [("meter", RelatedDropdownFilter), ("deleted_at", admin.EmptyFieldListFilter)]
    search_fields = [
        "stripe_id",
        "subscription__stripe_id",
        "subscription__customer__stripe_id",
        "subscription__customer__name",
        "price__stripe_id",
    ]
    ordering = ["-created_at", "id"]
    fields = [
        "stripe_id",
        "customer",
        "subscription_link",
        "price_link",
        "terms",
        "meter_slug",
        "created_at",
        "deleted_at",
        "fetched_at",
    ]
    hidden_while_empty = ("deleted_at",)
    readonly_fields = ["customer", "subscription_link", "price_link", "terms", "meter_slug"]
    change_form_after_template = "sync/item_prices.html"

    def render_change_form(
        self, request: HttpRequest, context: dict[str, Any], *args: Any, **kwargs: Any
    ) -> HttpResponse:
        """Add the prices that it had."""
        item = context["original"].pk
        context["prices"] = swapped_items([item]).get(item, ())
        answer: HttpResponse = super().render_change_form(request, context, *args, **kwargs)
        return answer

    @admin.display(ordering="subscription__customer__name")
    def customer(self, item: SubscriptionItem) -> str:
        """Who pays for it."""
        return row_link(item.subscription.customer, item.subscription.customer.label)

    @admin.display(description="subscription", ordering="subscription__stripe_id")
    def subscription_link(self, item: SubscriptionItem) -> str:
        """The subscription it is on."""
        return row_link(item.subscription, item.subscription.stripe_id)

    @admin.display(description="price", ordering="price__product_name")
    def price_link(self, item: SubscriptionItem) -> str:
        """What is sold."""
        return row_link(item.price, item.price.product_name or item.price.stripe_id)

    @admin.display(description="costs")
    def terms(self, item: SubscriptionItem) -> str:
        """What a unit costs, in words."""
        return price_sentence(item.price)

    @admin.display(description="meter", ordering="meter__event_name")
    def meter_slug(self, item: SubscriptionItem) -> str:
        """What it is billed by."""
        return row_link(item.meter, item.meter.slug) if item.meter else NOTHING
