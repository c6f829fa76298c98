"""Models of older opsets compute after conversion what they computed before."""

import numpy as np
import octavo
import onnx
import onnx.reference
import onnx_ir as ir
import onnxruntime
import pytest
from octavo import frontend, passes
from octavo.errors import ModelError
from octavo.frontend.opset import NEWEST_OPSET
from octavo.lowering import evaluate
from octavo.program import OPSET
from onnx import TensorProto, helper, numpy_helper

F, INT = TensorProto.FLOAT, TensorProto.INT64
X = ("x", F, ["N", 3, 8, 8])
node = helper.make_node


def model_of(nodes, inputs=(X,), outputs=(("y", F),), opset=7, **constants):
    graph = helper.make_graph(
        nodes,
        "g",
        [helper.make_tensor_value_info(*value) for value in inputs],
        [helper.make_tensor_value_info(name, dtype, None) for name, dtype in outputs],
        [numpy_helper.from_array(array, name) for name, array in constants.items()],
    )
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", opset)], ir_version=8)


def run(proto, feeds):
    options = onnxruntime.SessionOptions()
    options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_DISABLE_ALL
    options.log_severity_level = 4
    session = onnxruntime.InferenceSession(
        proto.SerializeToString(), options, providers=["CPUExecutionProvider"]
    )
    return session.run(None, feeds)


def feeds_of(proto, condition=True):
    rng = np.random.default_rng(0)
    feeds = {}
    for value in proto.graph.input:
        shape = [axis.dim_value or 2 for axis in value.type.tensor_type.shape.dim]
        made = rng.standard_normal(shape).astype(np.float32)
        feeds[value.name] = made if value.type.tensor_type.elem_type == F else np.array(condition)
    return feeds


def assert_same(proto, condition=True, ops=None):
    """`load` keeps the answers that ONNX Runtime gives for the model as it is; so does `simplify`."""
    feeds = feeds_of(proto, condition)
    want = run(proto, feeds)
    loaded = frontend.load(proto)
    simple = passes.simplify(loaded, evaluate)
    for graph in (loaded, simple):
        assert graph.opset_imports == {"": OPSET}
        converted = ir.to_proto(graph)
        converted.ir_version = 10
        assert [value.name for value in converted.graph.output] == [
            value.name for value in proto.graph.output
        ]
        for a, b in zip(want, run(converted, feeds), strict=True):
            np.testing.assert_allclose(a, b, rtol=1e-5, atol=1e-5)
    if ops is not None:
        assert [made.op_type for made in simple.graph] == ops


def floats(*numbers):
    return np.array(numbers, np.float32)


def ints(*numbers):
    return np.array(numbers, np.int64)


@pytest.mark.parametrize("mode", ["nearest", "linear"])
@pytest.mark.parametrize("scales", [(2.0, 2.0), (1.5, 2.5)])
def test_upsample_and_resize(mode, scales):
    whole = (1.0, 1.0, *scales)
    for opset in (7, 8):
        assert_same(
            model_of([node("Upsample", ["x"], ["y"], mode=mode, scales=whole)], opset=opset), ops=["Resize"]
        )
    assert_same(
        model_of([node("Upsample", ["x", "s"], ["y"], mode=mode)], opset=9, s=floats(*whole)), ops=["Resize"]
    )
    assert_same(
        model_of([node("Resize", ["x", "s"], ["y"], mode=mode)], opset=10, s=floats(*whole)), ops=["Resize"]
    )


def test_resize_of_opset_11():
    corners = node(
        "Resize", ["x", "r", "s"], ["y"], mode="linear", coordinate_transformation_mode="align_corners"
    )
    assert_same(model_of([corners], opset=11, r=floats(), s=floats(1, 1, 2, 2)))
    sizes = node("Resize", ["x", "r", "e", "z"], ["y"], mode="linear")
    fixed = (("x", F, [1, 3, 8, 8]),)
    assert_same(model_of([sizes], fixed, opset=11, r=floats(), e=floats(), z=ints(1, 3, 5, 9)))
    assert_same(
        model_of(
            [node("Resize", ["x", "r", "s"], ["y"], mode="cubic")], opset=11, r=floats(), s=floats(1, 1, 2, 2)
        )
    )


@pytest.mark.parametrize("opset", [7, 8, 9, 13, 14, 15])
def test_batch_normalization(opset):
    values = {name: np.random.default_rng(1).random(3).astype(np.float32) + 0.5 for name in "abcd"}
    assert_same(
        model_of([node("BatchNormalization", ["x", *"abcd"], ["y"], epsilon=1e-3)], opset=opset, **values)
    )


@pytest.mark.parametrize("opset", [7, 10, 12, 13])
def test_dropout(opset):
    assert_same(
        model_of([node("Dropout", ["x"], ["a"]), node("Relu", ["a"], ["y"])], opset=opset), ops=["Relu"]
    )
    assert_same(
        model_of([node("Dropout", ["x"], ["a", "m"]), node("Relu", ["a"], ["y"])], opset=opset), ops=["Relu"]
    )


@pytest.mark.parametrize("opset", [7, 9, 10])
def test_clip(opset):
    assert_same(model_of([node("Clip", ["x"], ["y"], min=-0.5, max=0.5)], opset=opset), ops=["Clip"])
    assert_same(model_of([node("Clip", ["x"], ["y"], min=0.0)], opset=opset), ops=["Relu"])
    assert_same(model_of([node("Clip", ["x"], ["y"], max=0.5)], opset=opset), ops=["Clip"])
    assert_same(model_of([node("Clip", ["x"], ["a"]), node("Neg", ["a"], ["y"])], opset=opset), ops=["Neg"])


@pytest.mark.parametrize("opset", [7, 10])
def test_pad(opset):
    pads = [0, 0, 1, 2, 0, 0, 3, 0]
    for mode, value in (("constant", 1.5), ("reflect", 0.0), ("edge", 0.0)):
        assert_same(
            model_of([node("Pad", ["x"], ["y"], pads=pads, mode=mode, value=value)], opset=opset), ops=["Pad"]
        )


@pytest.mark.parametrize("opset", [7, 9])
def test_slice_and_top_k(opset):
    assert_same(
        model_of([node("Slice", ["x"], ["y"], starts=[1, -3], ends=[3, 1000], axes=[1, 2])], opset=opset)
    )
    assert_same(model_of([node("Slice", ["x"], ["y"], starts=[0, 1], ends=[1, 3])], opset=opset))
    top = node("TopK", ["x"], ["y", "i"], axis=1, k=2)
    assert_same(model_of([top], outputs=(("y", F), ("i", INT)), opset=opset))


@pytest.mark.parametrize("opset", [7, 11, 12])
@pytest.mark.parametrize("op", ["Softmax", "LogSoftmax"])
def test_softmax_over_a_plane(op, opset):
    row, point = (("x", F, ["N", 5]),), (("x", F, ["N", 5, 1, 1]),)
    for axis in (1, 2, 3, -1):
        assert_same(model_of([node(op, ["x"], ["y"], axis=axis)], opset=opset))
    assert_same(model_of([node(op, ["x"], ["y"], axis=3)], opset=opset), ops=[op])
    assert_same(model_of([node(op, ["x"], ["y"])], row, opset=opset), ops=[op])
    assert_same(model_of([node(op, ["x"], ["y"])], point, opset=opset), ops=[op])


@pytest.mark.parametrize("opset", [7, 11, 12, 13, 17])
def test_axes_that_became_inputs(opset):
    def by_axes(op, x, **attributes):
        axes = attributes.pop("axes")
        if opset < 13 or (op.startswith("Reduce") and op != "ReduceSum" and opset < 18):
            return model_of([node(op, ["x"], ["y"], axes=axes, **attributes)], x, opset=opset)
        return model_of([node(op, ["x", "i"], ["y"], **attributes)], x, opset=opset, i=ints(*axes))

    assert_same(by_axes("ReduceSum", (X,), axes=[1, 3], keepdims=0))
    assert_same(by_axes("ReduceMean", (X,), axes=[2, 3]), ops=["ReduceMean"])
    assert_same(by_axes("ReduceMax", (X,), axes=[-1]))
    assert_same(by_axes("Squeeze", (("x", F, ["N", 1, 8]),), axes=[1]), ops=["Squeeze"])
    assert_same(by_axes("Unsqueeze", (X,), axes=[1, 5]), ops=["Unsqueeze"])


@pytest.mark.parametrize("opset", [7, 11])
def test_split(opset):
    both = (("y", F), ("z", F))
    assert_same(model_of([node("Split", ["x"], ["y", "z"], axis=2, split=[3, 5])], outputs=both, opset=opset))
    assert_same(model_of([node("Split", ["x"], ["y", "z"], axis=2)], outputs=both, opset=opset))


@pytest.mark.parametrize("opset", [7, 9, 11])
def test_what_only_grew(opset):
    rng = np.random.default_rng(2)
    bias, w = rng.random((3, 1, 1)).astype(np.float32), rng.random((4, 5)).astype(np.float32)
    assert_same(
        model_of([node("Add", ["x", "b"], ["a"]), node("PRelu", ["a", "b"], ["y"])], opset=opset, b=bias)
    )
    assert_same(model_of([node("Max", ["x", "x"], ["a"]), node("Sum", ["a", "x"], ["y"])], opset=opset))
    pools = [
        node("MaxPool", ["x"], ["a"], kernel_shape=[2, 2]),
        node("AveragePool", ["a"], ["y"], kernel_shape=[3, 3]),
    ]
    assert_same(model_of(pools, opset=opset))
    dense = model_of([node("Gemm", ["x", "w", "b"], ["y"])], (("x", F, ["N", 4]),), opset=opset, w=w, b=w[0])
    assert_same(dense, ops=["Gemm"])
    assert_same(model_of([node("Cast", ["x"], ["y"], to=INT)], outputs=(("y", INT),), opset=opset))
    assert_same(model_of([node("Flatten", ["x"], ["y"], axis=2)], opset=opset), ops=["Flatten"])


@pytest.mark.parametrize("condition", [True, False])
def test_branches_are_converted_too(condition):
    then = helper.make_graph(
        [node("Clip", ["x"], ["t"], min=0.0, max=0.3)],
        "then",
        [],
        [helper.make_tensor_value_info("t", F, None)],
    )
    other = helper.make_graph(
        [node("Softmax", ["x"], ["e"])], "else", [], [helper.make_tensor_value_info("e", F, None)]
    )
    branch = node("If", ["c"], ["y"], then_branch=then, else_branch=other)
    assert_same(model_of([branch], (X, ("c", TensorProto.BOOL, [])), opset=9), condition)


def test_operators_that_an_opset_dropped():
    for proto in (
        model_of(
            [node("GroupNormalization", ["x", "s", "s"], ["y"], num_groups=3)], opset=18, s=floats(1, 1, 1)
        ),
        model_of([node("Upsample", ["x", "s"], ["y"])], opset=11, s=floats(1, 1, 2, 2)),
    ):
        with pytest.raises(ModelError, match=r"(GroupNormalization|Upsample).*opset"):
            frontend.load(proto)


def test_names_that_the_converter_would_choose():
    nodes = [node("Relu", ["x"], ["_v_0"])]
    nodes += [node("Clip", [f"_v_{i}"], [f"_v_{i + 1}"], min=-1.0, max=9.0 - i) for i in range(8)]
    nodes += [node("Neg", ["_v_8"], ["y"])]
    assert_same(model_of(nodes, opset=9))


def test_weights_pass_through_the_conversion_untouched():
    w = np.random.default_rng(3).random((64, 3, 3, 3)).astype(np.float32)
    proto = model_of(
        [node("Conv", ["x", "w"], ["a"]), node("Clip", ["a"], ["y"], min=0.0, max=1.0)], opset=9, w=w
    )
    loaded = frontend.load(proto)
    assert [value.name for value in loaded.graph.inputs] == ["x"]
    np.testing.assert_array_equal(loaded.graph.initializers["w"].const_value.numpy(), w)
    assert_same(proto, ops=["Conv", "Clip"])


def test_initializers_that_are_inputs_are_no_inputs():
    w = np.random.default_rng(3).random((4, 3, 1, 1)).astype(np.float32)
    for opset in (7, 13, 18):
        proto = model_of([node("Conv", ["x", "w"], ["y"])], (X, ("w", F, [4, 3, 1, 1])), opset=opset, w=w)
        loaded = frontend.load(proto)
        assert [value.name for value in loaded.graph.inputs] == ["x"]
        assert loaded.graph.initializers["w"].const_value is not None


def test_other_opsets_are_named():
    newest = NEWEST_OPSET
    for opset, other in ((newest + 1, newest), (6, 7)):
        with pytest.raises(ModelError, match=rf"opset {opset}\b.*\b{other}\b"):
            frontend.load(model_of([node("Relu", ["x"], ["y"])], opset=opset))


def test_newer_opsets_mean_what_they_meant():
    """Nodes whose operators later gained dtypes and attributes."""
    nodes = [
        node("SpaceToDepth", ["x"], ["s"], blocksize=2, mode="DCR"),
        node("Einsum", ["s", "s"], ["e"], equation="nchw,nchw->nhwc"),
        node("Celu", ["e"], ["y"]),
    ]
    proto = model_of(nodes, inputs=(("x", F, [1, 3, 8, 8]),), opset=NEWEST_OPSET)
    loaded = frontend.load(proto)
    assert loaded.graph.opset_imports == {"": OPSET}
    feeds = feeds_of(proto)
    expected = onnx.reference.ReferenceEvaluator(proto).run(None, feeds)
    given = onnx.reference.ReferenceEvaluator(ir.to_proto(loaded)).run(None, feeds)
    np.testing.assert_array_equal(expected[0], given[0])


@pytest.mark.parametrize(
    ("nodes", "named"),
    [
        ([node("SpaceToDepth", ["x"], ["y"], blocksize=2, mode="CRD", name="new")], "new.*mode = CRD.*25"),
        ([node("CumProd", ["x", "axis"], ["y"], name="new")], "new.*CumProd.*25"),
        (
            [
                node("Cast", ["x"], ["h"], to=INT),
                node("BitShift", ["h", "h"], ["b"], direction="LEFT", name="new"),
                node("Cast", ["b"], ["y"], to=F),
            ],
            "new.*BitShift.*int64.*25",
        ),
        (
            [node("Cast", ["x"], ["h"], to=27, name="new"), node("Cast", ["h"], ["y"], to=F)],
            "new.*Cast.*float6e2m3.*25",
        ),
    ],
)
def test_what_came_after_the_opset_is_named(nodes, named):
    proto = model_of(nodes, opset=NEWEST_OPSET, axis=np.int64(0))
    with pytest.raises(ModelError, match=named):
        frontend.load(proto)


def test_batch_normalization_that_has_no_equivalent():
    values = {name: floats(1, 1, 1) for name in "abcd"}
    proto = model_of(
        [node("BatchNormalization", ["x", *"abcd"], ["y"], name="bn", spatial=0)], opset=7, **values
    )
    with pytest.raises(ModelError, match=r"bn.*spatial"):
        frontend.load(proto)


@pytest.mark.parametrize("opset", [7, 13, 25])
def test_initializers_that_are_inputs(opset):
    """Files of IR version 3 must list initializers among the inputs; they are none of the loaded model's."""
    w = np.ones((3, 4), np.float32)
    proto = model_of([helper.make_node("MatMul", ["x", "w"], ["y"])], [("x", F, [2, 3])], opset=opset, w=w)
    proto.graph.input.append(helper.make_tensor_value_info("w", F, [3, 4]))
    proto.ir_version = 3
    loaded = frontend.load(proto)
    assert [value.name for value in loaded.graph.inputs] == ["x"]
    assert loaded.ir_version >= 4


@pytest.mark.parametrize(("known", "newest"), [(20, 25), (26, 26), (28, 28), (40, 28)])
def test_the_newest_opset_is_one_that_the_library_knows(monkeypatch, known, newest):
    """And octavo's own at the least, up to the newest whose meaning is known."""
    monkeypatch.setattr(onnx.defs, "onnx_opset_version", lambda: known)
    frontend.load(model_of([node("Relu", ["x"], ["y"])], opset=newest))
    with pytest.raises(ModelError, match=rf"opset {newest + 1}, newer than {newest}, the newest that octavo"):
        frontend.load(model_of([node("Relu", ["x"], ["y"])], opset=newest + 1))


@pytest.mark.parametrize("opset", [13, 24, 25, 26, 28])
def test_what_has_no_body_is_written_out_whatever_the_opset(opset):
    nodes = [
        node("LRN", ["x"], ["a"], size=1),
        node("Hardmax", ["a"], ["b"], axis=1),
        node("Einsum", ["a", "b"], ["y"], equation="nchw,nchw->nhw"),
    ]
    proto = model_of(nodes, (("x", F, [2, 3, 8, 8]),), opset=opset)
    loaded = frontend.load(proto)
    assert not {"LRN", "Hardmax", "Einsum"} & {made.op_type for made in loaded.graph.all_nodes()}
    feeds = feeds_of(proto)
    (given,) = octavo.Session(proto, threads=1).run(None, feeds)
    x = feeds["x"].astype(np.float64)
    np.testing.assert_allclose(given, (x / (1 + 1e-4 * x**2) ** 0.75).max(1), rtol=1e-5, atol=1e-6)
