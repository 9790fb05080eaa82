"""The list of deliberate faults fits the sources: else a fault would prove nothing."""

import ast
from pathlib import Path

import pytest

from tests.mutants.faults import FAULTS

ROOT = Path(__file__).parents[2]


@pytest.mark.parametrize("fault", FAULTS, ids=lambda fault: fault.name)
def test_changes_one_passage_into_other_python(fault):
    source = (ROOT / fault.file).read_text()
    assert source.count(fault.old) == 1
    ast.parse(source.replace(fault.old, fault.new))
    assert fault.new != fault.old
    assert fault.tests
    assert all((ROOT / test.split("::")[0]).exists() for test in fault.tests)


def test_has_names_of_their_own():
    assert len({fault.name for fault in FAULTS}) == len(FAULTS)
