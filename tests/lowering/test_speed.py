"""Convolutions without a fast integer kernel stay float; a depthwise one that has it gives what is read."""

import numpy as np
import pytest
from octavo.lowering.capability import judge
from octavo.lowering.wiring import Wiring

SHARE = "has no fast integer kernel: its outputs share too little"
REACH = "that reaches over"
FEW = "channels has no fast integer kernel"
GROUPS = "a convolution by groups of fewer than 16 input channels has no fast integer kernel"
POINTWISE = "a convolution by groups of fewer than 4 input channels has no fast integer kernel"
NO_INTEGERS = "its inputs are float, and quantizing them for this op alone gains nothing"
AFTER_LAST = "it follows a float32 result of exact sums, which no op reads as integers"


def verdict(floats, groups, weights, **attributes):
    """Of a Conv alone, by weights of this shape."""
    given = {"group": groups} | attributes
    listed = ", ".join(f"{key}={value}" for key, value in given.items())
    sizes = ",".join(["999"] * (len(weights) - 2))
    image = f"float[N,{groups * weights[1]},{sizes}] x"
    text = f"g ({image}) => (float y) {{ y = Conv<{listed}>(x, w) }}"
    wiring = Wiring(floats(text, w=np.zeros(weights, np.float32)))
    return judge(wiring, wiring.units[0])


@pytest.mark.parametrize(
    ("groups", "weights", "reason"),
    [
        (1, (3, 2, 2, 2), ""),
        (16, (16, 1, 600), ""),
        (15, (15, 1, 4, 4), f"of 15 {FEW}"),
        (8, (8, 1, 4, 4), ""),
        (7, (7, 1, 2, 2), f"of 7 {FEW}"),
        (2, (32, 1, 2, 2), ""),
        (2, (30, 5, 2, 2), f"a transposed {GROUPS.removeprefix('a ')}"),
        (4, (4, 3, 2, 2), f"a transposed {GROUPS.removeprefix('a ')}"),
    ],
)
def test_transposed_convolutions_with_and_without_a_fast_kernel(floats, groups, weights, reason):
    sizes = ",".join(["9"] * (len(weights) - 2))
    text = f"g (float[N,{weights[0]},{sizes}] x) => (float y) {{ y = ConvTranspose<group={groups}>(x, w) }}"
    wiring = Wiring(floats(text, w=np.zeros(weights, np.float32)))
    found = judge(wiring, wiring.units[0])
    assert (found.row is None) == bool(reason)
    assert found.expected == bool(reason)
    assert reason in found.reason
    assert judge(wiring, wiring.units[0], integers_only=True).row is not None


@pytest.mark.parametrize(
    ("groups", "weights", "attributes", "reason"),
    [
        (16, (16, 1, 3, 3), {}, ""),
        (15, (15, 1, 3, 3), {}, ""),
        (9, (9, 1, 5, 5), {"strides": [2, 2]}, ""),
        (8, (8, 1, 5, 5), {"strides": [2, 2]}, ""),
        (7, (7, 1, 1, 1), {}, ""),
        (2, (2, 1, 3, 3), {}, ""),
        (64, (64, 1, 3, 5), {"strides": [3, 1], "dilations": [2, 2]}, ""),
        (64, (64, 1, 3), {}, f"of [3], strides [1] and dilations [1] {SHARE}"),
        (7, (7, 1, 3), {"strides": [3]}, ""),
        (64, (64, 1, 7, 7), {}, ""),
        (64, (64, 1, 3, 3), {"strides": [3, 3]}, SHARE),
        (7, (7, 1, 3, 3), {"strides": [3, 3]}, ""),
        (64, (64, 1, 3, 3), {"dilations": [2, 2]}, ""),
        (64, (64, 1, 3, 3), {"strides": [2, 2], "dilations": [2, 2]}, SHARE),
        (64, (64, 1, 5, 5), {"strides": [3, 3]}, ""),
        (64, (64, 1, 4, 4), {"strides": [3, 3]}, ""),
        (64, (64, 1, 4, 4), {"strides": [4, 4]}, SHARE),
        (64, (64, 1, 2, 2), {}, ""),
        (64, (64, 1, 2, 2), {"strides": [2, 2]}, SHARE),
        (64, (64, 1, 2, 3), {}, SHARE),
        (64, (64, 1, 9, 1), {}, ""),
        (64, (64, 1, 9, 1), {"strides": [2, 1]}, SHARE),
        (64, (64, 1, 9, 1), {"dilations": [2, 1]}, SHARE),
        (64, (64, 1, 1, 8), {}, SHARE),
        (64, (64, 1, 1, 9), {"strides": [1, 2]}, ""),
        (64, (64, 1, 1, 9), {"strides": [1, 3]}, SHARE),
        # 255 columns of 2 pairs and 8 lanes, or of a word of 4 taps and 16 lanes; 4 of them for outputs.
        (16, (16, 1, 3, 3), {"dilations": [1, 125]}, ""),
        (16, (16, 1, 3, 3), {"dilations": [1, 126]}, f"[3, 3] {REACH} 253 columns"),
        # Of 2 words of 4 taps, 127 columns.
        (16, (16, 1, 5, 5), {"strides": [1, 2], "dilations": [1, 60]}, ""),
        (16, (16, 1, 5, 5), {"strides": [1, 2], "dilations": [1, 62]}, f"[5, 5] {REACH} 249 columns"),
        (16, (16, 1, 9), {"dilations": [31]}, ""),
        (16, (16, 1, 9), {"dilations": [32]}, f"[9] {REACH} 257 columns"),
        (16, (16, 1, 1, 9), {"dilations": [9, 32]}, f"[1, 9] {REACH} 257 columns"),
        (16, (16, 1, 32, 2), {}, ""),
        (16, (16, 1, 33, 2), {}, f"[33, 2] {REACH} 2 columns"),
        (16, (16, 1, 31, 28), {}, ""),
        (16, (16, 1, 31, 29), {}, f"[31, 29] {REACH} 29 columns"),
        (4, (4, 1, 31, 29), {}, ""),
        (16, (16, 1, 1, 128), {}, ""),
        (16, (16, 1, 1, 129), {}, f"[1, 129] {REACH} 129 columns"),
        (64, (128, 1, 3, 3), {}, GROUPS),
        (4, (4, 16, 3, 3), {}, ""),
        (4, (64, 15, 3, 3), {}, GROUPS),
        (4, (4, 16, 3), {"strides": [2]}, ""),
        (4, (4, 15, 3), {}, GROUPS),
        (8, (8, 4, 1, 1), {}, ""),
        (8, (8, 3, 1, 1), {}, POINTWISE),
        (8, (16, 1, 1, 1), {}, POINTWISE),
        (8, (8, 4, 1, 1), {"strides": [2, 2]}, GROUPS),
        (8, (8, 4, 1, 1), {"pads": [0, 1, 0, 0]}, GROUPS),
        (8, (8, 4, 1, 1), {"pads": [1, 0, 0, 0]}, GROUPS),
        (8, (8, 4, 1, 1), {"pads": [0, 0, 1, 0]}, GROUPS),
        (8, (8, 4, 1, 1), {"pads": [0, 0, 0, 1]}, GROUPS),
        (8, (8, 4, 1, 1), {"strides": [1, 2]}, GROUPS),
        (8, (8, 4, 1, 1), {"strides": [2, 1]}, GROUPS),
        (8, (8, 4, 1, 2), {}, GROUPS),
        (8, (8, 4, 2, 1), {}, GROUPS),
        (8, (8, 4, 1), {}, ""),
        (8, (8, 4, 1), {"pads": [0, 1]}, GROUPS),
        (1, (1, 1, 3, 3), {}, ""),
        (1, (8, 3, 7, 7), {"dilations": [2, 2]}, ""),
    ],
)
def test_both_sides_of_each_border(floats, groups, weights, attributes, reason):
    found = verdict(floats, groups, weights, **attributes)
    assert reason in found.reason if reason else not found.reason
    assert found.expected == bool(reason)
    assert (found.row is None) == bool(reason)


def test_want_of_a_form_is_said_first(floats):
    found = verdict(floats, 4, (4, 1, 3, 3, 3))
    assert (found.reason, found.expected) == ("a convolution over 3 axes; 1 and 2 run in integers", False)


WIDTH = 16
IMAGE = f"float[N,{WIDTH},7,7]"
DEPTHWISE = f"Conv<group={WIDTH}, pads=[1,1,1,1]>"


@pytest.fixture
def network(quantized, rng):
    """Quantizes nodes of x, with weights w (depthwise, 3x3), v (1x1, square), k (a slope a channel)."""

    def make(nodes, outputs=(f"{IMAGE} y",)):
        weights = {
            "w": rng.normal(size=(WIDTH, 1, 3, 3)),
            "v": rng.normal(size=(WIDTH, WIDTH, 1, 1)),
            "k": rng.uniform(0.1, 0.9, size=(WIDTH, 1, 1)),
        }
        used = {name: array.astype(np.float32) for name, array in weights.items() if f" {name})" in nodes}
        text = f"g ({IMAGE} x) => ({', '.join(outputs)}) {{ {nodes} }}"
        return quantized(text, rng.normal(size=(2, WIDTH, 7, 7)).astype(np.float32), **used)

    return make


def test_between_integers(network):
    case = network(f"a = Conv(x, v) b = Relu(a) c = {DEPTHWISE}(b, w) d = Relu(c) y = Conv(d, v)")
    assert case.ops == ["Quantize", "QConv", "QConv", "QConv"]
    assert case.lowered.stays == []
    assert case.sqnr() > 25


@pytest.mark.parametrize("reader", ["PRelu(c, k)", "InstanceNormalization(c, s, s)", "LpNormalization(c)"])
def test_read_as_float(quantized, rng, reader):
    text = f"g ({IMAGE} x) => ({IMAGE} y) {{ c = {DEPTHWISE}(x, w) r = {reader} y = Conv(r, v) }}"
    constants = {
        "w": rng.normal(size=(WIDTH, 1, 3, 3)).astype(np.float32),
        "v": rng.normal(size=(WIDTH, WIDTH, 1, 1)).astype(np.float32),
    }
    if "k" in reader:
        constants["k"] = rng.uniform(0.1, 0.9, size=(WIDTH, 1, 1)).astype(np.float32)
    if "s)" in reader:
        constants["s"] = np.ones(WIDTH, np.float32)
    case = quantized(text, rng.normal(size=(2, WIDTH, 7, 7)).astype(np.float32), **constants)
    assert case.ops == ["Quantize", "QConv", reader.split("(")[0], "Quantize", "QConv"]
    assert len(case.lowered.program.nodes[1].inputs) == 4  # float32 from its sums
    assert [stay.op for stay in case.lowered.stays] == [reader.split("(")[0]]


def test_one_without_a_kernel_stays_between_integers(quantized, rng):
    text = f"""g ({IMAGE} x) => ({IMAGE} y)
        {{ a = Conv(x, v) r = Relu(a) c = Conv<group={WIDTH}, pads=[1,1,0,1], dilations=[1,255]>(r, u)
           y = Conv(c, v) }}""".replace("7,7] x", "7,999] x").replace("7,7] y", "h,w] y")
    arrays = {"u": (WIDTH, 1, 3, 3), "v": (WIDTH, WIDTH, 1, 1)}
    constants = {name: rng.normal(size=shape).astype(np.float32) for name, shape in arrays.items()}
    case = quantized(text, rng.normal(size=(1, WIDTH, 7, 999)).astype(np.float32), **constants)
    assert case.ops == ["Quantize", "QConv", "Relu", "Conv", "Quantize", "QConv"]
    assert case.reasons["relu1"] == AFTER_LAST
    assert REACH in case.reasons["conv2"]
    assert all(stay.expected for stay in case.lowered.stays)


def test_a_mean_reads_integers(network):
    case = network(f"b = {DEPTHWISE}(x, w) y = GlobalAveragePool(b)", (f"float[N,{WIDTH},1,1] y",))
    assert case.ops == ["Quantize", "QConv", "QReduceMean"]


def test_batch_normalization_that_no_convolution_took_in(quantized, rng):
    text = f"""g ({IMAGE} x) => ({IMAGE} y)
        {{ a = Conv(x, v) r = Relu(a) n = BatchNormalization(r, s, s, s, s) q = Relu(n) y = Conv(q, v) }}"""
    arrays = {"s": rng.uniform(0.5, 2, WIDTH), "v": rng.normal(size=(WIDTH, WIDTH, 1, 1))}
    constants = {name: array.astype(np.float32) for name, array in arrays.items()}
    case = quantized(text, rng.normal(size=(2, WIDTH, 7, 7)).astype(np.float32), **constants)
    assert case.ops == ["Quantize", "QConv", "Relu", "BatchNormalization", "Relu", "Quantize", "QConv"]
    assert case.reasons == {
        "relu1": AFTER_LAST,
        "batchnormalization2": "a factor and an addend a channel are as fast in float, and more precise",
        "relu3": NO_INTEGERS,
    }
    assert all(stay.expected for stay in case.lowered.stays)
    assert case.sqnr() > 30
