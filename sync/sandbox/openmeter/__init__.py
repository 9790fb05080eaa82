"""A look-alike of OpenMeter's v1 API, as far as billing needs it.

It behaves as the server's code does where that differs from the published spec. Given a `World` it
keeps all it knows in the world's store and needs nothing else.
"""

from typing import Any

from starlette.middleware import Middleware
from starlette.routing import BaseRoute, Mount, Router

from sync.sandbox.openmeter.answers import problem_app
from sync.sandbox.openmeter.control import ControlRoutes, totals_by_subject
from sync.sandbox.openmeter.customer_routes import CustomerRoutes
from sync.sandbox.openmeter.event_routes import EventRoutes
from sync.sandbox.openmeter.gate import Gate
from sync.sandbox.openmeter.meter_routes import MeterRoutes
from sync.sandbox.world import World

__all__ = ["control_routes", "routes", "usage_totals"]


def routes(world: World) -> list[BaseRoute]:
    """Everything under /api: an unknown path there is OpenMeter's own 404, not the sandbox's."""
    v1 = [*MeterRoutes(world).routes(), *EventRoutes(world).routes(), *CustomerRoutes(world).routes()]
    # The real router knows no redirects: with a slash behind it a path is another path, and unknown.
    v1_app = Router(v1, redirect_slashes=False)
    api = problem_app([Mount("/v1", app=v1_app)], middleware=[Middleware(Gate, world=world)])
    return [Mount("/api", app=api)]


def control_routes(world: World) -> list[BaseRoute]:
    """/openmeter/forget and /openmeter/usage, for the sandbox's control."""
    return [Mount("/openmeter", app=problem_app(ControlRoutes(world).routes()))]


def usage_totals(world: World) -> list[dict[str, Any]]:
    """One entry per live meter and subject with events: meter (slug), subject, events, total (exact text)."""
    return totals_by_subject(world.store)
