"""Invoices, their lines and invoice items as Stripe shows them."""

from decimal import Decimal
from typing import Any

from sync.sandbox.stripe.bodies import Body
from sync.sandbox.stripe.ids import new_id
from sync.sandbox.stripe.ledger import plain
from sync.sandbox.stripe.pricing import billable, exact_amounts, whole_amount, whole_quantity

LINES = "_lines"
"""Where a stored invoice keeps its lines; what only the look-alike knows of a line has an underscore."""


def invoice(id_: str, *, subscription: Body, customer: Body, at: int, **fields: Any) -> Body:
    """A draft without lines."""
    details = {
        "metadata": subscription["metadata"],
        "subscription": subscription["id"],
        "subscription_proration_date": None,
    }
    return {
        "id": id_,
        "object": "invoice",
        "created": at,
        "livemode": False,
    } | dict(
        account_country="US",
        account_name="Sandbox",
        account_tax_ids=None,
        amount_overpaid=0,
        amount_paid=0,
        amount_shipping=0,
        application=None,
        attempt_count=0,
        attempted=False,
        automatic_tax={
            "disabled_reason": None,
            "enabled": False,
            "liability": None,
            "provider": None,
            "status": None,
        },
        collection_method=subscription["collection_method"],
        currency=subscription["currency"],
        custom_fields=None,
        customer=subscription["customer"],
        customer_account=None,
        customer_address=customer.get("address"),
        customer_email=customer.get("email"),
        customer_name=customer.get("name"),
        customer_phone=customer.get("phone"),
        customer_shipping=None,
        customer_tax_exempt=customer.get("tax_exempt", "none"),
        customer_tax_ids=[],
        default_payment_method=None,
        default_source=None,
        default_tax_rates=[],
        description=None,
        discounts=[],
        due_date=None,
        effective_at=None,
        ending_balance=None,
        footer=None,
        from_invoice=None,
        hosted_invoice_url=None,
        invoice_pdf=None,
        issuer={"type": "self"},
        last_finalization_error=None,
        latest_revision=None,
        metadata={},
        next_payment_attempt=None,
        number=None,
        on_behalf_of=None,
        parent={"quote_details": None, "subscription_details": details, "type": "subscription_details"},
        payment_settings={
            "default_mandate": None,
            "payment_method_options": None,
            "payment_method_types": None,
        },
        post_payment_credit_notes_amount=0,
        pre_payment_credit_notes_amount=0,
        receipt_number=None,
        rendering=None,
        shipping_cost=None,
        shipping_details=None,
        starting_balance=0,
        statement_descriptor=None,
        status="draft",
        status_transitions={
            "finalized_at": None,
            "marked_uncollectible_at": None,
            "paid_at": None,
            "voided_at": None,
        },
        test_clock=None,
        threshold_reason=None,
        total_discount_amounts=[],
        total_pretax_credit_amounts=[],
        total_taxes=[],
        webhooks_delivered_at=at,
        _subscription=subscription["id"],
        **fields,
    )


def with_lines(body: Body, lines: list[Body]) -> Body:
    """The invoice with these lines and what they add up to."""
    total = sum(line["amount"] for line in lines)
    due = max(total, 0)
    return body | {
        LINES: lines,
        "amount_due": due,
        "amount_remaining": due - body["amount_paid"],
        "subtotal": total,
        "subtotal_excluding_tax": total,
        "total": total,
        "total_excluding_tax": total,
    }


def line(
    invoice_id: str | None,
    *,
    subscription: str,
    item: str,
    price: Body,
    period: tuple[int, int],
    invoice_item: str | None = None,
) -> Body:
    """A line of nothing yet: `measured` says how much."""
    return {
        "id": new_id("il_"),
        "object": "line_item",
        "currency": price["currency"],
        "description": price["nickname"],
        "discount_amounts": [],
        "discountable": True,
        "discounts": [],
        "invoice": invoice_id,
        "livemode": False,
        "metadata": {},
        "parent": {
            "invoice_item_details": None,
            "subscription_item_details": {
                "invoice_item": invoice_item,
                "proration": False,
                "proration_details": {"credited_items": None},
                "subscription": subscription,
                "subscription_item": item,
            },
            "type": "subscription_item_details",
        },
        "period": {"start": period[0], "end": period[1]},
        "pretax_credit_amounts": [],
        "pricing": _pricing(price),
        "subscription": subscription,
        "taxes": [],
        "_price": price["id"],
        "_positions": [],
    }


def measured(
    body: Body, price: Body, quantity: Decimal, *, positions: list[int], by_tier: bool = False
) -> Body:
    """The line or invoice item for so many units. What is negative bills nothing.

    `by_tier`: every graduated tier that is reached is shown, and rounded, as a line of its own.
    """
    units = billable(quantity)
    parts = exact_amounts(price, units)
    exact = sum((amount for _, amount in parts), Decimal(0))
    tiers = [_amounts(part, amount) for part, amount in parts] if by_tier and len(parts) > 1 else []
    amount = sum(tier["amount"] for tier in tiers) if tiers else whole_amount(exact)
    return (
        body
        | _amounts(units, exact)
        | {
            "amount": amount,
            "_exact_amount": plain(exact),
            "_measured": plain(quantity),
            "_positions": positions,
            "_tiers": tiers,
            ("net_amount" if body["object"] == "invoiceitem" else "subtotal"): amount,
        }
    )


def shown_lines(invoice: Body) -> list[Body]:
    """The lines of an invoice as the API lists them."""
    return [part for line in invoice[LINES] for part in _parts(line)]


def _parts(line: Body) -> list[Body]:
    if not line["_tiers"]:
        return [line]
    return [
        line | tier | {"id": f"{line['id']}{number or ''}", "subtotal": tier["amount"]}
        for number, tier in enumerate(line["_tiers"])
    ]


def _amounts(units: Decimal, exact: Decimal) -> Body:
    return {
        "amount": whole_amount(exact),
        "quantity": whole_quantity(units),
        "quantity_decimal": plain(units),
    }


def invoice_item(*, subscription: Body, item: str, price: Body, period: tuple[int, int], at: int) -> Body:
    """An invoice item of nothing yet, which waits for the next invoice of its subscription."""
    return {
        "id": new_id("ii_"),
        "object": "invoiceitem",
        "currency": price["currency"],
        "customer": subscription["customer"],
        "customer_account": None,
        "date": at,
        "description": price["nickname"],
        "discountable": True,
        "discounts": [],
        "invoice": None,
        "livemode": False,
        "metadata": {},
        "parent": {
            "subscription_details": {"subscription": subscription["id"], "subscription_item": item},
            "type": "subscription_details",
        },
        "period": {"start": period[0], "end": period[1]},
        "pricing": _pricing(price),
        "proration": False,
        "proration_details": None,
        "tax_rates": [],
        "test_clock": None,
        "_subscription": subscription["id"],
        "_item": item,
        "_price": price["id"],
    }


def _pricing(price: Body) -> Body:
    return {
        "price_details": {"price": price["id"], "product": price["product"]},
        "type": "price_details",
        "unit_amount_decimal": price["unit_amount_decimal"],
    }
