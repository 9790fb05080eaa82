"""What the control API and the page show of the accepted meter events, and no Stripe would."""

from typing import Any

from sync.sandbox.stripe.ledger import Event, aggregate, counted, plain
from sync.sandbox.stripe.objects import Body
from sync.sandbox.stripe.operations import Account


def event_rows(account: Account, *, customer: str | None, event_name: str | None) -> list[dict[str, Any]]:
    """The accepted events of a customer or an event name, or all, in order of receipt."""
    rows: list[tuple[int, dict[str, Any]]] = []
    for meter_id, of_customer in account.ledger.enrolments():
        if customer not in (None, of_customer):
            continue
        events = account.ledger.of(meter_id, of_customer)
        counting = {event.position for event in _counted(account, meter_id, events)}
        rows += [
            (event.position, _row(event, counts=event.position in counting))
            for event in events
            if event_name in (None, event.event_name)
        ]
    return [row for _, row in sorted(rows, key=lambda pair: pair[0])]


def total_rows(account: Account, *, customer: str | None, meter: str | None) -> list[dict[str, Any]]:
    """What each customer has on each meter over all time; `meter` is an id or an event name."""
    rows = []
    for meter_id, of_customer in account.ledger.enrolments():
        events = account.ledger.of(meter_id, of_customer)
        event_name = events[0].event_name
        if customer not in (None, of_customer) or meter not in (None, meter_id, event_name):
            continue
        formula = _meter(account, meter_id)["default_aggregation"]["formula"]
        total = aggregate(_counted(account, meter_id, events), formula=formula)
        rows.append(
            {
                "customer": of_customer,
                "event_name": event_name,
                "events": len(events),
                "meter": meter_id,
                "total": plain(total),
            }
        )
    return sorted(rows, key=lambda row: (row["event_name"], row["customer"]))


def _counted(account: Account, meter_id: str, events: Any) -> list[Event]:
    return counted(events, window=_meter(account, meter_id)["event_time_window"])


def _meter(account: Account, meter_id: str) -> Body:
    # A meter that the control API removed leaves its events behind; they are shown as plain sums.
    removed = {"default_aggregation": {"formula": "sum"}, "event_time_window": None}
    return account.objects.find("billing.meter", meter_id) or removed


def _row(event: Event, *, counts: bool) -> dict[str, Any]:
    row = event.as_dict() | {"counted": counts}
    del row["position"], row["meter"]
    return row
