"""The kernels of depthwise convolutions: never a matrix product a channel, whoever reads the result."""

import numpy as np
import octavo
import onnx.parser
import pytest
from onnx import numpy_helper

READERS = {
    "LayerNormalization": "t = Transpose<perm=[0,2,3,1]>(a) u = LayerNormalization<axis=-1>(t, s) "
    "b = Transpose<perm=[0,3,1,2]>(u) y = Conv(b, v)",
    "PRelu a channel": "b = PRelu(a, k) y = Conv(b, v)",
    "InstanceNormalization": "b = InstanceNormalization(a, s, s) y = Conv(b, v)",
    "the caller": "y = Relu(a)",
    "Conv": "b = Relu(a) y = Conv(b, v)",
}


def model(after, width, side, stride=1):
    """A depthwise convolution that is called so, and what follows it."""
    rng = np.random.default_rng(7)
    attributes = f"group={width}, pads={[side // 2] * 4}, strides={[stride] * 2}"
    text = f"""<ir_version: 10, opset_import: ["" : 18]> g (float[N,{width},12,12] x) => (float[N,d,h,w] y)
        {{ [depthwise] a = Conv<{attributes}>(x, w) {after} }}"""
    proto = onnx.parser.parse_model(text)
    arrays = {
        "w": rng.normal(size=(width, 1, side, side)),
        "v": rng.normal(size=(8, width, 1, 1)),
        "k": rng.uniform(0.1, 0.9, size=(width, 1, 1)),
        "s": np.ones(width),
    }
    used = {name for node in proto.graph.node for name in node.input}
    for name in sorted(used & arrays.keys()):
        proto.graph.initializer.append(numpy_helper.from_array(arrays[name].astype(np.float32), name))
    return proto, {"x": rng.normal(size=(1, width, 12, 12)).astype(np.float32)}


def kernels(quantized, feeds):
    """The kernel of the depthwise convolution on each tier."""
    found = {}
    for tier in octavo.tiers():
        rows = octavo.Session(quantized, isa=tier).profile(feeds)
        (found[tier],) = [row.kernel for row in rows if row.macs and row.name.split(" + ")[0] == "depthwise"]
    return found


@pytest.mark.parametrize("reader", READERS)
@pytest.mark.parametrize(("width", "side"), [(16, 3), (24, 7), (8, 3), (7, 3), (3, 5)])
def test_every_reader_gets_a_depthwise_kernel(reader, width, side):
    proto, feeds = model(READERS[reader], width, side)
    quantized = octavo.quantize(proto, [feeds], strict=reader in ("the caller", "Conv"))
    types = "u8i8" if reader == "Conv" else "u8i8f32"
    for tier, kernel in kernels(quantized, feeds).items():
        assert kernel.split("-")[1:3] == [types, "depthwise"]
        assert kernel.endswith("-row") == (width < 8 and tier != "scalar")
    assert [stay for stay in quantized.report.stays if stay.name == "depthwise"] == []
    want = octavo.reference.run(quantized.program, feeds)
    for tier in octavo.tiers():
        for threads in (1, 2):
            session = octavo.Session(quantized, threads=threads, isa=tier)
            for given, found in zip(session.run(None, feeds), want, strict=True):
                assert np.array_equal(given, found)


@pytest.mark.parametrize("side", [3, 5])
@pytest.mark.parametrize("stride", [1, 2])
@pytest.mark.parametrize("reader", ["Conv", "PRelu a channel"])
def test_usual_windows_have_kernels_of_their_own(side, stride, reader):
    proto, feeds = model(READERS[reader], 16, side, stride)
    for tier, kernel in kernels(octavo.quantize(proto, [feeds]), feeds).items():
        form = "any" if tier == "scalar" else f"{side}x{side}s{stride}"
        assert kernel.endswith(f"-depthwise-{form}")


def test_the_report_says_why():
    proto, feeds = model(READERS["the caller"], 16, 3, stride=3)
    text = str(octavo.quantize(proto, [feeds]).report)
    assert "0.0 % of 2,304 multiply-accumulates a sample are in integers" in text
    assert (
        "a depthwise convolution by a window of [3, 3], strides [3, 3] and dilations [1, 1] has no fast"
        in text
    )
    assert "stay float by choice or because it is better" in text
    assert "for want of an integer form" not in text
