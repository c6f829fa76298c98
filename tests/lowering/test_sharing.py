"""Who shares a scale, where conversions stand, and what moves in which form."""

import numpy as np
import pytest

START = "c = Conv<pads=[1,1,1,1]>(x, w)"


@pytest.fixture
def image(rng):
    return rng.normal(size=(2, 3, 8, 8)).astype(np.float32)


@pytest.fixture
def weight(rng):
    return rng.normal(size=(4, 3, 3, 3)).astype(np.float32)


def square(rng, channels=4):
    return rng.normal(size=(4, channels, 1, 1)).astype(np.float32)


def quants(case):
    return {
        name: (float(value.quant.scale[0]), int(value.quant.zero_point[0]))
        for name, value in case.lowered.program.values.items()
        if value.quant is not None and value.dtype == "u8"
    }


@pytest.mark.parametrize(
    "node",
    [
        "m = MaxPool<kernel_shape=[2,2]>(c)",
        "m = Transpose<perm=[0,1,3,2]>(c)",
        "m = Pad(c, pads)",
        "m = Identity(c)",
        "m = Slice(c, begin, end, axes)",
    ],
)
def test_movement_shares_its_inputs_scale(quantized, image, weight, rng, node):
    text = f"g (float[N,3,8,8] x) => (float[N,4,h,w] y) {{ {START} {node} y = Conv(m, v) }}"
    constants = {
        "pads": np.array([0, 0, 1, 1, 0, 0, 1, 1]),
        "begin": np.array([1]),
        "end": np.array([7]),
        "axes": np.array([2]),
    }
    used = {name: array for name, array in constants.items() if name in node}
    case = quantized(text, image, w=weight, v=square(rng), **used)
    assert case.ops == ["Quantize", "QConv", node.split()[2].split("<")[0].split("(")[0], "QConv"]
    assert quants(case)["m"] == quants(case)["c"]
    assert case.sqnr() > 33


def test_pad_value_becomes_an_integer(quantized, image, weight, rng):
    text = f"g (float[N,3,8,8] x) => (float[N,4,h,w] y) {{ {START} m = Pad(c, pads, value) y = Conv(m, v) }}"
    pads = np.array([0, 0, 1, 1, 0, 0, 1, 1])
    case = quantized(text, image, w=weight, v=square(rng), pads=pads, value=np.float32(0.5))
    scale, zero_point = quants(case)["c"]
    assert case.constant("Pad", 2) == round(0.5 / scale) + zero_point
    far = quantized(text, image, w=weight, v=square(rng), pads=pads, value=np.float32(-1e9))
    assert far.reasons["pad1"] == "its pad value -1e+09 lies outside the range of its input"


def test_movement_before_the_first_conv_moves_bytes(quantized, rng, weight):
    text = "g (float[N,8,8,3] x) => (float[N,4,6,6] y) { t = Transpose<perm=[0,3,1,2]>(x) y = Conv(t, w) }"
    case = quantized(text, rng.normal(size=(1, 8, 8, 3)).astype(np.float32), w=weight)
    assert case.ops == ["Quantize", "Transpose", "QConv"]
    assert case.lowered.program.values[case.node("Transpose").outputs[0]].dtype == "u8"


def test_movement_after_the_last_product_moves_floats(quantized, image, weight):
    text = f"g (float[N,3,8,8] x) => (float[N,8,8,4] y) {{ {START} y = Transpose<perm=[0,2,3,1]>(c) }}"
    case = quantized(text, image, w=weight)
    assert case.ops == ["Quantize", "QConv", "Transpose"]
    assert case.lowered.program.values["c"].dtype == "f32"


def test_concat_sets_the_scale_of_inputs_that_it_alone_reads(quantized, image, weight, rng):
    text = f"""g (float[N,3,8,8] x) => (float[N,4,8,8] y)
        {{ {START} d = Conv<pads=[1,1,1,1]>(x, u) r = Relu(d) m = Concat<axis=1>(c, r) y = Conv(m, v) }}"""
    case = quantized(text, image, w=weight, u=weight * np.float32(0.01), v=square(rng, 8))
    assert "Requantize" not in case.ops
    assert len({quants(case)[name] for name in ("c", "r", "m")}) == 1
    (relu,) = [n for n in case.lowered.program.nodes if n.outputs == ("r",)]
    assert relu.attributes["lo"] == quants(case)["r"][1] > 0


def test_concat_requantizes_what_others_read_at_a_finer_scale(quantized, image, weight, rng):
    text = f"""g (float[N,3,8,8] x) => (float[N,4,8,8] y, float[N,4,8,8] z)
        {{ {START} d = Conv<pads=[1,1,1,1]>(x, u) m = Concat<axis=1>(c, d)
           y = Conv(m, v) z = Conv(d, t) }}"""
    args = {"w": weight, "v": square(rng, 8), "t": square(rng)}
    fine = quantized(text, image, u=weight * np.float32(0.01), **args)
    assert fine.ops.count("Requantize") == 1
    assert quants(fine)["d"] != quants(fine)["m"] == quants(fine)["c"]
    near = quantized(text, image, u=weight * np.float32(0.9), **args)
    assert near.ops.count("Requantize") == 0
    assert quants(near)["d"] == quants(near)["m"]
    assert min(fine.sqnr(), near.sqnr()) > 30


def test_fixed_ranges_are_requantized_into_a_concat(quantized, image, weight, rng):
    text = f"""g (float[N,3,8,8] x) => (float[N,4,8,8] y)
        {{ {START} s = Sigmoid(c) m = Concat<axis=1>(c, s) y = Conv(m, v) }}"""
    case = quantized(text, image, w=weight, v=square(rng, 8))
    assert case.ops.count("Requantize") == 1
    assert quants(case)["s"] == (1 / 256, 0)


def test_boxes_and_scores_are_not_forced_together(quantized, image, weight, rng):
    """Both heads are pooled, so integers are at hand; the caller alone reads what joins them."""
    text = f"""g (float[N,3,8,8] x) => (float[N,8,4,4] y)
        {{ {START} d = Conv<pads=[1,1,1,1]>(x, u) p = AveragePool<kernel_shape=[5,5]>(c)
           q = AveragePool<kernel_shape=[5,5]>(d) y = Concat<axis=1>(p, q) }}"""
    apart = quantized(text, image, w=weight, u=weight * np.float32(0.01))
    assert apart.reasons["concat4"].startswith("its inputs' ranges differ by a factor of ")
    assert apart.sqnr() > 30
    near = quantized(text, image, w=weight, u=weight[::-1])
    assert near.reasons == {}


def test_one_quantize_and_one_dequantize_a_tensor(quantized, image, weight, rng):
    text = f"""g (float[N,3,8,8] x)
            => (float[N,4,8,8] y, float[N,4,8,8] z, float[N,4,8,8] p, float[N,3,8,8] q)
        {{ {START} a = Relu(c) m = MaxPool<kernel_shape=[1,1]>(a)
           y = Conv(m, v) z = LogSoftmax(m) p = LogSoftmax<axis=1>(m) d = Conv<pads=[1,1,1,1]>(x, w)
           q = Neg(x) }}"""
    case = quantized(text, image, w=weight, v=square(rng))
    assert case.ops.count("Quantize") == 1
    assert case.ops.count("Dequantize") == 1


def test_outputs_that_are_also_read_keep_their_name(quantized, image, weight, rng):
    text = f"g (float[N,3,8,8] x) => (float[N,4,8,8] c, float[N,4,8,8] y) {{ {START} y = Conv(c, v) }}"
    case = quantized(text, image, w=weight, v=square(rng))
    assert case.ops == ["Quantize", "QConv", "Dequantize", "QConv"]
    assert case.lowered.program.values["c"].dtype == "f32"
    assert case.sqnr() > 35
