"""Movement ops on tensors of no elements, of no axes and of eight axes, in every dtype, on every engine."""

import pytest
from movement_cases import ANY, CASES


@pytest.mark.parametrize("dtype", ANY)
@pytest.mark.parametrize("known", [False, True])
def test_engines_agree(same, dtype, known):
    """Operands fed, or known before the run."""
    for case in CASES:
        if case.inputs[0].dtype == dtype:
            operands = tuple(range(1, len(case.inputs))) if known else ()
            same(*case.program(operands), batched=False)
