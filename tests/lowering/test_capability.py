"""Each row of the table of what runs in integers, each of its conditions met and not met."""

import numpy as np
import pytest
from octavo.lowering.capability import ROWS, TABLE, Kind, judge, reduced_axes
from octavo.lowering.wiring import Wiring

ONES = np.ones
KINDS = {
    Kind.PRODUCT: {
        **{"QConv": "Conv", "QConvTranspose": "ConvTranspose", "QGemm": "Gemm MatMul"},
        "QMatMul": "MatMul",
    },
    Kind.ELEMENTWISE: {"QAdd": "Add Sub", "QMul": "Mul Div"},
    Kind.MEAN: {"QAveragePool": "AveragePool", "QReduceMean": "GlobalAveragePool ReduceMean"},
    Kind.SOFTMAX: {"QSoftmax": "Softmax"},
    Kind.EXPONENTIALS: {"QExponentials": "Softmax"},
    Kind.UNARY: {
        "Lookup": "Add Sub Mul Div Pow PRelu Max Min Abs Ceil Celu Clip Cos Elu Erf Exp Floor Gelu"
        " HardSigmoid HardSwish LeakyRelu Log Mish Neg Reciprocal Relu Round Selu Sigmoid Sign Sin"
        " Softplus Softsign Sqrt Swish Tanh ThresholdedRelu"
    },
    Kind.JOIN: {op: op for op in ("Concat", "Max", "Min")},
    Kind.MOVEMENT: {"Requantize": "Quantize"}
    | {
        op: op
        for op in (
            *("DepthToSpace", "Expand", "Flatten", "GlobalMaxPool", "Identity", "Reshape", "Slice"),
            *("SpaceToDepth", "Split", "Squeeze", "Tile", "Transpose", "Unsqueeze"),
            *("MaxPool", "Pad", "Resize", "Gather"),
        )
    },
}


def test_what_each_op_becomes():
    want = {
        (op, kind, becomes) for kind, ops in KINDS.items() for becomes, n in ops.items() for op in n.split()
    }
    assert {(row.op, row.kind, row.becomes) for row in TABLE} == want
    assert len(TABLE) == len(want)
    assert [row.becomes for row in ROWS["MatMul"]] == ["QGemm", "QMatMul"]
    assert [row.becomes for row in ROWS["Add"]] == ["Lookup", "QAdd"]
    assert [row.becomes for row in ROWS["Max"]] == ["Lookup", "Max"]
    assert [row.becomes for row in ROWS["Softmax"]] == ["QExponentials", "QSoftmax"]


W22 = {"w": ONES((2, 2, 1, 1)), "a": [0, 2, 3]}
CASES = [
    # Conv: weights, bias, axes, pads
    ("r = Conv(x, w)", "N,2,8", {"w": ONES((3, 2, 2))}, "QConv"),
    ("r = Conv(x, w, b)", "N,2,8,8", {"w": ONES((3, 2, 2, 2)), "b": ONES(3)}, "QConv"),
    ("r = Conv(x, w)", "N,2,8,8,8", {"w": ONES((3, 2, 2, 2, 2))}, "a convolution over 3 axes"),
    ("s = Abs(fed_w) r = Conv(x, s)", "N,2,8,8", {}, "'s' is not a constant"),
    ("b = ReduceSum<keepdims=0>(x, a) r = Conv(x, w, b)", "1,2,8,8", W22, "bias 'b'"),
    ("r = ConvTranspose(x, w)", "N,2,8", {"w": ONES((2, 3, 2))}, "QConvTranspose"),
    ("r = ConvTranspose(x, w, b)", "N,2,8,8", {"w": ONES((2, 3, 2, 2)), "b": ONES(3)}, "QConvTranspose"),
    ("r = ConvTranspose(x, w)", "N,2,8,8,8", {"w": ONES((2, 3, 2, 2, 2))}, "QConvTranspose"),
    ("s = Abs(fed_w) r = ConvTranspose(x, s)", "N,3,8,8", {}, "'s' is not a constant"),
    ("b = ReduceSum<keepdims=0>(x, a) r = ConvTranspose(x, w, b)", "1,2,8,8", W22, "bias 'b'"),
    # Gemm and MatMul
    ("r = Gemm(x, w)", "6,6", {"w": ONES((6, 5))}, "QGemm"),
    ("r = Gemm(x, w, c)", "6,6", {"w": ONES((6, 5)), "c": ONES(5)}, "QGemm"),
    ("r = Gemm(x, w, c)", "6,6", {"w": ONES((6, 5)), "c": ONES((1, 5))}, "QGemm"),
    ("r = Gemm(x, w, c)", "6,6", {"w": ONES((6, 5)), "c": ONES(1)}, "QGemm"),
    ("r = Gemm(x, w, c)", "6,6", {"w": ONES((6, 5)), "c": ONES((6, 1))}, "bias has the shape [6, 1]"),
    ("r = Gemm(x, w, c)", "6,6", {"w": ONES((6, 5)), "c": ONES((6, 5))}, "bias has the shape [6, 5]"),
    ("r = Gemm<transB=1>(x, w, c)", "6,6", {"w": ONES((5, 6)), "c": ONES(5)}, "QGemm"),
    ("r = Gemm<transB=1>(x, w, c)", "6,6", {"w": ONES((5, 6)), "c": ONES((6, 1))}, "bias has the shape"),
    ("r = Gemm<transA=1>(x, w)", "6,6", {"w": ONES((6, 5))}, "transposed (transA)"),
    ("r = Gemm(x, x)", "6,6", {}, "'x' is not a constant"),
    ("r = MatMul(x, w)", "6,6", {"w": ONES((6, 5))}, "QGemm"),
    ("r = MatMul(x, w)", "2,6,6", {"w": ONES((6, 5))}, "QGemm"),
    ("r = MatMul(x, w)", "6", {"w": ONES((6, 5))}, "QMatMul"),
    ("r = MatMul(x, w)", "6,6", {"w": ONES(6)}, "QMatMul"),
    ("r = MatMul(x, w)", "6,6", {"w": ONES((2, 6, 5))}, "QMatMul"),
    ("r = MatMul(x, x)", "6,6", {}, "QMatMul"),
    # BatchNormalization
    ("r = BatchNormalization(x, s, s, s, s)", "N,2,8", {"s": ONES(2)}, "are as fast in float"),
    # functions of one tensor
    ("r = Add(x, k)", "N,4", {"k": ONES(())}, "Lookup"),
    ("r = Add(x, k)", "N,4", {"k": ONES((1, 1))}, "Lookup"),
    ("r = Add(x, k)", "N,4", {"k": ONES((1, 1, 1))}, "QAdd"),
    ("r = Sub(k, x)", "N,4", {"k": ONES(4)}, "QAdd"),
    ("r = Mul(x, k)", "N,4", {"k": ONES(4)}, "QMul"),
    ("r = Mul(x, x)", "N,4", {}, "Lookup"),
    ("s = Sigmoid(x) r = Mul(x, s)", "N,4", {}, "Lookup"),
    ("s = Sigmoid(x) t = LogSoftmax(x) r = Mul(s, t)", "N,4", {}, "QMul"),
    ("r = Div(x, k)", "N,4", {"k": [1, 2, 3, 4]}, "QMul"),
    ("r = Div(x, k)", "N,4", {"k": [1, 2, 0, 4]}, "holds 0"),
    ("r = Div(k, x)", "N,4", {"k": ONES(())}, "Lookup"),
    ("s = LogSoftmax(x) r = Div(s, x)", "N,4", {}, "divides by a tensor"),
    ("r = Pow(x, k)", "N,4", {"k": ONES(4)}, "operand 'k' is not one number"),
    ("s = LogSoftmax(x) r = Pow(s, x)", "N,4", {}, "it reads several tensors"),
    ("r = PRelu(x, k)", "N,4", {"k": ONES(1)}, "Lookup"),
    ("r = PRelu(x, k)", "N,4", {"k": ONES(4)}, "operand 'k' is not one number"),
    ("r = Max(x, k)", "N,4", {"k": ONES(())}, "Lookup"),
    ("r = Max(x, k)", "N,4", {"k": ONES(4)}, "Max"),
    ("r = Clip(x, k)", "N,4", {"k": ONES(())}, "Lookup"),
    ("r = LogSoftmax(x)", "N,4", {}, "LogSoftmax has no integer form"),
    # means
    ("r = AveragePool<kernel_shape=[2]>(x)", "N,2,8", {}, "QAveragePool"),
    ("r = AveragePool<kernel_shape=[2,2]>(x)", "N,2,8,8", {}, "QAveragePool"),
    ("r = AveragePool<kernel_shape=[2,2,2]>(x)", "N,2,8,8,8", {}, "a pool over 3 axes"),
    ("r = AveragePool<kernel_shape=[2], auto_pad=\"SAME_UPPER\">(x)", "N,2,L", {}, "QAveragePool"),
    ("r = GlobalAveragePool(x)", "N,2,8", {}, "QReduceMean"),
    ("r = GlobalAveragePool(x)", "N,2,8,8,8", {}, "QReduceMean"),
    ("r = ReduceMean(x, a)", "N,2,8", {"a": [2]}, "QReduceMean"),
    ("r = ReduceMean(x, a)", "N,2,8", {"a": [-1]}, "QReduceMean"),
    ("r = ReduceMean(x, a)", "N,2,8", {"a": [1]}, "a mean over the axes [1]"),
    ("r = ReduceMean(x, a)", "N,2,8", {"a": [2, 1]}, "a mean over the axes [1, 2]"),
    ("r = ReduceMean(x, a)", "N,2", {"a": [1]}, "a mean over the axes [1]"),
    ("r = ReduceMean(x)", "N,2,8", {}, "a mean over the axes [0, 1, 2]"),
    ("r = ReduceMean<noop_with_empty_axes=1>(x)", "N,2,8", {}, "a mean over the axes []"),
    ("r = ReduceMean(x, fed_i)", "N,2,8", {}, "not known in advance"),
    # movement
    ("r = MaxPool<kernel_shape=[2]>(x)", "N,2,8", {}, "MaxPool"),
    ("r = MaxPool<kernel_shape=[2,2,2]>(x)", "N,2,8,8,8", {}, "a pool over 3 axes"),
    ("r, i = MaxPool<kernel_shape=[2]>(x)", "N,2,8", {}, "places of the largest"),
    ("r = MaxPool<kernel_shape=[2], auto_pad=\"SAME_LOWER\">(x)", "N,2,L", {}, "MaxPool"),
    ("r = Pad(x, a)", "2,2", {"a": [1, 0, 0, 1]}, "Pad"),
    ("r = Pad(x, a, k)", "2,2", {"a": [1, 0, 0, 1], "k": ONES(())}, "Pad"),
    ("r = Pad(x, a, k)", "2,2", {"a": [1, 0, 0, 1], "k": np.array(np.nan)}, "infinite value or NaN"),
    ("r = Pad(x, a, k)", "2,2", {"a": [1, 0, 0, 1], "k": np.array(-np.inf)}, "infinite value or NaN"),
    ("k = ReduceSum<keepdims=0>(x) r = Pad(x, a, k)", "2,2", {"a": [1, 0, 0, 1]}, "'k' is not a constant"),
    ("r = Pad<mode=\"edge\">(x, a)", "2,2", {"a": [1, 0, 0, 1]}, "Pad"),
    ("r = Resize<mode=\"nearest\">(x, , s)", "1,4", {"s": ONES(2)}, "Resize"),
    ("r = Resize<mode=\"linear\">(x, , s)", "1,4", {"s": ONES(2)}, "Resize with mode linear"),
    ("r = Gather(x, a)", "4,4", {"a": [0, 1]}, "Gather"),
    ("r = Gather(x, fed_i)", "4,4", {}, "its indices are no constant"),
]  # fmt: skip


FED = {"fed_i": "int64[2]", "fed_v": "float[2]", "fed_w": "float[3,2,2,2]"}


@pytest.mark.parametrize("case", CASES, ids=lambda case: f"{case[0]} of {case[1]}")
def test_the_row_that_is_taken_or_the_reason(floats, case):
    nodes, shape, constants, want = case
    arrays = {name: np.asarray(array, "i8" if name == "a" else "f4") for name, array in constants.items()}
    extra = "".join(f", {FED[name]} {name}" for name in FED if name in nodes)
    program = floats(f"g (float[{shape}] x{extra}) => (float r) {{ {nodes} }}", **arrays)
    wiring = Wiring(program)
    for unit in wiring.units[:-1]:
        wiring.trace_function(unit)
        verdict = judge(wiring, unit)
        if verdict.row is None or verdict.row.kind is not Kind.UNARY:
            wiring.forget_function(unit)
    wiring.trace_function(wiring.units[-1])
    verdict = judge(wiring, wiring.units[-1])
    if verdict.row is None:
        assert want in verdict.reason
    else:
        assert verdict.row.becomes == want


@pytest.mark.parametrize(
    ("node", "axes"),
    [
        ("r = GlobalAveragePool(x)", [2, 3]),
        ("r = ReduceMean(x, a)", [1, 3]),
        ("r = ReduceMean(x)", [0, 1, 2, 3]),
        ("r = ReduceMean(x, none)", [0, 1, 2, 3]),
        ("r = ReduceMean<noop_with_empty_axes=1>(x, none)", []),
        ("r = ReduceMean<noop_with_empty_axes=1>(x)", []),
    ],
)
def test_the_axes_of_a_mean(floats, node, axes):
    used = {"a": np.array([-1, 1]), "none": np.zeros(0, "i8")}
    constants = {name: array for name, array in used.items() if f", {name})" in node}
    program = floats(f"g (float[1,2,3,4] x) => (float r) {{ {node} }}", **constants)
    assert reduced_axes(Wiring(program), program.nodes[0]) == axes
