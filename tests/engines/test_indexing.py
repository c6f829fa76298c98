"""The ops that order, pick and place elements, on every engine."""

import numpy as np
import octavo
import pytest
from indexing_cases import CASES
from single_node import Case


@pytest.mark.parametrize("family", CASES)
def test_engines_agree(same, family):
    for case in CASES[family]:
        program, feeds = case.program()
        same(program, feeds, batched=False)


@pytest.mark.parametrize("family", CASES)
def test_of_constants(same, family):
    """Known operands, so that what can be is computed while planning."""
    for case in CASES[family][::5]:
        operands = tuple(range(1, len(case.inputs)))
        program, feeds = case.program(operands)
        same(program, feeds, batched=False)


NUMBER = np.array(1.0, np.float32)
SQUARE = np.ones((3, 4), np.float32)
COLUMNS = np.ones((1, 8, 4), np.float32)
ARG = {"keepdims": 0, "select_last_index": 0}
TOP = {"largest": 1, "sorted": 1}
REFUSED = {
    "a range by 0": Case("Range", [NUMBER, NUMBER, np.zeros((), "f4")], {}, ("f32",)),
    "a range by NaN": Case("Range", [NUMBER, NUMBER, np.array(np.nan, "f4")], {}, ("f32",)),
    "a range without end": Case("Range", [NUMBER, np.array(np.inf, "f4"), NUMBER], {}, ("f32",)),
    "a range too long": Case("Range", [np.array(0), np.array(2**40), np.array(1)], {}, ("i64",)),
    "columns of another image": Case("Col2Im", [COLUMNS, np.array([5, 5]), np.array([2, 2])], {}, ("f32",)),
    "columns of no image": Case("Col2Im", [COLUMNS, np.array([], "i8"), np.array([], "i8")], {}, ("f32",)),
    "blocks of nothing": Case("Col2Im", [COLUMNS, np.array([3, 3]), np.array([0, 2])], {}, ("f32",)),
    "images without end": Case(
        "Col2Im", [COLUMNS[..., :0], np.array([2**40, 1]), np.array([2, 2])], {}, ("f32",)
    ),
    "no such axis": Case("ArgMax", [SQUARE], ARG | {"axis": 2}, ("i64",)),
    "nothing to choose from": Case("ArgMax", [SQUARE[:0]], ARG | {"axis": 0}, ("i64",)),
    "k beyond the axis": Case("TopK", [SQUARE, np.array([5])], TOP | {"axis": 1}, ("f32", "i64")),
    "k below 0": Case("TopK", [SQUARE, np.array([-1])], TOP | {"axis": 1}, ("f32", "i64")),
    "two k": Case("TopK", [SQUARE, np.array([1, 2])], TOP | {"axis": 1}, ("f32", "i64")),
    "a sum along no axis": Case("CumSum", [SQUARE, np.array(2)], {"exclusive": 0, "reverse": 0}, ("f32",)),
    "a sum of one number": Case("CumSum", [NUMBER, np.array(0)], {"exclusive": 0, "reverse": 0}, ("f32",)),
    "depth below 0": Case("OneHot", [np.array([1]), np.array(-1), np.ones(2, "f4")], {"axis": 0}, ("f32",)),
    "depth without end": Case(
        "OneHot", [np.array([1]), np.array(2**40), np.ones(2, "f4")], {"axis": 0}, ("f32",)
    ),
    "three values": Case("OneHot", [np.array([1]), np.array(2), np.ones(3, "f4")], {"axis": 0}, ("f32",)),
    "a triangle of a row": Case("Trilu", [SQUARE[0]], {"upper": 1}, ("f32",)),
    "a diagonal of a row": Case("EyeLike", [SQUARE[0]], {"k": 0}, ("f32",)),
    "a condition too long": Case("Compress", [SQUARE, np.ones(4, bool)], {"axis": 0}, ("f32",)),
    "a condition of two axes": Case("Compress", [SQUARE, np.ones((1, 1), bool)], {"axis": 0}, ("f32",)),
    "distinct along no axis": Case("Unique", [SQUARE], {"axis": 2, "sorted": 1}, ("f32", "", "", "")),
}


@pytest.mark.parametrize("what", REFUSED)
def test_what_cannot_be_done_is_an_error_that_names_the_node(what):
    case = REFUSED[what]
    program, feeds = case.program()
    with pytest.raises(octavo.RunError, match=f"{case.op} node .node."):
        octavo.reference.run(program, feeds)
    with pytest.raises(octavo.RunError, match=f"{case.op} node .node."):
        octavo.Session(program).run(None, feeds)
