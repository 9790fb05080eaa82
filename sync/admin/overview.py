"""The first page: is reporting current, what needs a person, what was used."""

from collections.abc import Iterable, Sequence
from datetime import timedelta
from typing import Any

from django.contrib import admin
from django.db import models
from django.http import HttpRequest
from django.urls import reverse
from django.utils import timezone

from sync.admin.charts import usage_chart
from sync.admin.chips import DAYS, REPORTS
from sync.admin.dialogs.dialog import Place
from sync.admin.formats import units
from sync.admin.links import list_url
from sync.conf import load_config
from sync.models import Customer, Meter, ReportRun, UsageReport
from sync.queries.attention import Waiting
from sync.queries.day_sums import Day, DayState
from sync.queries.meter_days import MeterDays, busiest
from sync.queries.overview import Overview
from sync.queries.overview import overview as ask

MOST_CHARTS = 6
TITLES = {
    UsageReport.Status.HELD: ("Held", "They look wrong, so they were not sent."),
    UsageReport.Status.LATE: ("Late", "Their billing period had closed already."),
    UsageReport.Status.REJECTED: ("Refused", "Stripe would not take them."),
    UsageReport.Status.UNKNOWN: ("Unknown", "Nobody knows whether they arrived."),
}


def overview(request: HttpRequest, context: dict[str, Any]) -> dict[str, Any]:
    """Return the index page's context with what this person may see of the overview."""
    now = timezone.now()
    seen = ask(now=now, may_see=lambda model: request.user.has_perm(f"sync.view_{model}"))
    tiles = _tiles(seen)
    return context | {
        "title": "Overview",
        "overview": seen,
        "now": now,
        "sees_nothing": seen.waiting is None and seen.runs is None and seen.closing is None,
        "steps": None if seen.steps.usage_reported else _steps(request, seen),
        "buttons": _buttons(request),
        "tiles": tiles,
        "something_open": bool(seen.open_findings) or any(tile["count"] for tile in tiles),
        "grid": [_grid_row(row) for row in seen.days or ()],
        "symbols": [(state, DAYS[state]) for state in reversed(DayState)],
        "charts": _charts(seen.days or ()),
    }


# --- what needs a person -----------------------------------------------------------------------------------


def _tiles(seen: Overview) -> list[dict[str, Any]]:
    tiles = [_waiting_tile(one) for one in seen.waiting or ()]
    if seen.silent_customers is not None:
        tiles.append(
            {
                "title": "Not linked",
                "icon": "link_off",
                "count": seen.silent_customers,
                "what": "customer" if seen.silent_customers == 1 else "customers",
                "hint": "OpenMeter never saw usage of theirs.",
                "url": list_url(Customer, linked="never"),
            }
        )
    return tiles


def _waiting_tile(one: Waiting) -> dict[str, Any]:
    title, hint = TITLES[UsageReport.Status(one.status)]
    return {
        "title": title,
        "icon": REPORTS[one.status][2],
        "count": one.count,
        "what": "report" if one.count == 1 else "reports",
        "hint": hint,
        "money": one.money,
        "unpriced": one.unpriced,
        "url": list_url(UsageReport, status__exact=one.status, waits="person"),
    }


# --- days --------------------------------------------------------------------------------------------------


def _grid_row(row: MeterDays) -> dict[str, Any]:
    return {"meter": row.meter, "cells": [_cell(row.meter, day) for day in row.days]}


def _cell(meter: Meter, day: Day) -> dict[str, Any]:
    parts = [(day.delivered, "delivered"), (day.waiting, "waiting"), (day.failed, "failed")]
    counted = [f"{count:,} {word}" for count, word in parts if count]
    if day.state is DayState.DISMISSED:
        counted.append(f"{units(day.missing_units)} units dismissed, so not billed")
    says = ", ".join(counted) or "nothing used"
    return {
        "day": day.day,
        "kind": day.state.name.lower(),
        "symbol": DAYS[day.state],
        "label": f"{meter.slug}, {day.day:%Y-%m-%d}: {says}",
        "url": _day_url(meter, day) if day.state is not DayState.NOTHING else "",
    }


def _day_url(meter: Meter, day: Day) -> str:
    return list_url(
        UsageReport,
        enrolment__meter__id__exact=meter.pk,
        slice_start__gte=f"{day.day:%Y-%m-%d} 00:00:00+00:00",
        slice_start__lt=f"{day.day + timedelta(days=1):%Y-%m-%d} 00:00:00+00:00",
    )


def _charts(rows: Iterable[MeterDays]) -> list[dict[str, Any]]:
    shown: Sequence[MeterDays] = busiest(rows)[:MOST_CHARTS]
    return [{"meter": row.meter, "days": row.days, "chart": usage_chart(row.days)} for row in shown]


# --- what can be done from here ----------------------------------------------------------------------------


def _buttons(request: HttpRequest) -> list[dict[str, str]]:
    return [*_dialogs(request, ReportRun, "report", "sync")]


def _dialogs(request: HttpRequest, model: type[models.Model], *names: str) -> Iterable[dict[str, str]]:
    """Yield button and address of a page's dialogs of these names, where this person may use them."""
    page = admin.site._registry[model]  # noqa: SLF001 - the only way from a model to its page
    opts = model._meta  # noqa: SLF001 - Django's documented way to a model's names
    for dialog in getattr(page, "dialogs", ()):
        usable = dialog.name in names and Place.LIST in dialog.places
        if usable and request.user.has_perm(dialog.permission):
            address = reverse(f"admin:{opts.app_label}_{opts.model_name}_{dialog.name}")
            yield {"title": dialog.button, "icon": dialog.icon, "url": address}


def _steps(request: HttpRequest, seen: Overview) -> list[dict[str, Any]]:
    """Return the first steps, each with whether it is done and how to do it from here."""
    config, steps = load_config(), seen.steps
    return [
        {
            "title": "Connect Stripe and OpenMeter",
            "done": bool(config.stripe_key),
            "text": "Write STRIPE_KEY and OPENMETER_URL into .env beside manage.py (or into the environment) "
            "and start the console again. A test key bills nobody.",
            "buttons": [],
        },
        {
            "title": "Run Stripe set-up",
            "done": steps.meter_tied,
            "text": "It creates a meter, a product and a price in Stripe, and ties the meter to OpenMeter's. "
            "What is there already is found and kept.",
            "buttons": list(_dialogs(request, Meter, "set_up")),
        },
        {
            "title": "Sync with Stripe",
            "done": steps.stripe_read and steps.somebody_subscribed,
            "text": "It reads customers, subscriptions, prices and meters. Nothing is changed in Stripe.",
            "buttons": list(_dialogs(request, ReportRun, "sync")),
        },
        {
            "title": "Report usage",
            "done": steps.usage_reported,
            "text": "The dialog shows what would be billed before anything is sent. Afterwards a "
            "background worker repeats it every five minutes.",
            "buttons": list(_dialogs(request, ReportRun, "report")),
        },
    ]
