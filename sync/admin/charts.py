"""Charts of usage for Chart.js, which unfold ships; each has a table with the same figures beside it."""

import json
from collections.abc import Sequence
from typing import Any

from sync.queries.day_sums import Day

GREY = "#7a8496"
"""Legible on white and on black."""


def usage_chart(days: Sequence[Day]) -> dict[str, str]:
    """Return data and options of a chart: what was measured as bars, what was delivered as a line.

    JavaScript's numbers are rounded to some 15 digits: the table beside it has them all.
    """
    data = {
        "labels": [f"{day.day:%d %b}" for day in days],
        "datasets": [
            {
                "type": "line",
                "label": "delivered to Stripe",
                "data": [_number(day.delivered_units) for day in days],
                "borderColor": "var(--color-primary-600)",
                "backgroundColor": "var(--color-primary-600)",
                "borderWidth": 2,
                "pointRadius": 2.5,
            },
            {
                "type": "bar",
                "label": "measured by OpenMeter",
                "data": [_number(day.measured_units) for day in days],
                "backgroundColor": "rgba(148, 163, 184, .55)",
                "borderRadius": 3,
                "maxBarThickness": 18,
            },
        ],
    }
    return {"data": json.dumps(data), "options": json.dumps(_OPTIONS)}


def _number(quantity: Any) -> float:
    return float(quantity)


_OPTIONS: dict[str, Any] = {
    "animation": False,
    "responsive": True,
    "maintainAspectRatio": False,
    "interaction": {"mode": "index", "intersect": False},
    "plugins": {
        "legend": {
            "align": "end",
            "labels": {"color": GREY, "boxWidth": 14, "boxHeight": 8, "padding": 12},
        },
        "tooltip": {"enabled": True},
    },
    "scales": {
        "x": {
            "grid": {"display": False},
            "border": {"display": False},
            "ticks": {"color": GREY, "maxRotation": 0, "autoSkip": True, "autoSkipPadding": 16},
        },
        "y": {
            "beginAtZero": True,
            "grid": {"drawTicks": False},
            "border": {"display": False},
            "ticks": {"color": GREY, "maxTicksLimit": 5, "padding": 8},
        },
    },
}
