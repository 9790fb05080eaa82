"""How usage becomes invoices: drafts at the end of a period, and what a draft is once it is final."""

from decimal import Decimal

from sync.sandbox.stripe import invoice_bodies
from sync.sandbox.stripe.agenda import DUE, NEVER
from sync.sandbox.stripe.bodies import Body
from sync.sandbox.stripe.ids import new_id
from sync.sandbox.stripe.invoice_bodies import LINES
from sync.sandbox.stripe.operations import Account
from sync.sandbox.stripe.stretches import UNBILLED, measure, stretch_of, why_unbilled

HOUR_SECONDS = 3600
KIND = "stripe.stretch"
"""Where the store keeps what became of every stretch of metered time that has ended."""


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
            self._lines.append(self._line(item, price, _period(item), Decimal(0)))

    def ahead(self, item: Body) -> None:
        """A licensed item is billed for the period that it is in; a metered one is not."""
        price = self._price(item)
        recurring = price["recurring"] or {}
        trial_end = self._subscription["trial_end"]
        in_trial = trial_end is not None and item["current_period_start"] < trial_end
        if recurring.get("usage_type") == "licensed" and not in_trial and self._makes_invoices():
            self._lines.append(self._line(item, price, _period(item), Decimal(item.get("quantity", 1))))

    def waiting(self) -> None:
        """The invoice items that wait for an invoice of the subscription are on this one."""
        for one in self._account.objects.pending_items_of(self._subscription["id"]):
            price = self._account.objects.get("price", one["_price"])
            period = (one["period"]["start"], one["period"]["end"])
            line = self._blank(one["_item"], price, period, invoice_item=one["id"])
            quantity = Decimal(one["_measured"])
            self._lines.append(invoice_bodies.measured(line, price, quantity, positions=one["_positions"]))
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
            automatically_finalizes_at=self._at + hours * HOUR_SECONDS if advances else None,
            billing_reason=self._reason,
            period_start=min(starts, default=self._at),
            period_end=self._at,
        )
        return scheduled(invoice_bodies.with_lines(draft, self._lines))

    def put(self, draft: Body | None) -> Body | None:
        """The draft is stored, and final where it has no time to wait."""
        if draft is None:
            return None
        objects = self._account.objects
        objects.save_all([draft, *self._items], at=self._at)
        if draft["auto_advance"] and draft["automatically_finalizes_at"] <= self._at:
            return finalize(self._account, draft, at=self._at)
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
        line = self._line(item, price, period, usage.total, usage.positions) | {"_stretch": stretch}
        self._lines.append(line)
        self._remember(stretch, invoice=self.id, line=line["id"])

    def _remember(self, stretch: Body, **outcome: str) -> None:
        if not self._is_preview:
            _note(self._account, stretch | outcome)

    def _line(
        self,
        item: Body,
        price: Body,
        period: tuple[int, int],
        quantity: Decimal,
        positions: list[int] | None = None,
    ) -> Body:
        line = self._blank(item["id"], price, period)
        return invoice_bodies.measured(line, price, quantity, positions=positions or [])

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


def finalize(account: Account, invoice: Body, *, at: int) -> Body:
    """The draft is open with all usage that was received by now, and paid where that needs nobody."""
    lines = [_measured_again(account, line) for line in invoice[LINES]]
    subscription = account.objects.find("subscription", invoice["_subscription"]) or {}
    final = invoice_bodies.with_lines(invoice, lines) | {
        "automatically_finalizes_at": None,
        "effective_at": at,
        "number": _number(account, invoice),
        "status": "open",
        "status_transitions": invoice["status_transitions"] | {"finalized_at": at},
        DUE: NEVER,
    }
    account.objects.save_all([final], at=at)
    return _collected(account, final, subscription, at=at)


def hold(account: Account, subscription: Body, *, at: int) -> None:
    """Nothing happens by itself any more to the subscription's invoices that are not paid."""
    held = [
        scheduled(invoice | {"auto_advance": False, "automatically_finalizes_at": None})
        for invoice in account.objects.invoices_of(subscription["id"])
        if invoice["status"] in ("draft", "open") and invoice["auto_advance"]
    ]
    account.objects.save_all(held, at=at)


def scheduled(invoice: Body) -> Body:
    """The invoice as it is stored: with the instant at which it becomes final by itself."""
    waits = invoice["status"] == "draft" and invoice["auto_advance"]
    at = invoice["automatically_finalizes_at"]
    return invoice | {DUE: at if waits and at is not None else NEVER}


def forgo(account: Account, stretch: Body, reason: str) -> None:
    """The stretch is on no invoice, and it is remembered why."""
    if stretch["start"] < stretch["end"]:
        _note(account, stretch | {"reason": reason})


def bill_aside(
    account: Account, subscription: Body, item: Body, *, at: int, unless: str | None = None
) -> None:
    """What was reported of an item that goes, or whose price changes, waits as an invoice item.

    In classic billing mode, and where there is a reason not to (`unless`), it is on no invoice.
    """
    stretch = stretch_of(account, subscription, item, end=at)
    if stretch is None:
        return
    if subscription["billing_mode"]["type"] == "classic":
        unless = unless or "classic billing mode bills nothing of a price that goes in mid-period"
    reason = why_unbilled(subscription, item) or unless
    if reason:
        forgo(account, stretch, reason)
        return
    # All that was reported counts, also what is dated up to five minutes ahead.
    everything = stretch | {"end": max(at, int(item["current_period_end"]))}
    usage = measure(account, everything)
    price = account.objects.get("price", item["price"])
    blank = invoice_bodies.invoice_item(
        subscription=subscription, item=item["id"], price=price, period=(int(stretch["start"]), at), at=at
    )
    made = invoice_bodies.measured(blank, price, usage.total, positions=usage.positions)
    account.objects.save_all([made], at=at)
    _note(account, stretch | {"invoice_item": made["id"], "until": account.ledger.last_position})


def _note(account: Account, outcome: Body) -> None:
    account.world.store.put(KIND, new_id(""), outcome)


def _measured_again(account: Account, line: Body) -> Body:
    stretch = line.get("_stretch")
    if stretch is None:
        return line
    price = account.objects.find("price", stretch["price"])
    if price is None:
        return line
    usage = measure(account, stretch)
    return invoice_bodies.measured(line, price, usage.total, positions=usage.positions)


def _collected(account: Account, invoice: Body, subscription: Body, *, at: int) -> Body:
    """The final invoice with what becomes of it at once."""
    transitions = invoice["status_transitions"]
    behavior = (subscription.get("pause_collection") or {}).get("behavior")
    changes: Body = {}
    if behavior == "mark_uncollectible":
        changes = {
            "status": "uncollectible",
            "status_transitions": transitions | {"marked_uncollectible_at": at},
        }
    elif behavior == "void":
        changes = {"status": "void", "status_transitions": transitions | {"voided_at": at}}
    elif _is_paid_at_once(invoice, subscription):
        due = invoice["amount_due"]
        changes = {
            "amount_paid": due,
            "amount_remaining": 0,
            "attempt_count": 1 if due else 0,
            "attempted": True,
            "auto_advance": False,
            "status": "paid",
            "status_transitions": transitions | {"paid_at": at},
        }
    if not changes:
        return invoice
    account.objects.save_all([invoice | changes], at=at)
    return invoice | changes


def _is_paid_at_once(invoice: Body, subscription: Body) -> bool:
    if invoice["amount_due"] == 0:
        return True
    # A subscription that is past due has a means of payment that does not work.
    return invoice["collection_method"] == "charge_automatically" and subscription.get("status") not in (
        "past_due",
        "unpaid",
    )


def _number(account: Account, invoice: Body) -> str:
    others = account.objects.invoices_of(invoice["customer"])
    customer = account.objects.find("customer", invoice["customer"]) or {}
    count = sum(other["number"] is not None for other in others)
    return f"{customer.get('invoice_prefix', 'SANDBOX')}-{count + 1:04d}"


def _period(item: Body) -> tuple[int, int]:
    return item["current_period_start"], item["current_period_end"]


def _is_kept_as_draft(subscription: Body) -> bool:
    return (subscription["pause_collection"] or {}).get("behavior") == "keep_as_draft"
