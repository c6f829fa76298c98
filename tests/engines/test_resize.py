"""Interpolating Resize on every engine, and of every dtype through a whole model."""

import numpy as np
import octavo
import onnx
import onnxruntime
import pytest

MODES = ["half_pixel", "half_pixel_symmetric", "pytorch_half_pixel", "align_corners", "asymmetric"]
COMMON = {
    "nearest_mode": "floor",
    "keep_aspect_ratio_policy": "stretch",
    "extrapolation_value": np.float32(0.5),
    "cubic_coeff_a": np.float32(-0.6),
}


@pytest.mark.parametrize("mode", ["linear", "cubic"])
@pytest.mark.parametrize("transform", MODES)
def test_interpolation(build, same, mode, transform):
    rng = np.random.default_rng(1)
    shape = (2, 19, 7, 9)
    x = build.input("x", "f32", ("N", *shape[1:]))
    pooled = build.node(
        "MaxPool",
        [x],
        "f32",
        kernel_shape=[1, 1],
        strides=[1, 1],
        pads=[0] * 4,
        dilations=[1, 1],
        ceil_mode=0,
    )
    nodes = []
    for index, scales in enumerate([(1, 1, 2, 3), (1, 1, 0.4, 0.7), (1, 1, 1, 1.7), (1, 2, 0.5, 1)]):
        by = build.constant(f"s{index}", np.array(scales, np.float32))
        flags = {"antialias": int(index in (1, 3)), "exclude_outside": int(index == 2)}
        for y in (x, pooled):
            attributes = COMMON | flags | {"mode": mode, "coordinate_transformation_mode": transform}
            nodes.append(build.node("Resize", [y, "", by], "f32", **attributes))
    same(build.program(*nodes), {"x": rng.standard_normal(shape).astype(np.float32)})


NEAREST = ["round_prefer_floor", "round_prefer_ceil", "floor", "ceil"]
POLICIES = ["stretch", "not_larger", "not_smaller"]


@pytest.mark.parametrize("rule", NEAREST)
@pytest.mark.parametrize("transform", MODES)
def test_the_nearest_by_every_rule(build, same, rule, transform):
    shape = (2, 5, 7, 9)
    x = build.input("x", "u8", ("N", *shape[1:]))
    attributes = {"strides": [1, 1], "pads": [0] * 4, "dilations": [1, 1], "ceil_mode": 0}
    pooled = build.node("MaxPool", [x], kernel_shape=[1, 1], **attributes)
    nodes = []
    # Halves and quarters put coordinates on ties.
    for index, scales in enumerate([(1, 1, 2, 0.5), (1, 1, 0.5, 3), (1, 1, 1.5, 0.25), (1, 2, 4, 1)]):
        by = build.constant(f"s{index}", np.array(scales, np.float32))
        attributes = COMMON | {"nearest_mode": rule, "coordinate_transformation_mode": transform}
        nodes += [build.node("Resize", [y, "", by], mode="nearest", **attributes) for y in (x, pooled)]
    rng = np.random.default_rng(5)
    same(build.program(*nodes), {"x": rng.integers(0, 256, shape, np.uint8)})


@pytest.mark.parametrize("policy", POLICIES)
@pytest.mark.parametrize("mode", ["nearest", "linear", "cubic"])
def test_sizes_by_every_policy(build, same, policy, mode):
    shape = (2, 5, 7, 9)
    x = build.input("x", "f32", ("N", *shape[1:]))
    nodes = []
    for index, (axes, sizes) in enumerate([([2, 3], (14, 4)), ([3, 2], (3, 20)), ([1, 2, 3], (6, 5, 27))]):
        to = build.constant(f"s{index}", np.array(sizes))
        attributes = COMMON | {"coordinate_transformation_mode": "half_pixel", "antialias": 0}
        attributes |= {"keep_aspect_ratio_policy": policy, "axes": axes, "exclude_outside": 0}
        nodes.append(build.node("Resize", [x, "", "", to], "f32", mode=mode, **attributes))
    rng = np.random.default_rng(6)
    same(build.program(*nodes), {"x": rng.standard_normal(shape).astype(np.float32)})


@pytest.mark.parametrize("mode", ["nearest", "linear"])
def test_extents_are_products_in_float32(build, same, mode):
    """0.7 times 10 is 7 in float32, and a little less where 0.7 is taken as it is stored."""
    scales = np.float32([0.7, 0.1, 0.3, 1 / 3, 0.6, 1.1, 1.4, 2.3, 3.3, 0.9999999])
    nodes, extents = [], []
    for n in range(1, 31):
        x = build.input(f"x{n}", "f32", (n,))
        for index, scale in enumerate(scales):
            by = build.constant(f"s{n}_{index}", scale.reshape(1))
            attributes = COMMON | {"coordinate_transformation_mode": "asymmetric", "mode": mode}
            attributes |= {"antialias": 0, "exclude_outside": 0}
            nodes.append(build.node("Resize", [x, "", by], "f32", **attributes))
            extents.append(int(np.floor(scale * np.float32(n))))
    feeds = {f"x{n}": np.arange(n, dtype=np.float32) for n in range(1, 31)}
    found = same(build.program(*nodes), feeds, batched=False)
    assert [y.shape for y in found] == [(extent,) for extent in extents]


@pytest.mark.parametrize("rank", [1, 2, 3, 5])
@pytest.mark.parametrize("shrunk", [0, 2])
def test_regions(build, same, rank, shrunk):
    """One element lies in the middle of its region."""
    rng = np.random.default_rng(2)
    shape = (4, 6, 5, 3, 7)[:rank]
    x = build.input("x", "f32", shape)
    roi = build.constant("roi", np.array([-0.2 + shrunk / 4] * rank + [1.3] * rank, np.float32))
    sizes = build.constant(
        "sizes", np.array([5, 4, 8, 3, 6][:rank] if not shrunk else [1, 4, 1, 1, 1][:rank])
    )
    attributes = {
        "antialias": 0,
        "exclude_outside": 0,
        "coordinate_transformation_mode": "tf_crop_and_resize",
    }
    nodes = [
        build.node("Resize", [x, roi, "", sizes], "f32", **COMMON, **attributes, mode=mode)
        for mode in ("linear", "cubic", "nearest")
    ]
    same(build.program(*nodes), {"x": rng.standard_normal(shape).astype(np.float32)}, batched=False)


@pytest.mark.parametrize("dtype", ["float32", "uint8", "int8", "int32", "float16", "float64"])
@pytest.mark.parametrize("mode", ["linear", "cubic"])
def test_dtypes_as_onnx(dtype, mode):
    rng = np.random.default_rng(3)
    x = rng.standard_normal((1, 3, 6, 8)) * 100
    x = np.asarray(x.clip(*((0, 255) if dtype == "uint8" else (-128, 127))), dtype)
    node = onnx.helper.make_node("Resize", ["x", "", "s"], ["y"], mode=mode)
    kind = onnx.helper.np_dtype_to_tensor_dtype(x.dtype)
    info = onnx.helper.make_tensor_value_info
    scales = onnx.numpy_helper.from_array(np.array([1, 1, 1.7, 2.3], np.float32), "s")
    graph = onnx.helper.make_graph([node], "g", [info("x", kind, x.shape)], [info("y", kind, None)], [scales])
    model = onnx.helper.make_model(graph, opset_imports=[onnx.helper.make_opsetid("", 25)])
    (y,) = octavo.Session(model).run(None, {"x": x})
    (expected,) = onnx.reference.ReferenceEvaluator(model).run(None, {"x": x})
    assert y.dtype == expected.dtype
    # A tie may fall to either side.
    atol = {"float16": 0.1, "float32": 1e-4, "float64": 1e-4}.get(dtype, 1)
    np.testing.assert_allclose(y.astype(float), expected.astype(float), rtol=1e-5, atol=atol)
    assert np.mean(y == expected) > 0.95 or dtype.startswith("float")


@pytest.mark.parametrize("mode", ["linear", "cubic"])
def test_as_onnx_runtime(mode):
    x = np.random.default_rng(4).standard_normal((1, 8, 12, 10)).astype(np.float32)
    info = onnx.helper.make_tensor_value_info
    scales = onnx.numpy_helper.from_array(np.array([1, 1, 2, 2], np.float32), "s")
    node = onnx.helper.make_node("Resize", ["x", "", "s"], ["y"], mode=mode)
    graph = onnx.helper.make_graph([node], "g", [info("x", 1, x.shape)], [info("y", 1, None)], [scales])
    model = onnx.helper.make_model(graph, opset_imports=[onnx.helper.make_opsetid("", 21)], ir_version=10)
    (y,) = octavo.Session(model).run(None, {"x": x})
    session = onnxruntime.InferenceSession(model.SerializeToString(), providers=["CPUExecutionProvider"])
    np.testing.assert_allclose(y, session.run(None, {"x": x})[0], rtol=1e-5, atol=1e-5)
