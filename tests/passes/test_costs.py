"""What computing a node would cost, from its constants alone."""

import numpy as np
import onnx_ir as ir
import pytest
from octavo.passes.costs import Cost, cost
from octavo.passes.folding import should_fold

F = np.float32


def ints(*numbers):
    return np.array(numbers, np.int64)


def node(op, *inputs, outputs=1, **attributes):
    values = [
        None if array is None else ir.Value(name=f"c{index}", const_value=ir.Tensor(np.asarray(array)))
        for index, array in enumerate(inputs)
    ]
    made = [ir.Value(name=f"r{index}") for index in range(outputs)]
    return ir.Node("", op, values, ir.convenience.convert_attributes(attributes), outputs=made)


def zeros(*shape, dtype=F):
    return np.zeros(shape, dtype)


CASES = {
    "of all outputs": (node("TopK", zeros(9, 5), ints(2), outputs=2, axis=0), 2 * 5 * (4 + 8)),
    "Split": (node("Split", zeros(9, 5), ints(2, 7), outputs=2, axis=0), 9 * 5 * 4),
    "of a dtype": (node("Cast", zeros(9, 5), to=10), 9 * 5 * 2),
    "half a byte": (node("Cast", zeros(5), to=22), 3),
    "by values": (node("Expand", F(0), ints(3, 4)), 48),
    "at most": (node("NonZero", zeros(3, 4)), 2 * 12 * 8),
    "at most so many boxes": (node("NonMaxSuppression", zeros(1, 9, 4), zeros(1, 2, 9), ints(3)), 3 * 18 * 8),
    "Range": (node("Range", F(0), F(1), F(0.25)), 16),
    "Range to a vector of one": (node("Range", F(0), F([1]), F(0.25)), 16),
    "Range downwards": (node("Range", np.int64(9), np.int64(0), np.int64(-2)), 40),
    "no elements": (node("Range", F(1), F(0), F(0.25)), 0),
    "an input left out": (node("Clip", zeros(3), None, F(1)), 12),
    "GroupNormalization": (node("GroupNormalization", zeros(1, 4, 3), zeros(4), zeros(4), num_groups=2), 48),
}


@pytest.mark.parametrize("name", CASES)
def test_bytes(name):
    of, size = CASES[name]
    assert cost(of).bytes == size


UNKNOWN = {
    "an input": ir.Node("", "Neg", [ir.Value(name="x", shape=ir.Shape([2]))]),
    "another domain": ir.Node("com.microsoft", "Gelu", [ir.Value(name="c", const_value=ir.Tensor(zeros(2)))]),
    "no operator": node("Nothing", zeros(2)),
    "shapes that do not fit": node("MatMul", zeros(2, 3), zeros(2, 3)),
    "texts": node("Identity", np.array(["a"], object)),
    "Range without end": node("Range", F(0), F(1), F(0)),
    "Range of NaN": node("Range", F(0), F(np.nan), F(1)),
    "a shape of unknown length": node("Reshape", zeros(5000), np.ones(5000, np.int64)),
}


@pytest.mark.parametrize("name", UNKNOWN)
def test_what_cannot_be_told(name):
    assert cost(UNKNOWN[name]) is None
    assert not should_fold(UNKNOWN[name])


STEPS = {
    "elements read and made": (node("Exp", zeros(10, 10)), 4 * 200),
    "float32 products": (node("MatMul", zeros(10, 20), zeros(20, 30)), 10 * 20 * 30 + 4 * (200 + 600 + 300)),
    "float64 products": (
        node("MatMul", zeros(10, 20, dtype="f8"), zeros(20, 30, dtype="f8")),
        4 * (10 * 20 * 30 + 200 + 600 + 300),
    ),
    "Gemm": (node("Gemm", zeros(20, 10), zeros(20, 30), transA=1), 10 * 20 * 30 + 4 * (200 + 600 + 300)),
    "Conv": (node("Conv", zeros(1, 4, 10), zeros(6, 2, 3), group=2), 48 * 2 * 3 + 4 * (40 + 36 + 48)),
    "ConvTranspose": (node("ConvTranspose", zeros(1, 4, 10), zeros(4, 6, 3)), 40 * 18 + 4 * (40 + 72 + 72)),
    "a pool": (node("MaxPool", zeros(1, 1, 8, 8), kernel_shape=[3, 3]), 4 * (36 * 9 + 64 + 36)),
    "a sort": (node("TopK", zeros(1000), ints(1), outputs=2), 4 * (1000 * 10 + 1001 + 2)),
    "a larger picture": (node("Resize", zeros(2, 8), None, None, ints(2, 16)), 4 * (32 * 4 + 16 + 2 + 32)),
    "a smaller one": (node("Resize", zeros(2, 8), None, None, ints(2, 3)), 4 * (6 * 12 + 16 + 2 + 6)),
    "Gemm of unequal sides": (node("Gemm", zeros(10, 20), zeros(20, 30)), 6000 + 4 * (200 + 600 + 300)),
    "a batch of products": (
        node("MatMul", zeros(2, 3, 5), zeros(2, 5, 7)),
        2 * 3 * 7 * 5 + 4 * (30 + 70 + 42),
    ),
    "products of halves": (
        node("MatMul", zeros(10, 20, dtype="f2"), zeros(20, 30, dtype="f2")),
        6000 + 4 * (200 + 600 + 300),
    ),
    "products of integers": (
        node("MatMul", zeros(10, 20, dtype="i4"), zeros(20, 30, dtype="i4")),
        4 * (6000 + 200 + 600 + 300),
    ),
    "a grouped ConvTranspose": (
        node("ConvTranspose", zeros(1, 4, 10), zeros(4, 3, 5), group=2),
        40 * 15 + 4 * (40 + 60 + 84),
    ),
    "means of windows": (node("AveragePool", zeros(1, 2, 8), kernel_shape=[3]), 4 * (12 * 3 + 16 + 12)),
    "norms of windows": (node("LpPool", zeros(1, 2, 8), kernel_shape=[3]), 4 * (12 * 3 + 16 + 12)),
    "regions": (
        node(
            "RoiAlign",
            zeros(1, 2, 8, 8),
            zeros(3, 4),
            ints(0, 0, 0),
            output_height=2,
            output_width=5,
            sampling_ratio=3,
        ),
        4 * (60 * 9 + 128 + 12 + 3 + 60),
    ),
    "regions by their size": (
        node("RoiAlign", zeros(1, 2, 8, 8), zeros(3, 4), ints(0, 0, 0), output_height=2, output_width=5),
        4 * (60 * 4096**2 + 128 + 12 + 3 + 60),
    ),
    "distinct elements": (node("Unique", zeros(1000)), 4 * (1000 * 10 + 1000 + 1000)),
    "boxes": (
        node("NonMaxSuppression", zeros(1, 9, 4), zeros(1, 2, 9), ints(3)),
        4 * (18 * 9 + 36 + 18 + 1 + 54),
    ),
    "a grid in space": (
        node("GridSample", zeros(1, 1, 4, 4, 4), zeros(1, 2, 3, 5, 3)),
        4 * (30 * 64 + 64 + 90 + 30),
    ),
    "a picture as it is": (node("Resize", zeros(2, 8), None, None, ints(2, 8)), 4 * (16 + 16 + 2 + 16)),
    "a grid": (node("GridSample", zeros(1, 1, 4, 4), zeros(1, 3, 3, 2)), 4 * (9 * 16 + 16 + 18 + 9)),
}


@pytest.mark.parametrize("name", STEPS)
def test_steps(name):
    of, steps = STEPS[name]
    assert cost(of).steps == steps


def test_what_a_file_claims_is_not_believed():
    of = node("ConstantOfShape", ints(1 << 40, 1 << 40))
    of.outputs[0].shape = ir.Shape([1])
    assert cost(of) == Cost(4 << 80, 4 * ((1 << 80) + 2))
