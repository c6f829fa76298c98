"""QuantizeLinear and DequantizeLinear of every dtype, axis and block, against onnx.reference."""

import ml_dtypes
import numpy as np
import octavo
import onnx
import onnx.reference
import pytest
from onnx import TensorProto, helper, numpy_helper

SCALES = {"one": (), "list of one": (1,), "axis": (6,)}


def model(nodes, inputs, outputs, constants, opset=25):
    """A model of those nodes; constants by name."""
    tensors = [numpy_helper.from_array(np.asarray(array), name) for name, array in constants.items()]
    graph = helper.make_graph(nodes, "g", inputs, outputs, tensors)
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", opset)], ir_version=10)


def info(name, kind, shape):
    return helper.make_tensor_value_info(name, kind, shape)


def answers(proto, feeds):
    """octavo's and ONNX's answers."""
    given = octavo.Session(proto).run(None, feeds)
    with np.errstate(all="ignore"):
        expected = onnx.reference.ReferenceEvaluator(proto).run(None, feeds)
    return given, expected


def assert_same(proto, feeds):
    for y, expected in zip(*answers(proto, feeds), strict=True):
        assert (y.dtype, y.shape) == (expected.dtype, expected.shape)
        np.testing.assert_array_equal(y, expected)


def floats(*shape, dtype="float32"):
    """Numbers of all sizes: ties, small ones, and many that are clipped."""
    generator = np.random.default_rng(sum(shape))
    ties = generator.integers(-40, 40, shape) * 0.25
    return np.where(generator.random(shape) < 0.8, ties, generator.normal(0, 1e4, shape)).astype(dtype)


@pytest.mark.parametrize("shape", SCALES)
@pytest.mark.parametrize("dtype", [None, "uint8", "int8", "int16"])
@pytest.mark.parametrize("of", ["float32", "float16", "int32"])
def test_quantize(dtype, shape, of):
    shape = SCALES[shape]
    scale = np.full(shape, 0.5, "float32" if of == "int32" else of)
    scale[...] *= 2.0 ** np.arange(scale.size).reshape(shape)
    constants = {"s": scale} | ({} if dtype is None else {"z": np.full(shape, 3, dtype)})
    kind = helper.np_dtype_to_tensor_dtype(np.dtype(of))
    proto = model(
        [helper.make_node("QuantizeLinear", ["x", *constants], ["y"], axis=-2)],
        [info("x", kind, ["N", 6, 5])],
        [info("y", helper.np_dtype_to_tensor_dtype(np.dtype(dtype or "uint8")), None)],
        constants,
    )
    assert_same(proto, {"x": floats(3, 6, 5, dtype=of)})


@pytest.mark.parametrize("shape", SCALES)
@pytest.mark.parametrize("dtype", ["uint8", "int8", "int16", "int32"])
@pytest.mark.parametrize("of", ["float32", "float16"])
def test_dequantize(dtype, shape, of):
    shape = SCALES[shape]
    numbers = np.random.default_rng(1)
    constants = {"s": numbers.random(shape).astype(of)}
    if dtype != "int32":
        constants["z"] = np.full(shape, 3, dtype)
    ends = np.iinfo("int16" if dtype == "int32" else dtype)
    x = numbers.integers(ends.min, ends.max + 1, (3, 6, 5)).astype(dtype)
    proto = model(
        [helper.make_node("DequantizeLinear", ["x", *constants], ["y"], axis=1)],
        [info("x", helper.np_dtype_to_tensor_dtype(np.dtype(dtype)), x.shape)],
        [info("y", helper.np_dtype_to_tensor_dtype(np.dtype(of)), None)],
        constants,
    )
    assert_same(proto, {"x": x})


@pytest.mark.parametrize("dtype", ["uint16", "int4", "uint4"])
def test_dtypes_that_a_program_lacks_stand_between_the_two_and_in_constants(dtype):
    of = np.dtype(getattr(ml_dtypes, dtype) if dtype.endswith("4") else dtype)
    held = np.arange(12).reshape(3, 4).astype(of)
    constants = {"s": np.float32(0.75), "z": np.asarray(5, of), "w": held}
    proto = model(
        [
            helper.make_node("QuantizeLinear", ["x", "s", "z"], ["q"]),
            helper.make_node("DequantizeLinear", ["q", "s", "z"], ["r"]),
            helper.make_node("DequantizeLinear", ["w", "s", "z"], ["f"]),
            helper.make_node("MatMul", ["r", "f"], ["y"]),
        ],
        [info("x", TensorProto.FLOAT, ["N", 3])],
        [info("y", TensorProto.FLOAT, None)],
        constants,
    )
    (y,), (expected,) = answers(proto, {"x": floats(5, 3)})
    np.testing.assert_allclose(y, expected, rtol=1e-6)


@pytest.mark.parametrize(("axis", "block"), [(0, 2), (1, 4), (2, 3), (-1, 5), (1, 7)])
def test_blocks(axis, block):
    """The last block may be cut short."""
    x = floats(4, 6, 5)
    sizes = list(x.shape)
    sizes[axis] = -(-sizes[axis] // block)
    scale = (1 + np.random.default_rng(0).integers(0, 3, sizes) / 4).astype(np.float32)
    attributes = {"axis": axis, "block_size": block}
    proto = model(
        [
            helper.make_node("QuantizeLinear", ["x", "s", "z"], ["q"], **attributes),
            helper.make_node("DequantizeLinear", ["q", "s", "z"], ["y"], **attributes),
        ],
        [info("x", TensorProto.FLOAT, x.shape)],
        [info("q", TensorProto.INT8, None), info("y", TensorProto.FLOAT, None)],
        {"s": scale, "z": np.ones(sizes, np.int8)},
    )
    assert_same(proto, {"x": x})


@pytest.mark.parametrize("opset", [10, 13, 19, 21, 23, 25])
def test_opsets(opset):
    proto = model(
        [
            helper.make_node("QuantizeLinear", ["x", "s", "z"], ["q"]),
            helper.make_node("DequantizeLinear", ["q", "s", "z"], ["y"]),
        ],
        [info("x", TensorProto.FLOAT, ["N", 3])],
        [info("y", TensorProto.FLOAT, ["N", 3])],
        {"s": np.float32(0.75), "z": np.uint8(100)},
        opset,
    )
    (y,) = octavo.Session(proto).run(None, {"x": floats(5, 3)})
    proto.opset_import[0].version = 25  # the reference has no DequantizeLinear of before 19
    (expected,) = onnx.reference.ReferenceEvaluator(proto).run(None, {"x": floats(5, 3)})
    np.testing.assert_array_equal(y, expected)


def test_scales_that_are_computed():
    proto = model(
        [helper.make_node("DynamicQuantizeLinear", ["x"], ["q", "s", "z"])],
        [info("x", TensorProto.FLOAT, ["N", 3])],
        [info("q", TensorProto.UINT8, None), info("s", TensorProto.FLOAT, None)],
        {},
    )
    assert_same(proto, {"x": np.random.default_rng(0).normal(0, 2, (5, 3)).astype(np.float32)})


def broken(op="QuantizeLinear", scale=1.0, zero=0, of="uint8", **attributes):
    """A model of one node with that scale and zero point, of 6 channels."""
    kinds = TensorProto.FLOAT, helper.np_dtype_to_tensor_dtype(np.dtype("uint8"))
    x, y = kinds if op == "QuantizeLinear" else reversed(kinds)
    return model(
        [helper.make_node(op, ["x", "s", "z"], ["y"], name="n", **attributes)],
        [info("x", x, ["N", 6, 5])],
        [info("y", y, None)],
        {"s": np.asarray(scale, np.float32), "z": np.asarray(zero, of)},
    )


@pytest.mark.parametrize("op", ["QuantizeLinear", "DequantizeLinear"])
@pytest.mark.parametrize(
    ("given", "says"),
    [
        ({"scale": np.nan}, "has the scale nan: scales are positive numbers"),
        ({"scale": np.inf}, "has the scale inf"),
        ({"scale": [1] * 6, "zero": [0] * 5}, r"has scales \[6\] and zero points \[5\]"),
        ({"scale": [1] * 6}, r"has scales \[6\] and zero points \[\]"),
        ({"scale": [1] * 5, "zero": [0] * 5}, r"has scales \[5\], but 6 elements along axis 1"),
        ({"scale": [1] * 6, "zero": [0] * 6, "axis": 3}, "has axis 3, but its input has 3 axes"),
        ({"scale": [1] * 6, "zero": [0] * 6, "axis": -4}, "has axis -4, but its input has 3 axes"),
        ({"scale": [1] * 6, "zero": [0] * 6, "block_size": 2}, r"has scales \[6\] and blocks of 2"),
        ({"scale": [[1] * 6], "zero": [[0] * 6]}, r"has scales \[1, 6\] and blocks of 0 for 3 axes"),
        ({"scale": [1] * 6, "zero": [0] * 6, "block_size": -1}, "blocks of -1"),
    ],
)
def test_what_is_wrong_is_said(op, given, says):
    with pytest.raises(octavo.ModelError, match=rf"^node 'n' \({op}\) .*{says}"):
        octavo.Session(broken(op, **given))


@pytest.mark.parametrize("scale", [0.0, -1.0])
def test_scales_of_quantize_are_positive(scale):
    with pytest.raises(octavo.ModelError, match=rf"has the scale {scale:g}: scales are positive numbers"):
        octavo.Session(broken(scale=scale))


def test_a_zero_point_of_another_dtype():
    with pytest.raises(octavo.ModelError):
        octavo.Session(broken("DequantizeLinear", of="int8"))


def test_float8_is_refused_by_name():
    zero = np.zeros((), ml_dtypes.float8_e4m3fn)
    proto = model(
        [helper.make_node("QuantizeLinear", ["x", "s", "z"], ["y"], name="n")],
        [info("x", TensorProto.FLOAT, ["N", 3])],
        [info("y", TensorProto.FLOAT8E4M3FN, None)],
        {"s": np.float32(1), "z": zero},
    )
    with pytest.raises(octavo.ModelError, match=r"^node 'n' \(QuantizeLinear\) is of float8e4m3fn"):
        octavo.Session(proto)
