"""Grids that inputs are on: found in pixels of any preprocessing, used, and told."""

import time

import numpy as np
import octavo
import onnx
import onnx.parser
import pytest
from octavo.lowering import Affine
from octavo.program import Node, Program, Value
from octavo.program.integers import UINT8
from octavo.quantization.columns import columns_of
from octavo.quantization.grids import grids

F = np.float32
MEAN, DEVIATION = F([0.485, 0.456, 0.406]), F([0.229, 0.224, 0.225])
USUAL = {
    "0..1": lambda p: p / F(255),
    "-1..1": lambda p: p / F(127.5) - F(1),
    "-1..1 another way": lambda p: (p - F(127.5)) / F(127.5),
    "raw": lambda p: p,
    "ImageNet": lambda p: (p / F(255) - MEAN) / DEVIATION,
}


def found(arrays):
    shape = ("N", *arrays[0].shape[1:])
    floats = Program(["x"], ["x"], {"x": Value("x", "f32", shape)}, {}, [])
    return grids(floats, [{"x": np.ascontiguousarray(array)} for array in arrays]).get("x")


def pictures(low, high, count=4, side=20):
    rng = np.random.default_rng(low + high)
    return [rng.integers(low, high + 1, (1, side, side, 3)).astype(F) for _ in range(count)]


@pytest.mark.parametrize("name", USUAL)
@pytest.mark.parametrize(("low", "high"), [(0, 255), (3, 200)])
@pytest.mark.parametrize("layout", ["nhwc", "nchw"])
def test_every_pixel_of_a_usual_scale_is_its_integer(name, low, high, layout):
    seen = pictures(low, high)
    order = (0, 1, 2, 3) if layout == "nhwc" else (0, 3, 1, 2)
    form = found([USUAL[name](picture).transpose(order) for picture in seen])
    assert form is not None
    assert type(form) is Affine if name in ("0..1", "raw") else getattr(form, "scales", ())
    assert getattr(form, "axis", None) == (order.index(3) if name == "ImageNet" else None)
    quant = form.quant()
    every = np.arange(256, dtype=F).reshape(1, -1, 1, 1).repeat(3, axis=3)
    x = USUAL[name](every)
    places = x / quant.scale + quant.zero_point.astype(F)
    np.testing.assert_allclose(places, every, atol=0.02)


@pytest.mark.parametrize(("step", "start"), [(0.37, -11.0), (2.0, -3.25), (1e-4, 0.0), (0.5, -127.5)])
def test_other_grids_have_as_much_to_spare_on_both_sides(step, start):
    seen = [(picture * F(step) + F(start)).astype(F) for picture in pictures(0, 99)]
    quant = found(seen).quant()
    places = np.unique(np.concatenate(seen)) / quant.scale + quant.zero_point
    np.testing.assert_allclose(places, np.rint(places), atol=2e-3)
    parts = 1 if start == -127.5 else 2  # where 0 is 255 steps from the first place, none can be cut
    assert quant.scale[0] == pytest.approx(step / parts, rel=1e-5)
    assert places.max() - places.min() == pytest.approx(99 * parts, abs=0.01)
    assert places.min() > -0.01
    assert places.max() < 255.01
    assert 0 <= quant.zero_point[0] <= 255


@pytest.mark.parametrize("levels", [16, 20, 64, 65, 127, 128, 129, 200, 256])
def test_a_few_levels_are_held_as_finely_as_can_be(levels):
    """What lies between them in use is then not much coarser than without a grid."""
    seen = [(picture * F(0.7) - F(3)).astype(F) for picture in pictures(0, levels - 1)]
    quant = found(seen).quant()
    width = 0.7 * (levels - 1)
    assert width / 255 <= quant.scale[0] * (1 + 1e-6) < 2 * width / 255
    places = np.unique(np.concatenate(seen)) / quant.scale + quant.zero_point
    np.testing.assert_allclose(places, np.rint(places), atol=2e-3)


def test_what_is_on_no_grid():
    rng = np.random.default_rng(2)
    seen = pictures(0, 255)
    assert found([rng.normal(size=(1, 3, 9, 9)).astype(F) for _ in range(4)]) is None
    assert found([picture * F(2) for picture in pictures(0, 14)]) is None  # 15 values
    assert found([picture + F(0.3) * (picture > 99) * (picture < 120) for picture in seen]) is None
    assert found([picture / F(255) + F(300) for picture in seen]) is None  # 0 is far outside
    assert found([*seen, seen[0] + F(1)]) is None  # 257 values
    assert found([np.full((1, 3, 9, 9), np.inf, F), *seen]) is None
    wide = [(picture[..., :1] + np.arange(17, dtype=F) * F(0.013)).astype(F) for picture in seen]
    assert found(wide) is None  # too many channels


def test_a_value_far_off_in_one_sample_is_seen():
    """However few elements are looked at, the extremes of each sample are among them."""
    seen = [np.random.default_rng(i).integers(0, 256, (1, 3, 700, 700)).astype(F) for i in range(2)]
    assert found(seen) is not None
    seen[1][0, 1, 333, 77] = 260.5
    assert found(seen) is None


def test_it_takes_little_time():
    seen = [array.transpose(0, 3, 1, 2) for array in pictures(0, 255, 96, 224)]
    seen = [np.ascontiguousarray(array - F([1, 2.3, 4.7]).reshape(3, 1, 1)) for array in seen]
    start = time.process_time()
    assert found(seen).axis == 1
    assert time.process_time() - start < 3  # 0.1 s on a machine of its own


def test_padding_of_columns_is_that_of_each_channel():
    window = {"pads": [1, 0, 0, 1], "strides": [1, 1], "dilations": [1, 1], "group": 1}
    node = Node("QConv", "conv", ("x",), ("y",), {**window, "x_zero_points": [5, 250]})
    x = np.random.default_rng(1).integers(0, 256, (1, 2, 4, 3), np.uint8)
    columns = columns_of(node, [x], UINT8, 1, (3, 2, 2, 2))
    padded = np.stack([np.pad(x[0, c], ((1, 0), (0, 1)), constant_values=z) for c, z in ((0, 5), (1, 250))])
    want = [padded[:, i : i + 2, j : j + 2].reshape(-1) for i in range(4) for j in range(3)]
    assert np.array_equal(columns.integers[0], want)


TEXT = """<ir_version: 10, opset_import: ["" : 21]> g (float[N,3,12,12] x) => (float[N,4] y) {
    a = Conv(x, w, b) r = Relu(a) p = GlobalAveragePool(r) f = Flatten(p) y = Gemm(f, v) }"""


@pytest.fixture
def proto():
    rng, model = np.random.default_rng(8), onnx.parser.parse_model(TEXT)
    for name, shape in {"w": (8, 3, 3, 3), "b": (8,), "v": (8, 4)}.items():
        array = rng.normal(size=shape).astype(F)
        model.graph.initializer.append(onnx.numpy_helper.from_array(array, name))
    return model


@pytest.mark.parametrize("effort", ["fast", "default"])
def test_pictures_are_held_exactly_and_the_report_says_so(proto, effort):
    seen = [USUAL["ImageNet"](p).transpose(0, 3, 1, 2).copy() for p in pictures(5, 240, 40, 12)]
    exact = octavo.quantize(proto, np.concatenate(seen), effort=effort)
    assert exact.report.exact_inputs == ["x"]
    assert "see grids" in exact.report.stages
    assert "input x: values from" in str(exact.report)
    assert ", held exactly" in str(exact.report)
    assert exact.program.nodes[0].attributes == {"axis": 1}
    moved = [array * (1 + np.linspace(0, 0.01, 144, dtype=F).reshape(12, 12)) for array in seen]
    plain = octavo.quantize(proto, np.concatenate(moved), effort=effort)
    assert plain.report.exact_inputs == []
    assert ", held exactly" not in str(plain.report)
    floats, one, other = octavo.Session(proto), octavo.Session(exact), octavo.Session(plain)

    def error(session, arrays):
        pairs = [(floats.run(None, {"x": x})[0], session.run(None, {"x": x})[0]) for x in arrays]
        return sum(np.square(a.astype(np.float64) - b).sum() for a, b in pairs)

    assert error(one, seen) < error(other, moved)
