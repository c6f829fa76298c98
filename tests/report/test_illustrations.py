"""The pictures of few bits: what is drawn and written in them, against integers made one at a time."""

import math
import xml.etree.ElementTree as ET
from itertools import pairwise
from pathlib import Path

import numpy as np
import onnx
import onnx.parser
import pytest
from octavo import ModelError
from octavo.report.illustrations import (
    BITS,
    held,
    held_weights,
    picture,
    sine,
    synthetic_weights,
    weights,
    weights_of,
)
from octavo.session import load_program

PICTURES = Path(__file__).resolve().parents[2] / "docs" / "pictures"
SVG = "{http://www.w3.org/2000/svg}"
RED = "#e5534b"


def figures():
    return sine() + weights(synthetic_weights(), "Made-up weights")


def plain_symmetric(reals, high):
    """Scale and integers, one by one, ties to even."""
    scale = np.float32(max(abs(real) for real in reals)) / np.float32(high)
    return scale, [max(-high, min(high, round(float(real) / float(scale)))) for real in reals]


def plain_sqnr(reals, reached):
    signal = math.fsum(float(real) ** 2 for real in reals)
    noise = math.fsum((float(one) - float(real)) ** 2 for real, one in zip(reals, reached, strict=True))
    return 10 * math.log10(signal / noise)


@pytest.mark.parametrize("bits", BITS)
def test_weights_of_one_scale_are_those_of_plain_integers(bits):
    weight = synthetic_weights()
    found, high = held_weights(weight, bits, per_channel=False), 2 ** (bits - 1) - 1
    scale, q = plain_symmetric(weight.ravel(), high)
    assert found.integers.ravel().tolist() == q
    assert found.scale.tolist() == [scale]
    assert found.levels == 2 * high + 1 == 2**bits - 1
    assert found.sqnr == pytest.approx(
        plain_sqnr(weight.ravel(), [scale * np.float32(i) for i in q]), abs=1e-9
    )


def test_weights_of_a_scale_a_channel_are_those_of_plain_integers():
    weight = synthetic_weights()
    found = held_weights(weight, 8, per_channel=True)
    for channel in range(16):
        scale, q = plain_symmetric(weight[:, channel], 127)
        assert found.integers[:, channel].tolist() == q
        assert found.scale[channel] == scale
        sqnr = plain_sqnr(weight[:, channel], [scale * np.float32(i) for i in q])
        assert found.channels[channel] == pytest.approx(sqnr, abs=1e-9)


@pytest.mark.parametrize("bits", BITS)
def test_asymmetric_integers_are_plain_ones(bits):
    reals = synthetic_weights().ravel() + np.float32(0.7)
    found, high = held(reals, bits, symmetric=False), 2**bits - 1
    least, greatest = float(reals.min()), float(reals.max())
    scale = np.float32((greatest - least) / high)
    zero_point = max(0, min(high, round(-least / float(scale))))
    q = [max(0, min(high, round(float(np.float32(real) / scale)) + zero_point)) for real in reals]
    assert (found.integers.tolist(), found.zero_point, found.scale.tolist()) == (q, zero_point, [scale])
    assert found.levels == 2**bits
    assert 0 < zero_point < high
    reached = [scale * np.float32(i - zero_point) for i in q]
    assert found.sqnr == pytest.approx(plain_sqnr(reals, reached), abs=1e-9)


def test_the_sine_is_a_sine():
    turn = sine()[0].panels[0].reals
    wanted = [math.sin(2 * math.pi * i / 120) for i in range(121)]
    assert np.allclose(turn, wanted, atol=1e-6)
    raised = sine()[1].panels
    assert np.allclose(raised[0].reals, [0.4 + 0.6 * one for one in wanted], atol=1e-6)
    assert "two of the seven symmetric levels are never used" in sine()[1].title
    assert set(raised[0].integers.tolist()) == {-1, 0, 1, 2, 3}
    assert set(raised[1].integers.tolist()) == set(range(8))


def test_the_figures_stand_in_the_picture():
    drawn = ET.fromstring(picture(figures()))
    texts = [element.text for element in drawn.iter(f"{SVG}text")]
    for figure in figures():
        assert figure.title in texts
        for panel in figure.panels:
            assert (panel.title, panel.caption) in pairwise(texts)
            assert f"{panel.levels} levels" in panel.caption
            assert f"SQNR {panel.sqnr:.1f} dB" in panel.caption
    assert "255 levels, step 0.01096, SQNR 35.7 dB" in texts


def test_every_level_is_drawn_where_they_are_few():
    for figure in weights(synthetic_weights(), "w")[:2]:
        drawn = ET.fromstring(picture([figure]))
        marks = [line for line in drawn.iter(f"{SVG}line") if line.get("stroke") == RED]
        few = [panel for panel in figure.panels if panel.levels < 16]
        assert len(marks) == sum(panel.levels for panel in few)
    stairs = [line for line in ET.fromstring(picture(sine()[:1])).iter(f"{SVG}polyline")][1::2]
    for line, panel in zip(stairs, sine()[0].panels, strict=True):
        heights = {point.partition(",")[2] for point in line.get("points").split()}
        assert len(heights) == len(set(panel.integers.tolist()))


def test_a_bar_a_channel_as_high_as_its_sqnr():
    figure = weights(synthetic_weights(), "w")[2]
    bars = [float(r.get("height")) for r in ET.fromstring(picture([figure])).iter(f"{SVG}rect")][1:]
    sqnrs = [sqnr for panel in figure.panels for sqnr in panel.channels]
    assert len(bars) == 32
    full = bars[0] / sqnrs[0]
    assert bars == pytest.approx([full * sqnr for sqnr in sqnrs], abs=0.1)


def test_many_channels_are_thinned_out_and_odd_names_escaped():
    weight = np.tile(synthetic_weights(), (1, 20))
    text = picture(weights(weight, "a<b>\n" + "n" * 300))
    drawn = ET.fromstring(text)
    assert any("107 of 320 channels" in (t.text or "") for t in drawn.iter(f"{SVG}text"))
    assert len(text) < 60_000


def test_weights_of_zeros_are_drawn():
    assert "SQNR 300.0 dB" in picture(weights(np.zeros((4, 3), np.float32), "none"))


@pytest.mark.parametrize("figure", figures(), ids=lambda figure: figure.name)
def test_the_documents_show_what_the_command_draws(figure):
    assert (PICTURES / f"{figure.name}.svg").read_bytes() == picture([figure]).encode()
    assert f"pictures/{figure.name}.svg" in (PICTURES.parent / "quantization.md").read_text()


def model():
    proto = onnx.parser.parse_model(
        """<ir_version: 10, opset_import: ["" : 21]> g (float[1,2,5,5] x, float[N,4] r) => (
            float[1,3,3,3] c, float[N,6] m, float[N,5] g)
        { c = Conv(x, conv) m = MatMul(r, wide) g = Gemm<transB = 1>(r, tall) }"""
    )
    rng = np.random.default_rng(5)
    arrays = {
        name: rng.normal(size=shape).astype("f4")
        for name, shape in {"conv": (3, 2, 3, 3), "wide": (4, 6), "tall": (5, 4)}.items()
    }
    for name, array in arrays.items():
        proto.graph.initializer.append(onnx.numpy_helper.from_array(array, name))
    return proto, arrays


def test_weights_of_a_model_have_their_channels_last():
    proto, arrays = model()
    program = load_program(proto)
    assert np.array_equal(weights_of(program, "conv"), arrays["conv"].reshape(3, 18).T)
    assert np.array_equal(weights_of(program, "wide"), arrays["wide"])
    assert np.array_equal(weights_of(program, "tall"), arrays["tall"].T)


def test_a_wrong_name_is_told_the_names_that_are_near():
    program = load_program(model()[0])
    with pytest.raises(ModelError, match=r"called 'convo'; close to it are 'conv'$"):
        weights_of(program, "convo")
    with pytest.raises(ModelError, match="close to it are 'conv', 'wide', 'tall'"):
        weights_of(program, "#")
