"""A preview that comes back from the browser as it went: signed, for one person, for a while."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict
from datetime import datetime, timedelta
from decimal import Decimal
from typing import Any

from django.core import signing

from sync.domain.pricing import Money
from sync.domain.stake import Stake
from sync.operations.preview_report import PreviewLine, ReportPreview
from sync.queries.planning import Scope

KEPT = timedelta(hours=1)
"""How long a preview may be confirmed: usage that came late since then should be seen."""
_SALT = "sync.report-preview.2"
"""Names what is sealed: one from before an update, which lacks something, is out of date."""


def seal(preview: ReportPreview, *, scope: Scope, who: str) -> str:
    """Return the preview as text that nobody can change, for this person and this scope."""
    return signing.dumps([_owner(scope, who), _plain(preview)], salt=_SALT, compress=True)


def unseal(text: str, *, scope: Scope, who: str) -> ReportPreview | None:
    """Return the sealed preview, or None: it is too old, was changed, or is of another person or scope."""
    try:
        owner, data = signing.loads(text, salt=_SALT, max_age=KEPT)
    except signing.BadSignature:
        return None
    return _preview(data) if owner == _owner(scope, who) else None


def _owner(scope: Scope, who: str) -> list[Any]:
    return [who, scope.customer, scope.meter, sorted(scope.subscriptions)]


def _plain(preview: ReportPreview) -> dict[str, Any]:
    return asdict(preview) | {
        "as_of": preview.as_of.isoformat(),
        "units": {meter: str(units) for meter, units in preview.units.items()},
        "amounts": _amounts(preview.amounts),
        "stake": _plain_stake(preview.stake),
        "lines": [
            [
                line.customer,
                line.meter,
                line.start.isoformat(),
                line.end.isoformat(),
                str(line.units),
                _amounts(line.amounts),
            ]
            for line in preview.lines
        ],
    }


def _preview(data: Mapping[str, Any]) -> ReportPreview:
    return ReportPreview(
        **{
            **data,
            "as_of": datetime.fromisoformat(data["as_of"]),
            "units": {meter: Decimal(units) for meter, units in data["units"].items()},
            "amounts": _money(data["amounts"]),
            "stake": _stake(data["stake"]),
            "lines": [
                PreviewLine(
                    customer=customer,
                    meter=meter,
                    start=datetime.fromisoformat(start),
                    end=datetime.fromisoformat(end),
                    units=Decimal(units),
                    amounts=_money(amounts),
                )
                for customer, meter, start, end, units, amounts in data["lines"]
            ],
        }
    )


def _plain_stake(stake: Stake) -> dict[str, Any]:
    return {
        "more": _amounts(stake.more),
        "less": _amounts(stake.less),
        "unpriced": {meter: str(units) for meter, units in stake.unpriced.items()},
    }


def _stake(data: Mapping[str, Any]) -> Stake:
    return Stake(
        more=_money(data["more"]),
        less=_money(data["less"]),
        unpriced={meter: Decimal(units) for meter, units in data["unpriced"].items()},
    )


def _amounts(amounts: Sequence[Money]) -> list[list[str]]:
    return [[str(money.minor), money.currency] for money in amounts]


def _money(amounts: Sequence[Sequence[str]]) -> list[Money]:
    return [Money(Decimal(minor), currency) for minor, currency in amounts]
