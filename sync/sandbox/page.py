"""The page at /: what time it is in the sandbox, and what each customer has on each meter."""

from collections.abc import Awaitable, Callable, Iterable, Sequence
from html import escape

from starlette.requests import Request
from starlette.responses import HTMLResponse, Response

from sync.sandbox import openmeter, stripe

STYLE = """
:root { color-scheme: light dark; --ink: #1c2024; --paper: #fcfcfb; --line: #d8dadd; --soft: #60666d; }
@media (prefers-color-scheme: dark) {
  :root { --ink: #e8eaec; --paper: #16181b; --line: #363a40; --soft: #9ba1a8; }
}
body { margin: 2rem auto; max-width: 60rem; padding: 0 1rem; color: var(--ink); background: var(--paper);
  font: 16px/1.5 system-ui, sans-serif; }
h1 { font-size: 1.5rem; } h2 { font-size: 1.15rem; margin-top: 2.5rem; }
table { border-collapse: collapse; width: 100%; }
th, td { text-align: left; padding: .4rem .8rem .4rem 0; border-bottom: 1px solid var(--line); }
th { color: var(--soft); font-weight: 500; }
.number { text-align: right; font-variant-numeric: tabular-nums; }
p.empty, p.clock { color: var(--soft); }
code { font: .9em ui-monospace, monospace; }
"""

NOTHING_IN_STRIPE = (
    "Nothing was reported to Stripe yet. Create a meter, a product, a price, a customer and a subscription "
    "under <code>/stripe/v1</code>, then post meter events, or let the console report for you."
)
NOTHING_IN_OPENMETER = (
    "OpenMeter has measured nothing yet. Create a meter under <code>/openmeter/api/v1/meters</code> and send "
    "events to <code>/openmeter/api/v1/events</code>."
)


def endpoint(account: stripe.Account) -> Callable[[Request], Awaitable[Response]]:
    """The handler of the page."""

    async def show(_: Request) -> Response:
        return HTMLResponse(_document(account))

    return show


def _document(account: stripe.Account) -> str:
    clock = account.world.clock
    now = clock.now().strftime("%Y-%m-%d %H:%M:%S UTC")
    return f"""<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>Sandbox</title>
<style>{STYLE}</style>
</head>
<body>
<h1>Sandbox of Stripe and OpenMeter</h1>
<p class="clock">It is {escape(now)} here (clock: {escape(clock.mode)}). Nothing on this page is real.</p>
<h2>Stripe: usage by customer and meter</h2>
{_stripe_table(account)}
<h2>OpenMeter: usage by subject and meter</h2>
<p>All events, also those from before a subscription or in an hour that is not over: Stripe holds less.</p>
{_openmeter_table(account)}
</body>
</html>
"""


def _stripe_table(account: stripe.Account) -> str:
    rows = [
        (_name(account, row["customer"]), row["customer"], row["event_name"], row["events"], row["total"])
        for row in stripe.total_rows(account, customer=None, meter=None)
    ]
    return _table(("Customer", "Id", "Meter", "Events", "Total"), rows, empty=NOTHING_IN_STRIPE)


def _name(account: stripe.Account, customer_id: str) -> str:
    customer = account.objects.find("customer", customer_id)
    if customer is None or customer.get("deleted"):
        return "(deleted)"
    return customer["name"] or customer["email"] or "(no name)"


def _openmeter_table(account: stripe.Account) -> str:
    rows = [
        (row["subject"], row["meter"], row["events"], row["total"])
        for row in openmeter.usage_totals(account.world)
    ]
    return _table(("Subject", "Meter", "Events", "Total"), rows, empty=NOTHING_IN_OPENMETER)


def _table(heads: Sequence[str], rows: Iterable[Sequence[object]], *, empty: str) -> str:
    """A table whose last two columns are numbers, or the sentence for when there is nothing."""
    first_number = len(heads) - 2
    body = "".join(f"<tr>{_cells('td', row, first_number)}</tr>\n" for row in rows)
    if not body:
        return f'<p class="empty">{empty}</p>'
    head = f"<thead><tr>{_cells('th', heads, first_number)}</tr></thead>"
    return f"<table>\n{head}\n<tbody>\n{body}</tbody>\n</table>"


def _cells(tag: str, values: Sequence[object], first_number: int) -> str:
    return "".join(
        f'<{tag} class="{"number" if position >= first_number else "text"}">{escape(str(value))}</{tag}>'
        for position, value in enumerate(values)
    )
