"""Wrong preprocessing is noticed, and right preprocessing left alone: on real networks and made-up ones."""

from dataclasses import replace

import numpy as np
import onnx.parser
import pytest
from octavo import frontend
from octavo.lowering import evaluate, lower
from octavo.passes import simplify
from octavo.quantization.preprocessing import Answers, _is_better, _judged, unlike_training
from octavo.quantization.scales import SCALES, scale_of
from octavo.session import load_program
from PIL import Image

UNIT, SIGNED, RAW, IMAGENET = SCALES
COUNT = 48


def photos(data, size):
    files = sorted((data / "images" / "imagenet" / "calib").iterdir())[:COUNT]
    return np.stack([np.asarray(Image.open(file).convert("RGB").resize(size)) for file in files])


def cifar(data):
    return np.load(data / "images" / "cifar10" / "calib.npz")["images"][::2][:COUNT]


def mnist(data):
    return np.load(data / "images" / "mnist" / "calib.npz")["images"][:COUNT, ..., None]


NETWORKS = {
    "resnet8": (cifar, RAW),
    "resnet20-cifar": (cifar, IMAGENET),
    "mnist-cnn": (mnist, UNIT),
    "vww": (lambda data: photos(data, (96, 96)), UNIT),
    "mobilenetv2": (lambda data: photos(data, (224, 224)), SIGNED),
}
WRONG = [
    ("resnet8", UNIT, RAW),
    ("resnet8", SIGNED, RAW),
    ("resnet8", IMAGENET, RAW),
    ("resnet20-cifar", UNIT, IMAGENET),
    ("resnet20-cifar", RAW, IMAGENET),
    ("mnist-cnn", SIGNED, UNIT),
    ("mnist-cnn", RAW, UNIT),
    ("mobilenetv2", UNIT, SIGNED),
]


def doubts(data, name, scale):
    load, _ = NETWORKS[name]
    pixels = load(data).astype(np.float32) / np.float32(255)
    program = load_program(data / "models" / f"{name}.onnx")
    if program.values[program.inputs[0]].shape[1] in (1, 3):
        pixels = np.ascontiguousarray(pixels.transpose(0, 3, 1, 2))
    return unlike_training(
        program, [{program.inputs[0]: scale.from_pixels(row[None])} for row in pixels], None
    )


@pytest.mark.parametrize("name", NETWORKS)
def test_right_scale_raises_no_doubt(data_dir, name):
    assert doubts(data_dir, name, NETWORKS[name][1]) == []


@pytest.mark.parametrize(("name", "wrong", "right"), WRONG, ids=lambda case: getattr(case, "options", case))
def test_wrong_scale_is_noticed_and_the_right_one_named(data_dir, name, wrong, right):
    (doubt,) = doubts(data_dir, name, wrong)
    assert f"looks like {wrong.name}, but" in doubt
    assert f"more surely on {right.name} (" in doubt
    assert right.options in doubt


@pytest.mark.parametrize(("name", "file"), [("dscnn", "kws/calib.npz"), ("autoencoder", "ad/normal.npz")])
def test_features_raise_no_doubt_until_they_are_too_small(data_dir, name, file):
    rows = np.load(data_dir / file)["features"][:COUNT, None]
    program = load_program(data_dir / "models" / f"{name}.onnx")
    (given,) = program.inputs
    assert unlike_training(program, [{given: row} for row in rows], None) == []
    (doubt,) = unlike_training(program, [{given: row / np.float32(1000)} for row in rows], None)
    assert "hardly changes with it" in doubt


def program(text, **constants):
    proto = onnx.parser.parse_model(f'<ir_version: 10, opset_import: ["" : 21]> {text}')
    for name, array in constants.items():
        proto.graph.initializer.append(onnx.numpy_helper.from_array(np.asarray(array, np.float32), name))
    return lower(simplify(frontend.load(proto), evaluate)).program


RELU6 = """g (float[N,3,16,16] x) => (float[N,8,14,14] y)
    { a = Conv(x, w, b) c = Clip(a, low, high) y = Conv(c, v) }"""
RANDOM = np.random.default_rng(5)
LAYER = {
    "w": RANDOM.normal(size=(8, 3, 3, 3)),
    "b": RANDOM.normal(size=8),
    "v": RANDOM.normal(size=(8, 8, 1, 1)),
    "low": 0,
    "high": 6,
}


@pytest.mark.parametrize(("factor", "says"), [(0.2, None), (1, None), (100, "stands at its bound of 6")])
def test_relu6_at_its_bound(factor, says):
    feeds = [
        {"x": np.float32(factor) * RANDOM.normal(size=(1, 3, 16, 16)).astype(np.float32)} for _ in range(4)
    ]
    found = unlike_training(program(RELU6, **LAYER), feeds, 1)
    assert len(found) == (says is not None)
    assert says is None or says in found[0]


def test_bounds_that_are_no_relu6_may_be_reached():
    network = RELU6.replace("y = Conv(c, v)", "d = Mul(c, a) y = Conv(d, v)")  # as a HardSwish does
    feeds = [{"x": 100 * RANDOM.normal(size=(1, 3, 16, 16)).astype(np.float32)} for _ in range(4)]
    assert unlike_training(program(network, **LAYER), feeds, 1) == []


def test_a_large_mean_of_the_inputs_is_no_small_scale():
    """Where the bias takes a mean away that training data had, it is large, and nothing is wrong."""
    w = RANDOM.normal(size=(4, 6)).astype(np.float32)
    text = "g (float[N,4] x) => (float[N,6] y) { a = Gemm(x, w, b) y = Relu(a) }"
    net = program(text, w=w, b=-300 * w.sum(0))
    feeds = [{"x": 300 + RANDOM.normal(size=(1, 4)).astype(np.float32)} for _ in range(20)]
    assert unlike_training(net, feeds, 1) == []


@pytest.mark.parametrize("scale", SCALES, ids=lambda scale: scale.name)
@pytest.mark.parametrize("axis", [1, 3])
def test_scales_are_told_from_their_values(scale, axis):
    pixels = np.moveaxis(RANDOM.integers(0, 256, (9, 1, 3, 20, 24)), 2, axis + 1).astype(np.float32) / 255
    pictures = [scale.from_pixels(picture) for picture in pixels]
    assert scale_of(pictures) is scale
    assert np.allclose(scale.to_pixels(pictures[0]), pixels[0], atol=1e-6)


@pytest.mark.parametrize("values", [(0, 0.3), (0.5, 1), (-3, 3), (0, 1000), (-128, 127)])
def test_other_values_are_in_no_known_scale(values):
    pictures = [RANDOM.uniform(*values, (1, 3, 20, 20)).astype(np.float32) for _ in range(5)]
    assert scale_of(pictures) is None


BEFORE = Answers(top=2.0, lead=1.0, variety=1.0, possible=1.15, noise=1.5)


@pytest.mark.parametrize(
    ("change", "better"),
    [
        ({}, True),
        ({"top": 2.09}, False),
        ({"lead": 1.14}, False),
        ({"variety": 0.89}, False),
        ({"noise": 2.0}, False),
        ({"possible": 4.0}, False),
    ],
)
def test_a_better_scale_is_surer_twice_and_as_varied_and_no_noise(change, better):
    after = replace(BEFORE, top=2.2, lead=1.2, variety=0.95)
    assert _is_better(replace(after, **change), BEFORE) is better


def test_the_lead_is_that_over_the_second():
    """In deviations of a row, in any order and from any mean."""
    row = np.array([2.0, -5, 4, -1, 0])  # of a mean of 0 and a variance of 46 / 5
    for order in ((0, 1, 2, 3, 4), (4, 2, 0, 1, 3)):
        judged = _judged(np.tile(row[list(order)] + 7, (16, 1)))
        assert judged.top == pytest.approx(4 / np.sqrt(46 / 5))
        assert judged.lead == pytest.approx(2 / np.sqrt(46 / 5))


def test_answers_are_judged_whatever_the_scale_of_their_logits():
    logits = np.eye(10)[np.arange(40) % 10]
    for scale in (1e-3, 1, 1e3):
        judged = _judged(logits * scale)
        assert judged.top == pytest.approx(3)  # (1 - 0.1) over a deviation of 0.3
        assert judged.lead == pytest.approx(10 / 3)
        assert judged.variety == pytest.approx(np.log(10) / 2, rel=1e-6)
    assert _judged(np.tile(logits[:1], (40, 1))).variety == pytest.approx(0, abs=1e-9)
    assert judged.noise == pytest.approx(1.54, abs=0.1)  # of the largest of ten normal numbers
