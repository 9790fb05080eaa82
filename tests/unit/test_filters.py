"""Which usage filters take, and when two of them would take the same."""

from itertools import product

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sync.domain.filters import keys_of, overlap, overlap_sentence, takes

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
