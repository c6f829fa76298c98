"""Movement ops on tensors of no elements, of no axes and of eight axes against ONNX's reference."""

import octavo
from movement_cases import CASES


def test_as_in_onnx():
    for case in CASES:
        program, feeds = case.program()
        case.check(octavo.reference.run(program, feeds))
