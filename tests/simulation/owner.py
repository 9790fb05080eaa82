"""What customers and their supplier do in Stripe and OpenMeter, and a book of it."""

from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

from tests.simulation.account import DAY, Account, Contract, Usage
from tests.simulation.script import Act
from tests.world import World


def at(seconds: int) -> datetime:
    """Return Unix seconds as an instant."""
    return datetime.fromtimestamp(seconds, UTC)


class Owner:
    """Does in the sandbox what customers and their supplier do, and writes it into a book of its own."""

    def __init__(self, world: World) -> None:
        """Begin with nothing."""
        self.world = world
        self.account = Account()
        self.meters: dict[str, dict[str, str]] = {}
        self.customers: dict[str, str] = {}
        self.now = 0
        self.counts: Counter[str] = Counter()

    def go_to(self, instant: int) -> None:
        """It is then, unless it is later already."""
        self.now = max(self.now, instant)
        self.world.at(at(self.now))

    @contextmanager
    def _unhindered(self) -> Iterator[None]:
        """What we do to the two sides ourselves meets none of the faults that wait for the console."""
        waiting = self.world.control.faults()
        if waiting:
            self.world.control.clear_faults()
        yield
        for fault in waiting:
            self.world.control.fault(**fault)

    # --- Stripe --------------------------------------------------------------------------------------------

    def _stripe(self, method: str, path: str, **form: Any) -> dict[str, Any]:
        with self._unhindered():
            return self.world.stripe(method, path, **form)

    def do_switch(self, act: Act) -> None:
        """`switch cancel_at_mid_period discarded`: what Stripe does is not established; here it does this."""
        name, value = act.args
        self.world.control.settings(**{name: value})
        self.account.switches[name] = value

    def do_meter(self, act: Act) -> None:
        """`meter m0 window=hour`: a meter on both sides."""
        name = act.args[0]
        if name not in self.meters:
            with self._unhindered():
                made = self.world.meter(name, window=act.option("window"))
            self.meters[name] = {"id": made.stripe_id, "month": made.price}
            self.account.windows[name] = act.option("window")

    def _price(self, meter: str, interval: str) -> str:
        known = self.meters[meter]
        if interval not in known:
            known[interval] = self._stripe(
                "POST",
                "/prices",
                currency="usd",
                unit_amount=1,
                product_data={"name": meter},
                recurring={"interval": interval, "usage_type": "metered", "meter": known["id"]},
            )["id"]
        return known[interval]

    def do_subscribe(self, act: Act) -> None:
        """`subscribe c0 m0 every=month trial=7 anchor=… back=… mode=classic`: unless it is there."""
        customer, meter = act.args[:2]
        earlier = self.account.contracts_of(customer, meter)
        if meter not in self.meters or any(one.lives_at(self.now) for one in earlier):
            return
        if customer not in self.customers:
            metadata = {"external_key": customer}
            self.customers[customer] = self._stripe("POST", "/customers", name=customer, metadata=metadata)[
                "id"
            ]
        interval, trial = act.option("every", "month"), act.number("trial")
        params: dict[str, Any] = {"trial_period_days": trial} if trial else {}
        if anchor := act.number("anchor"):
            params["billing_cycle_anchor"] = self.now + anchor
        # Two that overlap would bill the same usage twice.
        if back := 0 if earlier else act.number("back"):
            params["backdate_start_date"] = self.now - back
        made = self._stripe(
            "POST",
            "/subscriptions",
            customer=self.customers[customer],
            items=[{"price": (price := self._price(meter, interval))}],
            billing_mode={"type": (mode := act.option("mode", "flexible"))},
            **params,
        )
        trial_end = self.now + trial * DAY if trial else None
        self.account.contracts.append(
            Contract(
                customer=customer,
                meter=meter,
                subscription=made["id"],
                item=made["items"]["data"][0]["id"],
                interval=interval,
                created_at=self.now,
                starts_at=self.now - back,
                trial_ends_at=trial_end,
                anchors=[(self.now - back, self.now + anchor if anchor else trial_end or self.now)],
                price=price,
                mode=mode,
            )
        )

    def _living(self, act: Act) -> Contract | None:
        found = self.account.contracts_of(act.args[0], act.args[1])
        return next((one for one in found if one.lives_at(self.now)), None)

    def do_cancel(self, act: Act) -> None:
        """`cancel c0 m0 when=now|end|<seconds from now> invoice=1`."""
        one = self._living(act)
        if one is None:
            return
        path, when = f"/subscriptions/{one.subscription}", act.option("when", "end")
        if when == "now":
            self._stripe("DELETE", path, invoice_now=act.option("invoice") == "1")
            one.discarded = act.option("invoice") != "1"
            one.ends_at = self.now
            one.surprises.add(self.now)
        elif when == "end":
            made = self._stripe("POST", path, cancel_at_period_end=True)
            one.ends_at = int(made["cancel_at"])
        else:
            one.ends_at, one.end_set_at = self.now + int(when), self.now
            self._stripe("POST", path, cancel_at=one.ends_at)

    def do_keep(self, act: Act) -> None:
        """`keep c0 m0`: a cancellation that was to come is taken back."""
        one = self._living(act)
        if one and one.ends_at is not None:
            self._stripe("POST", f"/subscriptions/{one.subscription}", cancel_at="")
            one.ends_at = one.end_set_at = None

    def do_anchor(self, act: Act) -> None:
        """`anchor c0 m0`: a new period begins now."""
        one = self._living(act)
        if one is None or (one.trial_ends_at or 0) > self.now or one.ends_at is not None:
            return
        if any(period.start == self.now for period in one.periods(self.now)):
            return
        anew = {"type": "now"}
        self._stripe("POST", f"/subscriptions/{one.subscription}", billing_cycle_anchor=anew)
        one.anchors.append((self.now, self.now))
        one.surprises.add(self.now)

    def do_swap(self, act: Act) -> None:
        """`swap c0 m0 to=m1`: the item gets another price, of its meter or another, in mid-period."""
        one, to = self._swappable(act), act.option("to", act.args[1])
        if one is None or to not in self.meters or (to != one.meter and self._lives_on(one.customer, to)):
            return
        price = self._dearer(to, one.interval)
        self._stripe("POST", f"/subscription_items/{one.item}", price=price)
        self._follow(one, "swap" if to == one.meter else "move", meter=to, price=price)

    def do_replace(self, act: Act) -> None:
        """`replace c0 m0`: another item takes the item's place, on the same meter."""
        one = self._swappable(act)
        if one is None:
            return
        price = self._dearer(one.meter, one.interval)
        items = [{"id": one.item, "deleted": True}, {"price": price}]
        made = self._stripe("POST", f"/subscriptions/{one.subscription}", items=items)
        item = made["items"]["data"][0]["id"]
        self._follow(one, "replace", meter=one.meter, price=price, item=item)

    def _swappable(self, act: Act) -> Contract | None:
        """Return the contract, unless something else is about to become of it, or a period begins now."""
        one = self._living(act)
        if one is None or one.ends_at is not None or one.pauses:
            return None
        return None if any(period.start == self.now for period in one.periods(self.now)) else one

    def _lives_on(self, customer: str, meter: str) -> bool:
        return any(one.lives_at(self.now) for one in self.account.contracts_of(customer, meter))

    def _dearer(self, meter: str, interval: str) -> str:
        recurring = {"interval": interval, "usage_type": "metered", "meter": self.meters[meter]["id"]}
        made = self._stripe(
            "POST",
            "/prices",
            currency="usd",
            unit_amount=2,
            product_data={"name": meter},
            recurring=recurring,
        )
        return str(made["id"])

    def _follow(self, one: Contract, how: str, **changes: Any) -> None:
        """The contract is over, and another one goes on in its periods."""
        one.ends_at, one.left = self.now, how
        self.account.contracts.append(
            replace(
                one,
                created_at=self.now,
                starts_at=self.now,
                ends_at=None,
                left="",
                anchors=list(one.anchors),
                pauses=[],
                surprises=set(),
                **changes,
            )
        )

    def do_pause(self, act: Act) -> None:
        """`pause c0 m0`: the subscription is paused, and nothing of it is on an invoice."""
        one = self._living(act)
        if one and (one.trial_ends_at or 0) <= self.now and not (one.pauses and one.pauses[-1][1] is None):
            self.world.control.patch_stripe(one.subscription, status="paused")
            one.pauses.append((self.now, None))

    def do_resume(self, act: Act) -> None:
        """`resume c0 m0`: it goes on."""
        one = self._living(act)
        if one and one.pauses and one.pauses[-1][1] is None:
            self.world.control.patch_stripe(one.subscription, status="active")
            one.pauses[-1] = (one.pauses[-1][0], self.now)

    # --- OpenMeter -----------------------------------------------------------------------------------------

    def do_use(self, act: Act) -> None:
        """`use c0 m0 5 ago=3600`: so much was used so long ago, and OpenMeter learns of it now."""
        customer, meter, amount = act.args[:3]
        if meter not in self.meters:
            return
        used = Usage(customer, meter, self.now - act.number("ago"), Decimal(amount), self.now)
        with self._unhindered():
            self.world.use(customer, used.amount, at(used.at), meter)
        self.account.usage.append(used)

    def do_lose(self, act: Act) -> None:
        """`lose c0 m0 2`: OpenMeter deletes the second-last use of the customer, because it was wrong."""
        mine = [u for u in self.account.usage if (u.customer, u.meter) == (act.args[0], act.args[1])]
        back = int(act.args[2])
        if back <= len(mine):
            self._forget(mine[-back])

    def _forget(self, one: Usage) -> None:
        chosen = {"from": at(one.at).isoformat(), "to": at(one.at + 1).isoformat()}
        with self._unhindered():
            self.world.forget(meter=one.meter, subject=one.customer, **chosen)
        for other in self.account.usage:
            if (other.customer, other.meter, other.at) == (one.customer, one.meter, one.at):
                other.gone_at = other.gone_at or self.now
