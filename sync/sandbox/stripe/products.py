"""/v1/products"""

from sync.sandbox.stripe.errors import invalid
from sync.sandbox.stripe.ids import new_id
from sync.sandbox.stripe.objects import Body, merge_metadata
from sync.sandbox.stripe.operations import Call, Operation, new_object, pick
from sync.sandbox.stripe.paging import page
from sync.sandbox.stripe.shapes import (
    Flag,
    Kind,
    ListOf,
    Range,
    StringMap,
    Text,
    group,
    listing,
    shape,
    within,
)

EDITABLE: dict[str, Kind] = {
    "active": Flag(),
    "description": Text(),
    "name": Text(),
    "statement_descriptor": Text(22),
    "unit_label": Text(12),
    "url": Text(),
}
CREATE = shape(id=Text(), metadata=StringMap(), **EDITABLE).needing("name")
UPDATE = shape(metadata=StringMap(), **EDITABLE)
LIST = listing(active=Flag(), created=Range(), ids=ListOf(Text()))


def create(call: Call) -> Body:
    """A new product, under the given id if there is one."""
    id_ = call.params.get("id") or new_id("prod_")
    if call.objects.find("product", id_):
        message = f"Product already exists: {id_}"
        raise invalid(message, "id", code="resource_already_exists")
    return call.objects.save(build(call, id_, call.params))


def build(call: Call, id_: str, params: Body) -> Body:
    """A product's body with Stripe's defaults."""
    return new_object(
        "product",
        id_,
        at=call.at,
        active=params.get("active", True),
        default_price=None,
        description=params.get("description"),
        images=[],
        marketing_features=[],
        metadata=merge_metadata(None, params.get("metadata")),
        name=params["name"],
        package_dimensions=None,
        shippable=None,
        statement_descriptor=params.get("statement_descriptor"),
        tax_code=None,
        type="service",
        unit_label=params.get("unit_label"),
        updated=call.at,
        url=params.get("url"),
    )


def retrieve(call: Call) -> Body:
    """The product."""
    return call.objects.get("product", call.path("id"))


def update(call: Call) -> Body:
    """The product with the given fields changed."""
    product = retrieve(call)
    changes = pick(call.params, *EDITABLE)
    if "metadata" in call.params:
        changes["metadata"] = merge_metadata(product["metadata"], call.params["metadata"])
    return call.objects.save(product | changes | {"updated": call.at})


def list_products(call: Call) -> Body:
    """Products, newest first."""
    params = call.params
    rows = [
        product
        for product in call.objects.all("product")
        if params.get("active", product["active"]) == product["active"]
        and within(params.get("created"), product["created"])
        and product["id"] in (params.get("ids") or [product["id"]])
    ]
    return page(rows, params, url=call.url)


def delete(call: Call) -> Body:
    """The product is gone; with prices it is refused, as Stripe does."""
    product = retrieve(call)
    if any(price["product"] == product["id"] for price in call.objects.all("price")):
        message = "This product cannot be deleted because it has one or more user-created prices."
        raise invalid(message, "id")
    call.objects.delete(product)
    return {"id": product["id"], "object": "product", "deleted": True}


OPERATIONS = [
    Operation("POST", "/v1/products", create, CREATE),
    Operation("GET", "/v1/products", list_products, LIST),
    Operation("GET", "/v1/products/{id}", retrieve, shape()),
    Operation("POST", "/v1/products/{id}", update, UPDATE),
    Operation("DELETE", "/v1/products/{id}", delete, group()),
]
