"""What final invoices billed, and on which line each meter event landed or why on none: for proofs."""

from collections import defaultdict
from collections.abc import Iterable, Iterator
from typing import Any

from sync.sandbox.stripe.billing import KIND, TOO_LATE
from sync.sandbox.stripe.bodies import Body
from sync.sandbox.stripe.invoice_bodies import LINES
from sync.sandbox.stripe.ledger import Event, counted
from sync.sandbox.stripe.operations import Account
from sync.sandbox.stripe.stretches import REMOVED_METER, holds, stretch_of

Row = dict[str, Any]


def invoice_rows(account: Account, *, drafts: bool, **owners: str | None) -> list[Row]:
    """Every invoice that is not a draft, or all, oldest first, with exact numbers as strings."""
    found = [invoice for invoice in _invoices(account, owners) if drafts or invoice["status"] != "draft"]
    return [
        {
            "invoice": invoice["id"],
            "status": invoice["status"],
            "billing_reason": invoice["billing_reason"],
            "customer": invoice["customer"],
            "subscription": invoice["_subscription"],
            "created": invoice["created"],
            "automatically_finalizes_at": invoice["automatically_finalizes_at"],
            "finalized_at": invoice["status_transitions"]["finalized_at"],
            "total": invoice["total"],
            "lines": [_line_row(account, line) for line in invoice[LINES]],
        }
        for invoice in found
    ]


def _line_row(account: Account, line: Body) -> Row:
    price = account.objects.find("price", line["_price"]) or {}
    details = line["parent"]["subscription_item_details"]
    return {
        "line": line["id"],
        "item": details["subscription_item"],
        "invoice_item": details["invoice_item"],
        "price": line["_price"],
        "meter": (price.get("recurring") or {}).get("meter"),
        "start": line["period"]["start"],
        "end": line["period"]["end"],
        "measured": line["_measured"],
        "quantity": line["quantity_decimal"],
        "exact_amount": line["_exact_amount"],
        "amount": line["amount"],
        "events": len(line["_positions"]),
    }


def landing_rows(account: Account, **filters: str | None) -> list[Row]:
    """Every accepted meter event in order of receipt, with the lines it is on, or why it is on none."""
    lines = _lines_by_position(account)
    tales = _Tales(account)
    canceled = {event.position for event in account.ledger.canceled()}
    rows = []
    for event in _events(account, **filters):
        on = lines.get(event.position, [])
        row = event.as_dict() | {"lines": on, "why": None}
        if not any(line["status"] != "draft" for line in on):
            row["why"] = _why_counted_never(event, canceled) or tales.why(event, on)
        rows.append(row)
    return rows


def _why_counted_never(event: Event, canceled: set[int]) -> str:
    if event.refused:
        return f"it was taken, and refused later: {event.refused}"
    return "it was canceled" if event.position in canceled else ""


def _invoices(account: Account, owners: dict[str, str | None]) -> Iterable[Body]:
    owner = owners.get("subscription") or owners.get("customer")
    objects = account.objects
    return (objects.invoices_of(owner) if owner else objects.all("invoice"))[::-1]


def _events(account: Account, *, customer: str | None, event_name: str | None) -> list[Event]:
    events = [
        event
        for meter_id, of_customer in account.ledger.enrolments()
        if customer in (None, of_customer)
        for event in account.ledger.of(meter_id, of_customer)
    ]
    never = [*account.ledger.canceled(), *account.ledger.refused()]
    events += [event for event in never if customer in (None, event.customer)]
    wanted = [event for event in events if event_name in (None, event.event_name)]
    return sorted(wanted, key=lambda event: event.position)


def _lines_by_position(account: Account) -> dict[int, list[Row]]:
    found: dict[int, list[Row]] = defaultdict(list)
    for invoice in account.objects.all("invoice"):
        for line in invoice[LINES]:
            row = {
                "invoice": invoice["id"],
                "line": line["id"],
                "item": line["parent"]["subscription_item_details"]["subscription_item"],
                "status": invoice["status"],
            }
            for position in line["_positions"]:
                found[position].append(row)
    return found


class _Tales:
    """Tells why an event is on no final line."""

    def __init__(self, account: Account) -> None:
        self._account = account
        self._ended: dict[tuple[str, str], list[Body]] = defaultdict(list)
        for stretch in account.world.store.all(KIND):
            self._ended[stretch["meter"], stretch["customer"]].append(stretch)
        self._open: dict[tuple[str, str], list[Body]] = defaultdict(list)
        for stretch in _running(account):
            self._open[stretch["meter"], stretch["customer"]].append(stretch)
        self._counted: dict[tuple[str, str], set[int]] = {}

    def why(self, event: Event, on: list[Row]) -> str:
        """One sentence; where several items measure the event, of each what differs."""
        if on:
            return f"{on[0]['invoice']} is still a draft"
        key = (event.meter, event.customer)
        meter = self._account.objects.find("billing.meter", event.meter) or REMOVED_METER
        window = meter["event_time_window"]
        if event.position not in self._counting(key, window):
            return "a newer event of its window replaced it"
        said = [
            self._of(stretch, event)
            for stretch in self._ended[key]
            if holds(self._account, stretch | {"is_first": True}, event, window)
        ]
        if any(holds(self._account, stretch, event, window) for stretch in self._open[key]):
            said.append("its period is still open")
        return "; ".join(dict.fromkeys(said)) or "no subscription item measured the meter at its time"

    def _of(self, stretch: Body, event: Event) -> str:
        if "reason" in stretch:
            return str(stretch["reason"])
        if event.position <= stretch["after"]:
            return "it was received before the price that its period ended with"
        if "invoice_item" in stretch:
            if event.position > stretch["until"]:
                return TOO_LATE
            return f"{stretch['invoice_item']} waits for an invoice"
        if stretch["until"] is not None and event.position > stretch["until"]:
            return "the price had changed in its period, and it was received after the period's end"
        invoice = self._account.objects.find("invoice", stretch["invoice"])
        if invoice is None or invoice["status"] == "draft":
            return f"{stretch['invoice']} is still a draft"
        return f"it was received after {stretch['invoice']} was final"

    def _counting(self, key: tuple[str, str], window: str | None) -> set[int]:
        if key not in self._counted:
            events = self._account.ledger.of(*key)
            self._counted[key] = {event.position for event in counted(events, window=window)}
        return self._counted[key]


def _running(account: Account) -> Iterator[Body]:
    """The periods that run now."""
    for subscription in account.objects.all("subscription"):
        if subscription["status"] == "canceled":
            continue
        for item in account.objects.items_of(subscription["id"]):
            stretch = stretch_of(account, subscription, item, end=item["current_period_end"])
            if stretch is not None:
                yield stretch
