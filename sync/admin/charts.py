"""Charts of usage for Chart.js, which unfold ships; each has a table with the same figures beside it."""

import json
from collections.abc import Sequence
from typing import Any

from sync.models import ReconciledDay
from sync.queries.day_sums import Day

GREY = "#7a8496"
"""Legible on white and on black."""


def usage_chart(days: Sequence[Day]) -> dict[str, str]:
    """Return data and options of a chart: what was measured as bars, what was delivered as a line.

    JavaScript's numbers are rounded to some 15 digits: the table beside it has them all.
    """
    return _chart(
        labels=[f"{day.day:%d %b}" for day in days],
        line=("delivered to Stripe", [_number(day.delivered_units) for day in days]),
        bars=("measured by OpenMeter", [_number(day.measured_units) for day in days]),
    )


def sides_chart(days: Sequence[ReconciledDay]) -> dict[str, str]:
    """Return data and options of a chart: what OpenMeter says as bars, what Stripe holds as a line."""
    return _chart(
        labels=[f"{day.day:%d %b}" for day in days],
        line=("Stripe holds", [_number(day.held or 0) for day in days]),
        bars=("used by OpenMeter's word", [_number(day.used) for day in days]),
    )


def _chart(
    *, labels: Sequence[str], line: tuple[str, Sequence[float]], bars: tuple[str, Sequence[float]]
) -> dict[str, str]:
    data = {
        "labels": labels,
        "datasets": [
            {
                "type": "line",
                "label": line[0],
                "data": line[1],
                "borderColor": "var(--color-primary-600)",
                "backgroundColor": "var(--color-primary-600)",
                "borderWidth": 2,
                "pointRadius": 2.5,
            },
            {
                "type": "bar",
                "label": bars[0],
                "data": bars[1],
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
