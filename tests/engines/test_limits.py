"""Programs and feeds at the edge of what can be: an answer, or one clear RunError, and never much memory."""

import numpy as np
import octavo
import octavo.reference
import pytest
from octavo.calibration import Statistics
from tier_coverage import CODE

UNIT = {"strides": [1, 1], "pads": [0, 0, 0, 0], "dilations": [1, 1]}
WINDOW = {"kernel_shape": [1, 1], "ceil_mode": 0}
RESIZE = {
    "mode": "nearest",
    "coordinate_transformation_mode": "asymmetric",
    "nearest_mode": "floor",
    "keep_aspect_ratio_policy": "stretch",
    "extrapolation_value": np.float32(0),
}


def refused(program, feeds):
    """The message of the RunError that every run ends in."""
    with pytest.raises(octavo.RunError) as error:
        octavo.Session(program).run(None, feeds)
    message = str(error.value)
    assert "internal" not in message
    assert "\n" not in message
    return message


def i64(build, values):
    return build.constant(f"i{len(build.values)}", np.array(values, np.int64))


@pytest.mark.parametrize("dtype", ["u8", "f32"])
def test_a_weight_shared_by_convolutions_of_different_groups(build, same, dtype):
    rng = np.random.default_rng(0)
    inputs = [build.input("x", dtype, ("N", 8, 5, 5)), build.input("y", dtype, ("N", 4, 5, 5))]
    if dtype == "u8":
        constants = [
            build.constant("w", rng.integers(-127, 128, (6, 4, 1, 1)).astype(np.int8)),
            build.constant("b", np.zeros(6, np.int32)),
            build.constant("m", np.full(6, 2**30 + 128, np.int32)),
            build.constant("s", np.full(6, 38, np.int32)),
        ]
        more = {"x_zero_point": 3, "y_zero_point": 128, "lo": 0, "hi": 255}
    else:
        constants, more = [build.constant("w", rng.standard_normal((6, 4, 1, 1)).astype(np.float32))], {}
    op = "QConv" if dtype == "u8" else "Conv"
    outputs = [
        build.node(op, [x, *constants], dtype, group=group, **UNIT, **more)
        for x, group in zip(inputs, (2, 1), strict=True)
    ]
    arrays = [rng.integers(0, 256, (2, n, 5, 5)).astype({"u8": "u1", "f32": "f4"}[dtype]) for n in (8, 4)]
    same(build.program(*outputs), dict(zip("xy", arrays, strict=True)))


def test_c_of_a_gemm_is_added_whatever_beta_is(build, same):
    x = build.input("x", "f32", (2, 3))
    w = build.constant("w", np.zeros((3, 2), np.float32))
    c = build.constant("c", np.array([-1, 1], np.float32))
    attributes = {"alpha": np.float32(-1), "beta": np.float32(0), "transA": 0, "transB": 0}
    program = build.program(build.node("Gemm", [x, w, c], "f32", **attributes))
    same(program, {"x": np.ones((2, 3), np.float32)}, batched=False)  # -0 + 0 is +0


@pytest.mark.parametrize(
    ("op", "second", "attributes"),
    [
        ("Pad", [0, 0, 0, 0, 0, 0, 2**40, 0], {"mode": "constant"}),
        ("Pad", [0, 0, 2**27, 2**27, 0, 0, 0, 0], {"mode": "wrap"}),
        ("Pad", [2**63 - 1] * 8, {"mode": "edge"}),
        ("Pad", [-(2**63)] * 8, {"mode": "edge"}),
        ("Expand", [2**40, 1, 1, 1], {}),
        ("Expand", [2**20, 2**20, 1, 1, 1, 1], {}),
        ("Tile", [2**62, 2**62, 2**62, 2**62], {}),
        ("Tile", [2**20, 2**20, 1, 1], {}),
        ("Reshape", [2**32, 2**32, 0, -1], {"allowzero": 1}),
        ("Unsqueeze", list(range(100)), {}),
    ],
)
def test_outputs_out_of_all_proportion(build, op, second, attributes):
    x = build.input("x", "u8", (1, 2, 3, 4))
    program = build.program(build.node(op, [x, i64(build, second)], **attributes))
    refused(program, {"x": np.zeros((1, 2, 3, 4), np.uint8)})


@pytest.mark.parametrize("scale", [1e30, 1e9, 1e5])
def test_a_resize_out_of_all_proportion(build, scale):
    x = build.input("x", "u8", (1, 2, 3, 4))
    scales = build.constant("scales", np.array([1, 1, scale, scale], np.float32))
    program = build.program(build.node("Resize", [x, "", scales], **RESIZE))
    refused(program, {"x": np.zeros((1, 2, 3, 4), np.uint8)})


@pytest.mark.parametrize("op", ["Conv", "QConv", "MaxPool"])
def test_padding_out_of_all_proportion(build, op):
    dtype = "u8" if op == "QConv" else "f32"
    inputs = [build.input("x", dtype, (1, 3, 4, 4))]
    attributes = {**UNIT, "pads": [2**30 if op == "MaxPool" else 2**18] * 4}
    if op == "MaxPool":
        attributes |= {**WINDOW, "kernel_shape": [3, 3]}
    else:
        attributes["group"] = 1
        inputs.append(build.constant("w", np.ones((2, 3, 3, 3), {"u8": np.int8, "f32": np.float32}[dtype])))
    if op == "QConv":
        inputs += [build.constant(n, np.ones(2, np.float32)) for n in ("b", "s")]
        attributes |= {"x_zero_point": 0, "x_scale": np.float32(1)}
    program = build.program(build.node(op, inputs, "f32", **attributes))
    refused(program, {"x": np.zeros((1, 3, 4, 4), {"u8": np.uint8, "f32": np.float32}[dtype])})


def test_a_product_of_two_long_batches(build):
    a, b = build.input("a", "f32", ("N", 1, 1, 1)), build.input("b", "f32", (1, "N", 1, 1))
    program = build.program(build.node("MatMul", [a, b], "f32"))
    n = 2**24
    refused(program, {"a": np.zeros((n, 1, 1, 1), np.float32), "b": np.zeros((1, n, 1, 1), np.float32)})


def test_an_empty_tensor_of_long_axes(build, same):
    """Its axes have no elements, so nothing as long as they are may be made of them."""
    n = 2**36
    x = build.input("x", "f32", ("N", "M"))
    outputs = [
        build.node("Slice", [x, i64(build, [0]), i64(build, [5]), i64(build, [0])], "f32"),
        build.node("Transpose", [x], "f32", perm=[1, 0]),
        build.node("Concat", [x, x], "f32", axis=0),
        build.node("Relu", [x], "f32"),
        build.node("Add", [x, x], "f32"),
    ]
    same(build.program(*outputs), {"x": np.zeros((0, n), np.float32)}, batched=False)


def test_an_empty_tensor_that_would_become_long(build):
    x = build.input("x", "f32", ("N", 0))
    program = build.program(build.node("Expand", [x, i64(build, [2**36, 0])], "f32"))
    refused(program, {"x": np.zeros((1, 0), np.float32)})


def test_windows_larger_than_the_input_make_nothing(build, same):
    x = build.input("x", "f32", ("N", 3, 4, 4))
    w = build.constant("w", np.ones((2, 3, 5, 1), np.float32))
    y = build.node("Conv", [x, w], "f32", **UNIT, group=1)
    pool = build.node("MaxPool", [x], "f32", **{**UNIT, **WINDOW, "kernel_shape": [9, 1]})
    program = build.program(y, pool, build.node("Relu", [y], "f32"))
    expected = same(program, {"x": np.ones((2, 3, 4, 4), np.float32)})
    assert [array.shape for array in expected] == [(2, 2, 0, 4), (2, 3, 0, 4), (2, 2, 0, 4)]


@pytest.mark.parametrize("dtype", ["u8", "f32"])
@pytest.mark.parametrize(("group", "width"), [(1, 100), (2, 100), (200, 1)])
def test_a_convolution_of_padding_alone(build, same, dtype, group, width):
    numpy, weights = {"u8": (np.uint8, np.int8), "f32": (np.float32, np.float32)}[dtype]
    inputs = [build.input("x", dtype, ("N", group * width, 0, 4))]
    inputs.append(build.constant("w", np.ones((2 * group, width, 3, 1), weights)))
    attributes = {**UNIT, "pads": [2, 0, 2, 0], "group": group}
    if dtype == "u8":
        inputs += [build.constant(name, np.full(2 * group, 3, np.float32)) for name in ("b", "s")]
        attributes |= {"x_zero_point": 7, "x_scale": np.float32(1)}
    program = build.program(build.node("QConv" if dtype == "u8" else "Conv", inputs, "f32", **attributes))
    same(program, {"x": np.zeros((2, group * width, 0, 4), numpy)})


@pytest.mark.parametrize("automatic", ["SAME_UPPER", "SAME_LOWER"])
def test_automatic_padding_of_nothing(build, same, automatic):
    x = build.input("x", "f32", ("N", 3, "H", 4))
    window = {"strides": [2, 1], "dilations": [1, 1], "kernel_shape": [3, 3], "ceil_mode": 0}
    program = build.program(build.node("MaxPool", [x], "f32", **window, auto_pad=automatic))
    same(program, {"x": np.ones((2, 3, 0, 4), np.float32)})


@pytest.mark.parametrize("shape", [(), (3,), (3, 4)])
def test_a_pool_of_a_constant_without_space(build, shape):
    c = build.constant("c", np.zeros(shape, np.float32))
    build.input("x", "f32", (1,))
    program = build.program(build.node("MaxPool", [c], "f32", **UNIT, **WINDOW))
    assert "spatial axes" in refused(program, {"x": np.zeros(1, np.float32)})


@pytest.mark.parametrize("value", [[], [1, 2]])
def test_a_pad_value_that_is_not_one(build, value):
    x = build.input("x", "u8", (1, 2))
    inputs = [x, i64(build, [0, 1, 0, 1]), build.constant("v", np.array(value, np.uint8))]
    program = build.program(build.node("Pad", inputs, mode="constant"))
    assert "pad value" in refused(program, {"x": np.zeros((1, 2), np.uint8)})


def test_integers_divided_by_zero_are_zero(build, same):
    x, y = build.input("x", "i64", (4,)), build.input("y", "i64", (4,))
    feeds = {"x": np.array([-7, 7, -(2**63), 5]), "y": np.array([1, 0, 2, -3])}
    outputs = [build.node("Div", [x, y], "i64"), build.node("Div", [x, i64(build, [2, 0, -1, -2])], "i64")]
    computed, constant = same(build.program(*outputs), feeds, batched=False)
    assert computed.tolist() == [-7, 0, -(2**62), -1]
    assert constant.tolist() == [-3, 0, -(2**63), -2]


def test_outputs_that_are_inputs_constants_and_each_other(build, same):
    x = build.input("x", "f32", (2, 3))
    c = build.constant("c", np.arange(3, dtype=np.float32))
    views = [build.node("Reshape", [x, i64(build, s)], "f32", allowzero=0) for s in ([3, 2], [6])]
    y = build.node("Relu", [x], "f32")
    again = [build.node("Identity", [y], "f32") for _ in range(2)]
    shape = build.node("Shape", [y], "i64", start=0)
    known = build.node("Identity", [c], "f32")
    build.node("Split", [y, i64(build, [1, 2])], "f32", count=2, axis=1)  # nobody reads its second piece
    program = build.program(x, c, *views, y, *again, shape, known, build.nodes[-1].outputs[0])
    same(program, {"x": np.arange(6, dtype=np.float32).reshape(2, 3)}, batched=False)


def test_observed_values_are_complete(build):
    """A value that takes two steps is looked at after the second."""
    x = build.input("x", "f32", (2, 3, 4, 5))
    axes = i64(build, [1, 3])
    y = build.node("ReduceSum", [x, axes], "f32", keepdims=0, noop_with_empty_axes=0)
    program = build.program(build.node("Relu", [y], "f32"))
    seen = Statistics([y], ["counts", "extremes"])
    octavo.Session(program).observe({"x": np.ones((2, 3, 4, 5), np.float32)}, seen)
    assert seen.read(y, "counts") == {"elements": 8, "nans": 0, "infinities": 0}
    assert seen.read(y, "extremes") == {"minimum": 15, "maximum": 15}


def test_profiles_name_the_tier_of_integer_means_and_maxima(build):
    x = build.input("x", "u8", (1, 20, 4, 4))
    mean = build.node(
        "QReduceMean", [x], axes=[2, 3], keepdims=1, ratio=np.float64(1), x_zero_point=0, y_zero_point=0,
        lo=0, hi=255,
    )  # fmt: skip
    floats = build.node(
        "QReduceMean", [x], "f32", axes=[2, 3], keepdims=1, x_zero_point=0, x_scale=np.float32(1)
    )
    program = build.program(mean, floats, build.node("GlobalMaxPool", [x]))
    for isa in octavo.tiers():
        rows = octavo.Session(program, isa=isa).profile({"x": np.zeros((1, 20, 4, 4), np.uint8)})
        code = CODE.get(isa, isa)
        assert [(row.kernel, row.tier) for row in rows] == [
            (f"{code}-u8-mean", code),
            (f"{code}-u8f32-mean", code),
            (f"{code}-u8-maxpool", code),
        ]
