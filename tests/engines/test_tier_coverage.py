"""What a run says of the instruction sets at its end, and when that fails it."""

import pytest
import tier_coverage
from tier_coverage import summary


@pytest.fixture
def compared(monkeypatch):
    compared = set()
    monkeypatch.setattr(tier_coverage, "compared", compared)
    return compared


def test_a_tier_that_the_machine_lacks_is_named_and_is_no_failure(compared):
    compared.update({"scalar", "avx2"})
    line, missed = summary(["scalar", "avx2"])
    lacking = "not covered, this machine lacks them: avxvnni, avx512vl, avx512vnni, neon, dotprod, i8mm"
    assert (line.count(lacking), missed) == (1, [])


def test_a_tier_that_the_machine_has_and_that_did_not_run_is_a_failure(compared):
    compared.add("scalar")
    line, missed = summary(["scalar", "avx2", "avx512vnni"])
    assert missed == ["avx2", "avx512vnni"]
    assert "lacks them: avxvnni, avx512vl, neon, dotprod, i8mm" in line
    assert "this machine has them and no engine test ran them: avx2, avx512vnni" in line


def test_a_run_without_engines_owes_none(compared):
    assert summary(tier_coverage.CPU_FLAGS) == ("instruction sets covered: none", [])
