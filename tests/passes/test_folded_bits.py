"""What is folded has the bits of a run that is fed the constants: on every tier, and the reference's."""

import numpy as np
import octavo
import onnx
import onnx.parser
import onnx_ir as ir
import pytest
from octavo import frontend, reference
from octavo.lowering import evaluate, lower
from octavo.passes.folding import fold_constants
from onnx import helper, numpy_helper

RNG = np.random.default_rng(7)


def f32(*shape):
    return RNG.normal(size=shape).astype(np.float32)


def positive(*shape):
    return RNG.uniform(0.1, 3, size=shape).astype(np.float32)


def ints(*numbers):
    return np.array(numbers, np.int64)


IMAGE = f32(2, 6, 9, 7)
MATRIX = f32(17, 33)
UNARY = """
    Abs Acosh Asin Asinh Atan Atanh Celu Cos Cosh Elu Erf Exp Gelu HardSigmoid HardSwish LeakyRelu Log Mish
    Neg Reciprocal Relu Round Selu Sigmoid Sign Sin Sinh Softplus Softsign Sqrt Swish Tan Tanh ThresholdedRelu
"""
REDUCTIONS = "L1 L2 LogSum LogSumExp Max Mean Min Prod Sum SumSquare"

CASES = {
    # products
    "MatMul": ("y = MatMul(a, b)", {"a": f32(3, 17, 40), "b": f32(40, 29)}),
    "MatMul of float64": ("y = MatMul(a, b)", {"a": f32(9, 20).astype("f8"), "b": f32(20, 5).astype("f8")}),
    "MatMul of int32": ("y = MatMul(a, a)", {"a": RNG.integers(-9, 9, (8, 8)).astype("i4")}),
    "MatMul of float16": ("y = MatMul(a, a)", {"a": f32(24, 24).astype("f2")}),
    "Gemm": (
        "y = Gemm<transB=1, alpha=0.3, beta=0.7>(a, b, c)",
        {"a": f32(5, 30), "b": f32(11, 30), "c": f32(11)},
    ),
    "Conv": (
        "y = Conv<pads=[1,1,1,1], strides=[2,1]>(a, b, c)",
        {"a": IMAGE, "b": f32(5, 6, 3, 3), "c": f32(5)},
    ),
    "Conv by groups": ("y = Conv<group=6>(a, b)", {"a": IMAGE, "b": f32(6, 1, 3, 3)}),
    "ConvTranspose": ("y = ConvTranspose<strides=[2,2]>(a, b)", {"a": IMAGE, "b": f32(6, 4, 3, 3)}),
    # functions and reductions
    **{op: (f"y = {op}(a)", {"a": 1 + positive(999) if op == "Acosh" else f32(999)}) for op in UNARY.split()},
    **{
        f"Reduce{op}": (f"y = Reduce{op}<keepdims=0>(a, i)", {"a": positive(7, 33, 5), "i": ints(1)})
        for op in REDUCTIONS.split()
    },
    "a row's mean": ("y = ReduceMean(a, i)", {"a": MATRIX, "i": ints(-1)}),
    "Sum of int32": ("y = ReduceSum(a)", {"a": RNG.integers(-9, 9, (8, 8)).astype("i4")}),
    "Pow": ("y = Pow(a, b)", {"a": positive(200), "b": f32(200)}),
    "Div by zero": ("y = Div(a, b)", {"a": f32(3), "b": np.zeros(3, "f4")}),
    "Div of float64": ("y = Div(a, b)", {"a": f32(9).astype("f8"), "b": positive(9).astype("f8")}),
    "Exp of float16": ("y = Exp(a)", {"a": f32(100).astype("f2")}),
    "Mod of int64": ("y = Mod(a, b)", {"a": ints(7, -7, 5), "b": ints(3, 3, -2)}),
    "CumSum": ("y = CumSum<exclusive=1, reverse=1>(a, i)", {"a": MATRIX, "i": np.array(1)}),
    "Softmax": ("y = Softmax<axis=0>(a)", {"a": MATRIX}),
    "LogSoftmax": ("y = LogSoftmax(a)", {"a": MATRIX}),
    "ArgMax": ("y = ArgMax<axis=1, keepdims=0>(a)", {"a": MATRIX}),
    "Clip": ("y = Clip(a, b, c)", {"a": MATRIX, "b": np.float32(-0.5), "c": np.float32(0.25)}),
    "PRelu": ("y = PRelu(a, b)", {"a": MATRIX, "b": f32(33)}),
    # normalizations
    "BatchNormalization": (
        "y = BatchNormalization(a, b, c, d, e)",
        {"a": IMAGE, "b": f32(6), "c": f32(6), "d": f32(6), "e": positive(6)},
    ),
    "LayerNormalization": (
        "y, m, s = LayerNormalization(a, b, c)",
        {"a": MATRIX, "b": f32(33), "c": f32(33)},
    ),
    "InstanceNormalization": ("y = InstanceNormalization(a, b, c)", {"a": IMAGE, "b": f32(6), "c": f32(6)}),
    "GroupNormalization": (
        "y = GroupNormalization<num_groups=3>(a, b, c)",
        {"a": IMAGE, "b": f32(6), "c": f32(6)},
    ),
    "RMSNormalization": ("y = RMSNormalization(a, b)", {"a": MATRIX, "b": f32(33)}),
    "LpNormalization": ("y = LpNormalization<axis=0, p=1>(a)", {"a": MATRIX}),
    # windows and samples
    "AveragePool": ("y = AveragePool<kernel_shape=[3,2], pads=[1,0,1,1]>(a)", {"a": IMAGE}),
    "MaxPool with places": ("y, i = MaxPool<kernel_shape=[3,2], strides=[2,2]>(a)", {"a": IMAGE}),
    "LpPool": ("y = LpPool<kernel_shape=[2,2], p=3>(a)", {"a": IMAGE}),
    "GlobalLpPool": ("y = GlobalLpPool(a)", {"a": IMAGE}),
    "Resize": (
        'y = Resize<mode="cubic", coordinate_transformation_mode="align_corners">(a, , , s)',
        {"a": IMAGE, "s": ints(2, 6, 13, 4)},
    ),
    "GridSample": ("y = GridSample(a, b)", {"a": IMAGE, "b": np.clip(f32(2, 4, 4, 2), -1.2, 1.2)}),
    "RoiAlign": (
        "y = RoiAlign<output_height=3, output_width=2>(a, b, i)",
        {"a": IMAGE, "b": np.array([[0, 0, 5, 6], [1.5, 2, 4, 3]], "f4"), "i": ints(1, 0)},
    ),
    "NonMaxSuppression": (
        "y = NonMaxSuppression(a, b, i, t)",
        {
            "a": np.array([[[0, 0, 1, 1], [0, 0, 1, 1.1], [0, 2, 1, 3]]], "f4"),
            "b": np.array([[[0.5, 0.75, 0.9]]], "f4"),
            "i": np.int64(3),
            "t": np.float32(0.5),
        },
    ),
    "Col2Im": (
        "y = Col2Im(a, i, j)",
        {"a": f32(1, 12, 9), "i": ints(4, 4), "j": ints(2, 2)},
    ),
    # movement
    "Pad": ('y = Pad<mode="reflect">(a, i)', {"a": MATRIX, "i": ints(1, 2, 3, 4)}),
    "Gather": ("y = Gather<axis=1>(a, i)", {"a": MATRIX, "i": ints(3, -1, 0)}),
    "GatherElements": ("y = GatherElements(a, i)", {"a": MATRIX, "i": RNG.integers(0, 17, (4, 33))}),
    "GatherND": ("y = GatherND(a, i)", {"a": MATRIX, "i": np.array([[1, 2], [16, 0]])}),
    "ScatterND": (
        'y = ScatterND<reduction="add">(a, i, b)',
        {"a": MATRIX, "i": np.array([[1], [1]]), "b": f32(2, 33)},
    ),
    "ScatterElements": (
        "y = ScatterElements<axis=1>(a, i, b)",
        {"a": MATRIX, "i": np.array([[1, 32]]), "b": f32(1, 2)},
    ),
    "Where": ("y = Where(m, a, b)", {"m": MATRIX > 0, "a": MATRIX, "b": f32(33)}),
    "Expand of a mask": (
        "c = Less(a, b) y = Expand(c, s)",
        {"a": f32(5, 1), "b": f32(6), "s": ints(3, 5, 6)},
    ),
    "Trilu": ("y = Trilu<upper=0>(a, k)", {"a": MATRIX, "k": np.array(2)}),
    "EyeLike": ("y = EyeLike<k=1>(a)", {"a": MATRIX}),
    "OneHot": ("y = OneHot(i, d, v)", {"i": ints(1, 0, 5), "d": ints(4), "v": f32(2)}),
    "Range": ("y = Range(a, b, c)", {"a": np.float32(0), "b": np.float32(1), "c": np.float32(0.1)}),
    "DepthToSpace": ("y = DepthToSpace<blocksize=2>(a)", {"a": f32(1, 8, 3, 3)}),
    "ReverseSequence": ("y = ReverseSequence(a, i)", {"a": f32(4, 3), "i": ints(1, 4, 2)}),
    "Tile": ("y = Tile(a, i)", {"a": MATRIX, "i": ints(2, 1)}),
    "an empty one": ("y = Mul(a, a)", {"a": np.zeros((0, 3), "f4")}),
    # several outputs
    "Split": ("y, z = Split<axis=1>(a, s)", {"a": MATRIX, "s": ints(13, 20)}),
    "TopK": ("y, z = TopK<axis=0>(a, k)", {"a": MATRIX, "k": ints(4)}),
    "Unique": ("y, , z = Unique(a)", {"a": ints(3, 1, 3, 2, 1)}),
    # types
    "Cast to float16": ("y = Cast<to=10>(a)", {"a": f32(64) * 1000}),
    "Cast to int8": ("y = Cast<to=3>(a)", {"a": np.array([1.9, -3.9, 100], "f4")}),
    "Cast of bytes": ("y = Cast<to=1>(a)", {"a": np.arange(256, dtype="u1")}),
    "And": ("y = And(a, b)", {"a": MATRIX > 0, "b": MATRIX < 1}),
    "a large one": ("y = Sigmoid(a)", {"a": f32(300, 301)}),
    "a large one by a small": ("y = MatMul(a, b)", {"a": f32(300, 301), "b": f32(301, 2)}),
    "NonZero": ("y = NonZero(a)", {"a": ints(0, 3, 0, -1)}),
    "a chain": (
        "n = ReduceL2(a, i) d = Div(a, n) s = Softmax(d) y = MatMul(s, b)",
        {"a": MATRIX, "i": ints(1), "b": f32(33, 9)},
    ),
    "sines of positions": (
        "p = Range(o, n, t) c = Cast<to=1>(p) u = Unsqueeze(c, t1) m = Mul(u, f) s = Sin(m) k = Cos(m) "
        "y = Concat<axis=-1>(s, k)",
        {"o": np.array(0), "n": np.array(50), "t": np.array(1), "t1": ints(1), "f": positive(16)},
    ),
}


def graph(body, constants, *, feed):
    """The nodes, with the constants as inputs or as initializers; its outputs are what no node reads."""
    proto = onnx.parser.parse_model(f'<ir_version: 10, opset_import: ["" : 25]> g () => () {{ {body} }}')
    read = {name for node in proto.graph.node for name in node.input}
    for name in (name for node in proto.graph.node for name in node.output if name and name not in read):
        proto.graph.output.add(name=name)
    for name, array in constants.items():
        tensor = numpy_helper.from_array(np.asarray(array), name)
        if feed:
            value = helper.make_tensor_value_info(name, tensor.data_type, array.shape)
            proto.graph.input.append(value)
        else:
            proto.graph.initializer.append(tensor)
    model = ir.from_proto(proto)
    frontend.infer_shapes(model)
    return model


@pytest.mark.parametrize("name", CASES)
def test_bits(name):
    body, constants = CASES[name]
    model = graph(body, constants, feed=False)
    assert fold_constants(model, evaluate)
    assert not list(model.graph), [node.op_type for node in model.graph]
    got = [value.const_value.numpy() for value in model.graph.outputs]
    program = lower(graph(body, constants, feed=True)).program
    feeds = {name: np.asarray(array) for name, array in constants.items()}
    runs = {isa: octavo.Session(program, isa=isa).run(None, feeds) for isa in octavo.tiers()}
    with np.errstate(all="ignore"):
        runs["reference"] = reference.run(program, feeds)
    for which, want in runs.items():
        for index, (ours, theirs) in enumerate(zip(got, want, strict=True)):
            where = f"output {index} on {which}"
            assert (ours.dtype, ours.shape) == (theirs.dtype, theirs.shape), where
            assert ours.tobytes() == theirs.tobytes(), where
