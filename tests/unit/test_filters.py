"""Which usage filters take, and when two of them would take the same."""

from itertools import product

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sync.domain.filters import keys_of, overlap, overlap_sentence, read_filters, takes, write_filters
from sync.domain.meters import why_bad_filters

VALUES = ("", "a", "b")
KEYS = ("model", "type")
FILTERS = st.dictionaries(
    st.sampled_from(KEYS), st.lists(st.sampled_from(VALUES), min_size=1, unique=True), max_size=2
)
GROUPS = [dict(zip(KEYS, values, strict=True)) for values in product((*VALUES, "other"), repeat=2)]


class TestOverlap:
    @given(FILTERS, FILTERS)
    def test_is_that_some_event_is_taken_by_both(self, one, other):
        shared = any(takes(one, group) and takes(other, group) for group in GROUPS)
        assert overlap(one, other) == overlap(other, one) == shared

    @given(FILTERS)
    def test_with_everything_is_always(self, one):
        assert overlap(one, {})
        assert overlap(one, one)

    def test_is_said_with_what_the_other_takes(self):
        sentence = overlap_sentence(name="b", other="a", slug="tokens", filters={"type": ["input", ""]})
        assert "type is input or empty" in sentence


class TestTakes:
    @pytest.mark.parametrize(
        ("filters", "group", "taken"),
        [
            ({}, {"type": "input"}, True),
            ({"type": ["input"]}, {"type": "input", "model": "x"}, True),
            ({"type": ["input"]}, {"type": "Input"}, False),
            ({"type": ["input"]}, {}, False),
            ({"type": [""]}, {}, True),
        ],
    )
    def test_goes_by_exact_values(self, filters, group, taken):
        assert takes(filters, group) == taken


def test_keys_are_those_of_all_of_them():
    assert keys_of([{"type": ["a"]}, {}, {"model": ["x"], "type": ["b"]}]) == ["model", "type"]


class TestWhatPeopleWrite:
    @given(st.dictionaries(st.text(), st.lists(st.text(), min_size=1)))
    def test_is_read_as_it_is_shown(self, filters):
        assert read_filters(write_filters(filters)) == filters

    @pytest.mark.parametrize(
        ("text", "filters"),
        [
            ("", {}),
            (
                "type: input, cached input\n\nmodel: a:b",
                {"type": ["input", "cached input"], "model": ["a:b"]},
            ),
            ('{"type": ["a, b", ""]}', {"type": ["a, b", ""]}),
        ],
    )
    def test_is_one_key_a_line_or_json(self, text, filters):
        assert read_filters(text) == filters

    @pytest.mark.parametrize(
        "text", ["type", "type:", ": a", "type: a,", "type: a\ntype: b", '{"type"', "[1]"]
    )
    def test_is_refused_where_it_says_nothing_clear(self, text):
        try:
            problem = why_bad_filters(read_filters(text))
        except ValueError:
            problem = "unreadable"
        assert problem
