"""Small Programs that exercise a session: a convolutional network, and one of a single node."""

import numpy as np
import octavo
import pytest
from octavo.program import DTYPES, Node, Program, Quant, Value, artifact

CHANNELS = 16
NAMES = {dtype: name for name, dtype in DTYPES.items()}


def numbers(count, low, high):
    """Numbers in [low, high] without order, the same everywhere."""
    return np.arange(count) * 7919 % (high - low + 1) + low


def constant(values, constants, name, array):
    values[name] = Value(name, NAMES[array.dtype], array.shape)
    constants[name] = array
    return name


def convolution(values, constants, name, source, shape, pads, group):
    """A QConv of the weights' `shape`, whose output keeps the input's extent."""
    outputs = shape[0]
    arrays = {
        "weights": numbers(int(np.prod(shape)), -127, 127).astype(np.int8).reshape(shape),
        "bias": numbers(outputs, -5000, 5000).astype(np.int32),
        "multiplier": (2**30 + 128 + 256 * numbers(outputs, 0, 9999)).astype(np.int32),
        "shift": np.full(outputs, 39, np.int32),
    }
    inputs = [constant(values, constants, f"{name}.{key}", array) for key, array in arrays.items()]
    attributes = {"strides": [1, 1], "pads": [pads] * 4, "dilations": [1, 1], "group": group}
    clamp = {"x_zero_point": 128, "y_zero_point": 128, "lo": 100, "hi": 255}
    return Node("QConv", name, (source, *inputs), (f"{name}.y",), attributes | clamp)


def convolutional_network():
    """x float32 [N, 3, H, W] -> scores float32 [N, 10] and codes uint8 [N, 16, H, W]."""
    values = {"x": Value("x", "f32", ("N", 3, "H", "W"))}
    constants = {}
    nodes = [
        Node("Quantize", "quantize", ("x",), ("q",), {"scale": np.float32(0.02), "zero_point": 128}),
        convolution(values, constants, "first", "q", (CHANNELS, 3, 3, 3), 1, 1),
        convolution(values, constants, "depthwise", "first.y", (CHANNELS, 1, 3, 3), 1, CHANNELS),
        convolution(values, constants, "pointwise", "depthwise.y", (CHANNELS, CHANNELS, 1, 1), 0, 1),
        Node(
            "QAdd",
            "add",
            ("first.y", "pointwise.y"),
            ("codes",),
            {
                "a_zero_point": 128,
                "b_zero_point": 128,
                "y_zero_point": 100,
                "a_multiplier": 20000,
                "b_multiplier": 30000,
                "shift": 15,
                "lo": 0,
                "hi": 255,
            },
        ),
        Node(
            "QReduceMean",
            "mean",
            ("codes",),
            ("means",),
            {
                "axes": [2, 3],
                "keepdims": 0,
                "x_zero_point": 100,
                "y_zero_point": 100,
                "ratio": np.float64(1),
                "lo": 0,
                "hi": 255,
            },
        ),
    ]
    product = {
        "weights": numbers(CHANNELS * 10, -127, 127).astype(np.int8).reshape(CHANNELS, 10),
        "bias": numbers(10, -9, 9).astype(np.float32),
        "scale": np.full(10, 0.01, np.float32),
    }
    inputs = [constant(values, constants, f"product.{key}", array) for key, array in product.items()]
    attributes = {"x_zero_point": 100, "x_scale": np.float32(0.05)}
    nodes.append(Node("QGemm", "product", ("means", *inputs), ("scores",), attributes))
    for node in nodes[:-1]:
        values[node.outputs[0]] = Value(node.outputs[0], "u8", None)
    codes = Quant(np.array([0.05], np.float32), np.array([100]))
    values["codes"] = Value("codes", "u8", ("N", CHANNELS, "H", "W"), codes)
    values["scores"] = Value("scores", "f32", ("N", 10))
    return Program(["x"], ["scores", "codes"], values, constants, nodes, producer="octavo test")


def one_node(op, inputs, outputs, constants=None, **attributes):
    """A Program of one node; `inputs` and `outputs` are Values, the constants come last."""
    constants = constants or {}
    values = {value.name: value for value in (*inputs, *outputs)}
    for name, array in constants.items():
        constant(values, {}, name, array)
    names = [value.name for value in inputs]
    made = [value.name for value in outputs]
    node = Node(op, "node", (*names, *constants), tuple(made), attributes)
    return Program(names, made, values, constants, [node])


@pytest.fixture(scope="session")
def network():
    return convolutional_network()


@pytest.fixture(scope="session")
def network_bytes(network):
    return artifact.to_bytes(network)


@pytest.fixture(scope="session")
def small():
    """a + b over float32 [N, "M", 3]."""
    a, b, y = (Value(name, "f32", ("N", "M", 3)) for name in "aby")
    return one_node("Add", [a, b], [y])


@pytest.fixture
def session(network_bytes):
    return octavo.Session(network_bytes, threads=2)


@pytest.fixture
def images():
    """Makes images for the network, other ones for each seed."""

    def make(batch, height, width, seed=0):
        rng = np.random.default_rng(seed)
        return rng.uniform(-2.5, 2.5, (batch, 3, height, width)).astype(np.float32)

    return make


@pytest.fixture(scope="session")
def program_of_one_node():
    return one_node
