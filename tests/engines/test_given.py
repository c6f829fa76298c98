"""Weights of -128, which imported models alone have, on every instruction set."""

import numpy as np
import octavo
import pytest
from given import Net
from octavo.session import load_program


@pytest.mark.parametrize("share", [1.0, 0.5])
@pytest.mark.parametrize(
    ("channels", "results", "kernel", "groups"),
    [(64, 64, 3, 1), (32, 48, 3, 1), (64, 96, 1, 1), (3, 32, 3, 1), (16, 16, 3, 16), (16, 16, 5, 16)],
)
def test_the_least_weight(channels, results, kernel, groups, share):
    rng = np.random.default_rng(kernel)
    shape = results, channels // groups, kernel, kernel
    weights = np.where(rng.random(shape) < share, -128, rng.integers(-128, 128, shape))
    net = Net(("N", channels, 17, 17))
    x = net.rounded("x", 0.02, 120)
    y = net.op("Conv", x, net.weights(weights, 0.004), pads=[kernel // 2] * 4, group=groups)
    program = load_program(net.model(net.rounded(y, 0.2, 128)))
    assert [node.op for node in program.nodes] == ["Quantize", "QConv", "Dequantize"]
    assert program.constants[program.nodes[1].inputs[1]].min() == -128
    feeds = {"x": rng.normal(0, 2, (2, channels, 17, 17)).astype(np.float32)}
    (wanted,) = octavo.reference.run(program, feeds)
    assert len(np.unique(wanted)) > 50
    for isa in octavo.tiers():
        (given,) = octavo.Session(program, threads=1, isa=isa).run(None, feeds)
        assert given.tobytes() == wanted.tobytes(), isa
