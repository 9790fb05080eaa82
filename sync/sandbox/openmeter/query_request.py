"""Reading a meter query: GET's parameters become POST's body, and one reader checks both."""

import datetime as dt
from typing import Any

from starlette.datastructures import QueryParams

from sync.sandbox.openmeter.answers import bad_request
from sync.sandbox.openmeter.customers import subjects_of_customers
from sync.sandbox.openmeter.fields import Fields
from sync.sandbox.openmeter.meters import Meter
from sync.sandbox.openmeter.params import parse_body
from sync.sandbox.openmeter.query import MeterQuery
from sync.sandbox.openmeter.text_filters import TextFilter, text_filter
from sync.sandbox.openmeter.windows import SIZES, Windows, zone_named
from sync.sandbox.store import Store

MOST_ITEMS = 100
CLIENT_ID_LENGTH = 36
SINGLE_PARAMS = ("from", "to", "windowSize", "windowTimeZone", "clientId")
REPEATED_PARAMS = ("subject", "filterCustomerId", "groupBy")


def body_of_params(params: QueryParams) -> dict[str, Any]:
    """GET's query string as the body that asks for the same."""
    body: dict[str, Any] = {}
    for name in SINGLE_PARAMS:
        values = params.getlist(name)
        if len(values) > 1:
            raise bad_request(detail=f"{name} was sent more than once")
        if values:
            body[name] = values[0]
    body |= {name: params.getlist(name) for name in REPEATED_PARAMS if name in params}
    filters = {
        name.removeprefix("filterGroupBy[").removesuffix("]"): [value]
        for name, value in params.multi_items()
        if name.startswith("filterGroupBy[") and name.endswith("]")
    }
    if filters:
        body["filterGroupBy"] = filters
    if "advancedMeterGroupByFilters" in params:
        body["advancedMeterGroupByFilters"] = parse_body(params["advancedMeterGroupByFilters"].encode())
    return body


def read_query(body: Any, *, meter: Meter, store: Store, most_items: int | None) -> MeterQuery:
    """The query that this body asks of this meter. What breaks a rule is a 400, an unknown customer a 404.

    `most_items` limits subjects and groups: POST's lists are limited, GET's repeated parameters are not.
    """
    fields = Fields(body)
    fields.optional_text("clientId", longest=CLIENT_ID_LENGTH)
    start, end = _period(fields)
    windows = _windows(fields)
    subjects = fields.texts("subject", most=most_items)
    customer_ids = fields.texts("filterCustomerId", most=MOST_ITEMS)
    group_by = set(fields.texts("groupBy", most=most_items) or ())
    # Filtering by subject or customer groups by it as well.
    group_by |= {"subject"} if subjects is not None else set()
    group_by |= {"customer_id"} if customer_ids else set()
    _check_group_by(group_by, meter, customer_ids)
    return MeterQuery(
        start=start,
        end=end,
        windows=windows,
        subjects=frozenset(subjects or ()),
        customers=subjects_of_customers(store, customer_ids) if customer_ids else None,
        group_by=tuple(sorted(group_by)),
        filters=_filters(fields, meter),
    )


def _period(fields: Fields) -> tuple[dt.datetime | None, dt.datetime | None]:
    start, end = fields.instant("from"), fields.instant("to")
    # Nothing else is checked: bounds inside a window are taken, and the row looks whole (it is not).
    if start is not None and end is not None:
        if start == end:
            raise bad_request(detail="from and to cannot be equal")
        if start > end:
            raise bad_request(detail="from must be before to")
    return start, end


def _windows(fields: Fields) -> Windows | None:
    name = fields.value("windowTimeZone")
    if name is not None and not isinstance(name, str):
        raise bad_request(detail="windowTimeZone must be a string")
    try:
        zone = zone_named(name or "UTC")
    except ValueError as error:
        raise bad_request(detail=f"invalid time zone: {error}") from error
    return Windows(fields.choice("windowSize", SIZES), zone) if fields.has("windowSize") else None


def _check_group_by(group_by: set[str], meter: Meter, customer_ids: list[str] | None) -> None:
    for key in sorted(group_by - {"subject", "customer_id"} - meter.groups.keys()):
        raise bad_request(detail=f"invalid group by: {key}")
    if "customer_id" in group_by and not customer_ids:
        raise bad_request(detail="grouping by customer_id needs filterCustomerId")


def _filters(fields: Fields, meter: Meter) -> dict[str, TextFilter]:
    simple = fields.object("filterGroupBy") or {}
    advanced = fields.object("advancedMeterGroupByFilters") or {}
    if simple and advanced:
        raise bad_request(detail="filterGroupBy and advancedMeterGroupByFilters cannot be used together")
    stated = {key: {"$in": values} for key, values in simple.items()} | advanced
    for key in stated.keys() - meter.groups.keys():
        raise bad_request(detail=f"invalid group by filter: {key}")
    filters = {key: text_filter(document, key) for key, document in stated.items()}
    return {key: accepts for key, accepts in filters.items() if accepts is not None}
