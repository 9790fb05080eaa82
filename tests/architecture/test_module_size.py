"""Modules stay small enough to be read at one sitting, and none is a drawer for everything."""

from pathlib import Path

ROOT = Path(__file__).parents[2]
MOST_LINES = 300
DRAWERS = {"utils", "util", "helpers", "misc", "common"}
MODULES = sorted(
    path.relative_to(ROOT)
    for package in ("billing_console", "sync", "benchmarks")
    for path in (ROOT / package).rglob("*.py")
    if "migrations" not in path.parts
)


def test_there_is_something_to_look_at():
    assert len(MODULES) > 50


def test_modules_are_short():
    lengths = {str(module): len((ROOT / module).read_text().splitlines()) for module in MODULES}
    assert {name: lines for name, lines in lengths.items() if lines > MOST_LINES} == {}


def test_modules_are_named_for_what_they_do():
    assert [str(module) for module in MODULES if DRAWERS & set(module.with_suffix("").parts)] == []
