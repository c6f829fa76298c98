"""What octavo does not have is refused when the model is read: one error that names node and operator."""

import sys
from pathlib import Path

import numpy as np
import octavo
import pytest

sys.path.insert(0, str(Path(__file__).resolve().parent))
from networks.net import Net


def random(net, x):
    return net.op("RandomNormalLike", x, name="up")


@pytest.mark.parametrize(("layer", "op"), [(random, "RandomNormalLike")])
def test_refused_by_name(layer, op):
    net = Net(17)
    x = net.op("Relu", net.conv(net.input("x", ["batch", 3, 8, 8]), (3, 8), 3))
    model = net.model(layer(net, x))
    with pytest.raises(octavo.ModelError, match=op) as error:
        octavo.quantize(model, np.zeros((1, 3, 8, 8), np.float32))
    assert "'up'" in str(error.value)
    assert "\n" not in str(error.value)
