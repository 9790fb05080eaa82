"""How usage becomes an invoice at the end of a period, or when something changes."""

from decimal import Decimal

from sync.sandbox.stripe import billing, invoice_bodies
from sync.sandbox.stripe.bodies import Body
from sync.sandbox.stripe.ids import new_id
from sync.sandbox.stripe.operations import Account
from sync.sandbox.stripe.stretches import UNBILLED, Usage, measure, stretch_of, why_unbilled

NOTHING = Usage(total=Decimal(0), positions=[])


class Bill:
    """An invoice in the making: lines are added to it, and without any there is none."""

    def __init__(
        self, account: Account, subscription: Body, *, at: int, reason: str, is_preview: bool = False
    ) -> None:
        self.id = new_id("in_")
        self._account, self._subscription, self._at, self._reason = account, subscription, at, reason
        self._is_preview = is_preview
        self._lines: list[Body] = []
        self._items: list[Body] = []

    def close(self, item: Body, *, end: int) -> None:
        """What the item used until `end` in its current period is on the invoice, where it is billed at all.

        After a change of the price in the middle of the period nothing counts that comes later than its end.
        """
        stretch = stretch_of(self._account, self._subscription, item, end=end)
        if stretch is None:
            return
        reason = why_unbilled(self._subscription, item)
        if reason:
            self._remember(stretch, reason=reason)
            return
        if stretch["price_changed"]:
            stretch |= {"until": self._account.ledger.last_position}
        self._add_usage(item, stretch, (int(stretch["start"]), end))

    def past(self, item: Body, *, start: int, end: int) -> None:
        """What was used before the subscription was created is on the invoice, if there is any."""
        stretch = stretch_of(self._account, self._subscription, item, end=end)
        if stretch is not None:
            stretch |= {"start": start, "is_first": start == self._subscription["start_date"], "after": 0}
            self._add_usage(item, stretch, (start, end), even_nothing=False)

    def nothing_yet(self, item: Body) -> None:
        """A metered item begins with a line of nothing, as in classic billing mode."""
        price = self._price(item)
        if price["recurring"]["usage_type"] == "metered":
            line = self._line(item, price, _period(item), NOTHING)
            self._lines.append(line | {"amount": 0, "subtotal": 0, "_exact_amount": "0", "_tiers": []})

    def ahead(self, item: Body) -> None:
        """A licensed item is billed for the period that it is in; a metered one is not."""
        price = self._price(item)
        recurring = price["recurring"] or {}
        trial_end = self._subscription["trial_end"]
        in_trial = trial_end is not None and item["current_period_start"] < trial_end
        if recurring.get("usage_type") == "licensed" and not in_trial and self._makes_invoices():
            quantity = Usage(total=Decimal(item.get("quantity", 1)), positions=[])
            self._lines.append(self._line(item, price, _period(item), quantity))

    def waiting(self) -> None:
        """The invoice items that wait for an invoice of the subscription are on this one."""
        for one in self._account.objects.pending_items_of(self._subscription["id"]):
            price = self._account.objects.get("price", one["_price"])
            period = (one["period"]["start"], one["period"]["end"])
            line = self._blank(one["_item"], price, period, invoice_item=one["id"])
            usage = Usage(total=Decimal(one["_measured"]), positions=one["_positions"])
            self._lines.append(billing.priced(self._account, line, price, usage))
            self._items.append(one | {"invoice": self.id})

    def body(self, *, hours: int | None = None) -> Body | None:
        """The draft, which nobody has stored yet, or None where it would be empty."""
        if not self._lines or not self._makes_invoices():
            return None
        account, subscription = self._account, self._subscription
        customer = account.objects.find("customer", subscription["customer"]) or {}
        starts = [line["period"]["start"] for line in self._lines if line["period"]["end"] <= self._at]
        advances = subscription["status"] != "unpaid" and not _is_kept_as_draft(subscription)
        if hours is None:
            hours = account.world.settings.invoice_finalization_hours
        advances = advances and not self._is_preview
        draft = invoice_bodies.invoice(
            self.id,
            subscription=subscription,
            customer=customer,
            at=self._at,
            auto_advance=advances,
            automatically_finalizes_at=self._at + hours * billing.HOUR_SECONDS if advances else None,
            billing_reason=self._reason,
            period_start=min(starts, default=self._at),
            period_end=self._at,
        )
        return billing.scheduled(invoice_bodies.with_lines(draft, self._lines))

    def put(self, draft: Body | None) -> Body | None:
        """The draft is stored, and final where it has no time to wait."""
        if draft is None:
            return None
        objects = self._account.objects
        objects.save_all([draft, *self._items], at=self._at)
        if draft["auto_advance"] and draft["automatically_finalizes_at"] <= self._at:
            return billing.finalize(self._account, draft, at=self._at)
        return draft

    def _makes_invoices(self) -> bool:
        return self._subscription["status"] not in UNBILLED

    def _price(self, item: Body) -> Body:
        return self._account.objects.get("price", item["price"])

    def _add_usage(
        self, item: Body, stretch: Body, period: tuple[int, int], *, even_nothing: bool = True
    ) -> None:
        usage = measure(self._account, stretch)
        if not usage.positions and not even_nothing:
            self._remember(stretch, reason="it is past, and nothing was there when the subscription began")
            return
        price = self._account.objects.get("price", stretch["price"])
        line = self._line(item, price, period, usage) | {"_stretch": stretch}
        self._lines.append(line)
        self._remember(stretch, invoice=self.id, line=line["id"])

    def _remember(self, stretch: Body, **outcome: str) -> None:
        if not self._is_preview:
            billing.note(self._account, stretch | outcome)

    def _line(self, item: Body, price: Body, period: tuple[int, int], usage: Usage) -> Body:
        return billing.priced(self._account, self._blank(item["id"], price, period), price, usage)

    def _blank(
        self, item_id: str, price: Body, period: tuple[int, int], *, invoice_item: str | None = None
    ) -> Body:
        return invoice_bodies.line(
            self.id,
            subscription=self._subscription["id"],
            item=item_id,
            price=price,
            period=period,
            invoice_item=invoice_item,
        )


def _period(item: Body) -> tuple[int, int]:
    return item["current_period_start"], item["current_period_end"]


def _is_kept_as_draft(subscription: Body) -> bool:
    return (subscription["pause_collection"] or {}).get("behavior") == "keep_as_draft"
