"""The list of faults fits the sources: what moved or was rewritten takes its faults along."""

import tomllib
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
FAULTS = tomllib.loads((ROOT / "tests/mutants/faults.toml").read_text())["fault"]


@pytest.mark.parametrize("fault", FAULTS, ids=lambda fault: fault["file"].rpartition("/")[2])
def test_what_a_fault_replaces_stands_once_in_its_file(fault):
    assert (ROOT / fault["file"]).read_text().count(fault["before"]) == 1
    assert fault["after"] != fault["before"]
