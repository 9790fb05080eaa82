"""Prices, as Stripe has them."""

from typing import Any

from django.contrib import admin
from django.http import HttpRequest, HttpResponse
from unfold.contrib.filters.admin import RelatedDropdownFilter

from sync.admin.chips import GOOD, QUIET, chip
from sync.admin.console_admin import ReadOnlyAdmin
from sync.admin.formats import NOTHING, stripe_link, two_lines
from sync.admin.links import row_link
from sync.admin.tags import price_sentence
from sync.domain.price_words import tier_words
from sync.models import Price


@admin.register(Price)
class PriceAdmin(ReadOnlyAdmin):
    """What a unit costs, and on which meter."""

    list_display = ["product", "terms", "meter_slug", "state", "in_stripe"]
    list_select_related = ["meter"]
    list_filter = ["active", "usage_type", ("meter", RelatedDropdownFilter)]
    search_fields = ["stripe_id", "product_name", "lookup_key", "meter__event_name"]
    search_help_text = "Product, Stripe id, lookup key or meter"
    when_empty = "Prices come from Stripe: Sync with Stripe… on Meters reads them."
    ordering = ["product_name", "id"]
    fields = [
        "product",
        "terms",
        "meter_slug",
        "state",
        "in_stripe",
        "product_in_stripe",
        "lookup_key",
        "fetched_at",
        "deleted_at",
    ]
    hidden_while_empty = ("lookup_key", "deleted_at")
    readonly_fields = ["product", "terms", "meter_slug", "state", "in_stripe", "product_in_stripe"]
    change_form_after_template = "sync/price.html"

    def render_change_form(
        self, request: HttpRequest, context: dict[str, Any], *args: Any, **kwargs: Any
    ) -> HttpResponse:
        """Add the tiers."""
        context |= {"tiers": tier_words(context["original"].terms), "price": context["original"]}
        answer: HttpResponse = super().render_change_form(request, context, *args, **kwargs)
        return answer

    @admin.display(ordering="product_name")
    def product(self, price: Price) -> str:
        """What is sold, and the name it is looked up by."""
        return two_lines(price.product_name or price.product_id, price.lookup_key)

    @admin.display(description="costs")
    def terms(self, price: Price) -> str:
        """What a unit costs, in words."""
        return price_sentence(price)

    @admin.display(description="meter", ordering="meter__event_name")
    def meter_slug(self, price: Price) -> str:
        """What it bills."""
        return row_link(price.meter, price.meter.slug) if price.meter else NOTHING

    @admin.display(description="status", ordering="active")
    def state(self, price: Price) -> str:
        """Whether it can be subscribed to."""
        if price.deleted_at:
            return chip("deleted", tone=QUIET, icon="delete")
        if price.active:
            return chip("active", tone=GOOD, icon="check_circle")
        return chip("archived", tone=QUIET, icon="inventory_2")

    @admin.display(description="Stripe", ordering="stripe_id")
    def in_stripe(self, price: Price) -> str:
        """Its page in Stripe's dashboard."""
        return stripe_link("price", price.stripe_id)

    @admin.display(description="product in Stripe")
    def product_in_stripe(self, price: Price) -> str:
        """Its product's page in Stripe's dashboard."""
        return stripe_link("product", price.product_id)
