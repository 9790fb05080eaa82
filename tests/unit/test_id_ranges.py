"""Ids as short text."""

from hypothesis import given
from hypothesis import strategies as st

from sync.domain.id_ranges import as_ranges, from_ranges


class TestIdRanges:
    def test_are_short_where_ids_follow_one_another(self):
        assert as_ranges([3, 1, 2, 7, 7, 9]) == "1-3,7,9"
        assert as_ranges([]) == ""

    @given(st.lists(st.integers(min_value=1, max_value=60)))
    def test_are_read_as_they_were_written(self, ids):
        assert from_ranges(as_ranges(ids)) == set(ids)
