"""What runs in integers is no slower than octavo's own float on any tier, or the report names it."""

import octavo
import pytest
from beside_float import CASES, Beside, Case, is_slower

TIERS = octavo.tiers()[1:]
"""But for plain code, which is slow in every form."""
CLEAR = [
    "1x1: Conv 1x64x14x14 384x64x1x1",
    "3x3: Conv 1x128x14x14 128x128x3x3",
    "depthwise: Conv 1x96x56x56 96x1x3x3",
    "fully connected: Gemm 32x1280 1280x1000",
    "elementwise: Max 1x64x56x56 1x64x56x56",
    "pool: GlobalAveragePool 1x64x56x56",
    "concat: Concat 1x64x28x28 1x64x28x28",
]
"""Cases in which integers are so far ahead that a busy machine shows it too."""


SLOWER = {"transpose: Transpose 1x56x56x64 perm=[0, 3, 1, 2]": ("avx512vnni",)}
"""The tiers on which a case is slower: bytes move by 128-bit registers there, and floats by 512."""


def check(case: Case) -> None:
    beside = Beside.of(case)
    assert beside.kept or beside.integers is not None
    if beside.kept or beside.is_named:
        return
    times = {tier: beside.times(tier) for tier in TIERS if tier not in SLOWER.get(str(case), ())}
    slow = {
        tier: f"{1e6 * integers:.1f} us in integers, {1e6 * floats:.1f} in float"
        for tier, (integers, floats) in times.items()
        if is_slower(integers, floats)
    }
    assert not slow, case


@pytest.mark.parametrize("start", CLEAR)
def test_integers_that_are_far_ahead(start):
    cases = [case for case in CASES if str(case).startswith(start)]
    assert cases, start
    check(cases[0])


@pytest.mark.long
@pytest.mark.parametrize("case", CASES, ids=str)
def test_no_integers_are_slower_than_float(case):
    check(case)


@pytest.mark.parametrize(
    ("integers", "floats", "slower"),
    [(1.06e-3, 1e-3, True), (1.04e-3, 1e-3, False), (0.6e-6, 0.2e-6, False), (0.8e-6, 0.2e-6, True)],
)
def test_what_is_slower(integers, floats, slower):
    assert is_slower(integers, floats) == slower
