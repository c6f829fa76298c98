"""Resize against ONNX's own reference, and by hand where that is silent."""

from fractions import Fraction

import numpy as np
import onnx
import pytest
from octavo.errors import RunError
from onnx.reference import ReferenceEvaluator

MODES = ["half_pixel", "half_pixel_symmetric", "pytorch_half_pixel", "align_corners", "asymmetric"]
# The coordinates fall on whole numbers here, and float64 misses some by an ulp.
INEXACT = [("half_pixel_symmetric", "floor"), ("half_pixel_symmetric", "ceil")]
NEAREST = ["round_prefer_floor", "round_prefer_ceil", "floor", "ceil"]
DEFAULTS = {
    "mode": "nearest",
    "coordinate_transformation_mode": "half_pixel",
    "nearest_mode": "round_prefer_floor",
    "keep_aspect_ratio_policy": "stretch",
    "extrapolation_value": np.float32(0),
}


def peer(x, roi, scales, sizes, attributes):
    inputs = {"x": x, "roi": roi, "scales": scales, "sizes": sizes}
    feeds = {name: array for name, array in inputs.items() if array is not None}
    attributes = {k: float(v) if isinstance(v, np.float32) else v for k, v in attributes.items()}
    names = [name if name in feeds else "" for name in inputs]
    node = onnx.helper.make_node("Resize", names, ["y"], **attributes)
    described = [
        onnx.helper.make_tensor_value_info(
            name, onnx.helper.np_dtype_to_tensor_dtype(array.dtype), array.shape
        )
        for name, array in feeds.items()
    ]
    result = onnx.helper.make_tensor_value_info("y", described[0].type.tensor_type.elem_type, None)
    graph = onnx.helper.make_graph([node], "graph", described, [result])
    model = onnx.helper.make_model(graph, opset_imports=[onnx.helper.make_opsetid("", 25)])
    return ReferenceEvaluator(model).run(None, feeds)[0]


def resize(run_node, x, roi=None, scales=None, sizes=None, **attributes):
    fixed = [place for place, array in ((1, roi), (2, scales), (3, sizes)) if array is not None]
    (y,) = run_node("Resize", [x, roi, scales, sizes], DEFAULTS | attributes, constants=fixed)
    return y


def f32(*items):
    return np.array(items, np.float32)


def i64(*items):
    return np.array(items, np.int64)


X = np.arange(2 * 3 * 5 * 7).reshape(2, 3, 5, 7).astype(np.uint8)


def exact_coordinate(mode, place, length, output, scale):
    """Where an element lies, as a fraction."""
    if mode == "align_corners":
        return Fraction(place * (length - 1), output - 1) if output > 1 else Fraction(0)
    if mode == "asymmetric":
        return place / scale
    if mode == "pytorch_half_pixel" and output <= 1:
        return Fraction(0)
    at = (place + Fraction(1, 2)) / scale - Fraction(1, 2)
    if mode == "half_pixel_symmetric":
        at += Fraction(length, 2) * (1 - output / (scale * length))
    return at


def exact_nearest(rule, at, length):
    below = at.numerator // at.denominator
    half = Fraction(1, 2)
    index = {
        "floor": below,
        "ceil": -(-at.numerator // at.denominator),
        "round_prefer_floor": below + (at - below > half),
        "round_prefer_ceil": below + (at - below >= half),
    }[rule]
    return min(max(index, 0), length - 1)


@pytest.mark.parametrize(
    ("mode", "nearest"), [(m, n) for m in MODES for n in NEAREST if (m, n) not in INEXACT]
)
@pytest.mark.parametrize(
    "scales", [(1, 1, 2, 2), (1, 1, 2, 0.5), (1, 1, 0.25, 4), (1, 1, 1.5, 2.5), (2, 1, 1, 0.125)]
)
def test_by_scales(run_node, mode, nearest, scales):
    # These scales are powers of two or short, so that ties fall alike in fractions and in float64.
    outputs = [int(n * Fraction(scale)) for n, scale in zip(X.shape, scales, strict=True)]
    expected = X
    for axis, (length, output, scale) in enumerate(zip(X.shape, outputs, scales, strict=True)):
        at = [exact_coordinate(mode, place, length, output, Fraction(scale)) for place in range(output)]
        expected = expected.take([exact_nearest(nearest, a, length) for a in at], axis=axis)
    y = resize(run_node, X, scales=f32(*scales), coordinate_transformation_mode=mode, nearest_mode=nearest)
    np.testing.assert_array_equal(y, expected, strict=True)


@pytest.mark.parametrize("nearest", NEAREST)
@pytest.mark.parametrize("mode", ["half_pixel", "align_corners", "asymmetric", "pytorch_half_pixel"])
@pytest.mark.parametrize("sizes", [(2, 3, 10, 14), (2, 3, 3, 4), (2, 3, 8, 5), (2, 3, 1, 1)])
def test_to_sizes_as_onnx(run_node, mode, nearest, sizes):
    attributes = {"coordinate_transformation_mode": mode, "nearest_mode": nearest}
    found = resize(run_node, X, sizes=i64(*sizes), **attributes)
    expected = peer(X, None, None, i64(*sizes), DEFAULTS | attributes)
    np.testing.assert_array_equal(found, expected, strict=True)


@pytest.mark.parametrize("policy", ["not_larger", "not_smaller"])
def test_the_aspect_ratio_is_kept(run_node, policy):
    attributes = {"keep_aspect_ratio_policy": policy, "axes": [3, 2]}
    found = resize(run_node, X, sizes=i64(9, 12), **attributes)
    assert found.shape == {"not_larger": (2, 3, 6, 9), "not_smaller": (2, 3, 12, 17)}[policy]
    expected = peer(X, None, None, i64(9, 12), DEFAULTS | attributes)
    np.testing.assert_array_equal(found, expected, strict=True)


@pytest.mark.parametrize(("length", "made"), [(1, 1), (3, 2), (5, 3), (7, 4), (6, 3)])
def test_a_kept_ratio_rounds_halves_up(run_node, length, made):
    x = np.arange(4 * length, dtype=np.float32).reshape(4, length)
    attributes = {"keep_aspect_ratio_policy": "not_larger"}
    assert resize(run_node, x, sizes=i64(2, 100), **attributes).shape == (2, made)


def test_the_length_is_the_floor_of_a_float32_product(run_node):
    x = np.arange(10, dtype=np.uint8)
    assert resize(run_node, x, scales=f32(0.7)).shape == (7,)  # float32(0.7) * 10 in float64 is below 7
    assert resize(run_node, x, scales=f32(0.09)).shape == (0,)


def test_a_region(run_node):
    x = np.arange(25, dtype=np.float32).reshape(5, 5)
    attributes = {
        "coordinate_transformation_mode": "tf_crop_and_resize",
        "extrapolation_value": np.float32(-7),
    }
    roi = f32(0.25, 0.5, 1.0, 1.5)
    found = resize(run_node, x, roi=roi, sizes=i64(4, 3), **attributes)
    # Rows 1, 2, 3, 4; columns 2, 4 and one beyond the last.
    assert found.tolist() == [[r * 5.0 + 2, r * 5.0 + 4, -7.0] for r in (1, 2, 3, 4)]


SMOOTH = DEFAULTS | {"antialias": 0, "cubic_coeff_a": np.float32(-0.75), "exclude_outside": 0}
FLOATS = np.random.default_rng(3).standard_normal((2, 3, 5, 7)).astype(np.float32)


@pytest.mark.parametrize("mode", ["linear", "cubic"])
@pytest.mark.parametrize("transform", MODES)
@pytest.mark.parametrize("more", [{}, {"antialias": 1}, {"exclude_outside": 1}])
@pytest.mark.parametrize("scales", [(1, 1, 2, 2.5), (1, 1, 0.6, 0.3), (2, 1, 1, 1)])
def test_interpolation_by_scales_as_onnx(run_node, mode, transform, more, scales):
    by, to = f32(*scales), None
    if transform == "align_corners":
        # onnx.reference takes the scaled length before it is made whole; here it is whole at once.
        by, to = None, i64(*(int(n * scale) for n, scale in zip(FLOATS.shape, scales, strict=True)))
    attributes = SMOOTH | {"mode": mode, "coordinate_transformation_mode": transform, **more}
    found = resize(run_node, FLOATS, scales=by, sizes=to, **attributes)
    expected = peer(FLOATS, None, by, to, attributes)
    assert found.shape == expected.shape
    np.testing.assert_allclose(found, expected, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("mode", ["linear", "cubic"])
@pytest.mark.parametrize(
    ("transform", "policy"),
    [
        ("half_pixel", "stretch"),
        ("align_corners", "stretch"),
        ("half_pixel", "not_larger"),
        ("asymmetric", "not_smaller"),
    ],
)
@pytest.mark.parametrize("sizes", [(9, 4), (2, 11), (1, 1)])
def test_interpolation_to_sizes_as_onnx(run_node, mode, transform, policy, sizes):
    attributes = SMOOTH | {
        "mode": mode,
        "coordinate_transformation_mode": transform,
        "keep_aspect_ratio_policy": policy,
        "axes": [2, 3],
    }
    found = resize(run_node, FLOATS, sizes=i64(*sizes), **attributes)
    expected = peer(FLOATS, None, None, i64(*sizes), attributes)
    assert found.shape == expected.shape
    np.testing.assert_allclose(found, expected, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("mode", ["linear", "cubic"])
@pytest.mark.parametrize("shape", [(6,), (4, 6), (3, 4, 5)])
def test_interpolation_of_regions_as_onnx(run_node, mode, shape):
    x = np.random.default_rng(4).standard_normal(shape).astype(np.float32)
    rank = len(shape)
    attributes = SMOOTH | {
        "mode": mode,
        "coordinate_transformation_mode": "tf_crop_and_resize",
        "extrapolation_value": np.float32(9),
    }
    roi = f32(*[0.1, 0.4, -0.2][:rank], *[0.9, 1.3, 0.8][:rank])
    sizes = i64(*[5, 7, 4][:rank])
    found = resize(run_node, x, roi=roi, sizes=sizes, **attributes)
    np.testing.assert_allclose(found, peer(x, roi, None, sizes, attributes), rtol=1e-5, atol=1e-5)


def test_a_tap_of_no_weight_takes_no_part(run_node):
    x = f32(1, np.inf, 3).reshape(1, 1, 1, 3)
    attributes = SMOOTH | {"mode": "linear", "coordinate_transformation_mode": "asymmetric"}
    y = resize(run_node, x, scales=f32(1, 1, 1, 2), **attributes)
    assert y.ravel().tolist() == [1, np.inf, np.inf, np.inf, 3, 3]


ERRORS = {
    "too few scales": {"scales": f32(1, 2)},
    "a scale of 0": {"scales": f32(1, 1, 1, 0)},
    "a scale without end": {"scales": f32(1, 1, 1, np.inf)},
    "a scale that is none": {"scales": f32(1, 1, 1, np.nan)},
    "a size below 0": {"sizes": i64(2, 3, 5, -1)},
    "a size without end": {"sizes": i64(2, 3, 5, 2**62)},
    "scales without end": {"scales": f32(1e30, 1, 1, 1)},
    "axes of another count": {"sizes": i64(2, 2), "axes": [1]},
}


@pytest.mark.parametrize("case", ERRORS)
def test_what_cannot_be_done_is_an_error(run_node, case):
    with pytest.raises(RunError, match="Resize node 'node' cannot run on"):
        resize(run_node, X, **ERRORS[case])


def test_nothing_cannot_be_resized(run_node):
    with pytest.raises(RunError, match="Resize node"):
        resize(run_node, X[:, :, :0], sizes=i64(2, 3, 4, 7))


@pytest.mark.parametrize("mode", ["linear", "cubic"])
def test_a_place_all_of_whose_elements_are_outside_has_no_weights(run_node, mode):
    """Of a region far beyond the picture, whose weights would be divided by their sum."""
    x = np.arange(1, 5, dtype=np.float32)
    attributes = SMOOTH | {
        "mode": mode,
        "coordinate_transformation_mode": "tf_crop_and_resize",
        "extrapolation_value": np.float32(9),
        "exclude_outside": 1,
    }
    y = resize(run_node, x, roi=f32(0.0, 5.0), sizes=i64(6), **attributes)
    assert y.tolist()[0] == 1
    assert y.tolist()[2:] == [9] * 4
