"""Which Adds are a product's bias, who reads what, and which tensors are functions of others."""

import re

import numpy as np
import pytest
from octavo.lowering.wiring import Wiring, per_channel


@pytest.mark.parametrize(
    ("shape", "channels", "trailing", "rank", "fits"),
    [
        ((5,), 5, 0, 2, True),
        ((1,), 5, 0, 2, True),
        ((), 5, 0, 2, True),
        ((4,), 5, 0, 2, False),
        ((1, 5), 5, 0, 2, True),
        ((5, 1), 5, 0, 2, False),
        ((2, 5), 5, 0, 2, False),
        ((1, 1, 5), 5, 0, 2, False),
        ((1, 1, 5), 5, 0, 3, True),
        ((5, 1, 1), 5, 2, 4, True),
        ((1, 5, 1, 1), 5, 2, 4, True),
        ((5, 1), 5, 2, 4, False),
        ((1, 5, 1), 5, 2, 4, False),
        ((1, 5, 1, 2), 5, 2, 4, False),
        ((5, 1, 1, 1), 5, 2, 4, False),
        ((5,), 5, 2, 4, False),
        ((1,), 5, 2, 4, True),
        ((5, 1), 5, 1, 3, True),
        ((1, 1, 5, 1, 1), 5, 2, 4, False),
    ],
)
def test_one_number_a_channel(shape, channels, trailing, rank, fits):
    assert per_channel(shape, channels, trailing, rank) == fits


PRODUCTS = {
    "conv": ("p = Conv(x, w)", "1,2,4,4", (3, 2, 1, 1), (3, 1, 1)),
    "sequence": ("p = Conv(x, w)", "1,2,4", (3, 2, 1), (3, 1)),
    "gemm": ("p = Gemm(x, w)", "5,2", (2, 3), (3,)),
    "gemm turned": ("p = Gemm<transB=1>(x, w)", "5,2", (3, 2), (3,)),
    "matmul": ("p = MatMul(x, w)", "5,2", (2, 3), (1, 3)),
    "matmul of three axes": ("p = MatMul(x, w)", "4,5,2", (2, 3), (1, 1, 3)),
}


@pytest.mark.parametrize("add", ["y = Add(p, b)", "y = Add(b, p)"])
@pytest.mark.parametrize("name", PRODUCTS)
def test_a_bias_belongs_to_its_product(floats, name, add):
    product, shape, weight, bias = PRODUCTS[name]
    text = f"g (float[{shape}] x) => (float y) {{ {product} {add} }}"
    program = floats(text, w=np.ones(weight, "f4"), b=np.ones(bias, "f4"))
    (unit,) = Wiring(program).units
    assert [node.op for node in unit.nodes] == [program.nodes[0].op, "Add"]
    assert (unit.name, unit.outputs) == (program.nodes[0].name, ("y",))
    assert Wiring(program).activations(unit) == ["x"]


@pytest.mark.parametrize(
    ("nodes", "outputs", "bias"),
    [
        ("p = MatMul(x, w) y = Add(p, b)", "float p, float y", (3,)),
        ("p = MatMul(x, w) y = Add(p, b) z = Relu(p)", "float y, float z", (3,)),
        ("p = MatMul(x, w) y = Mul(p, b)", "float y", (3,)),
        ("p = MatMul(x, w) y = Add(p, b)", "float y", (5, 1)),
        ("p = MatMul(x, w) y = Add(p, b)", "float y", (5, 3)),
        ("p = MatMul(x, w) y = Add(p, b)", "float y", (1, 5, 3)),
        ("p = MatMul(x, w) y = Add(p, b)", "float y", (1, 1, 3)),
        ("p = MatMul(x, w) y = Add(p, p)", "float y", (3,)),
        ("p = MatMul(x, x) y = Add(p, b)", "float y", (5,)),
        ("p = MatMul(v, w) y = Add(p, b)", "float y", (3,)),
        ("p = MatMul(v, w) y = Add(b, p)", "float y", ()),
        ("p = MatMul(x, k) y = Add(p, b)", "float y", (3,)),
        ("p = MatMul(k, x) y = Add(p, b)", "float y", (3,)),
        ("p = MatMul(x, u) y = Add(p, b)", "float y", (2,)),
        ("p = MatMul(x, u) y = Add(b, p)", "float y", (1,)),
        ("p = MatMul(x, u) y = Add(p, b)", "float y", ()),
    ],
)
def test_other_adds_are_ops_of_their_own(floats, nodes, outputs, bias):
    """Not of two activations, of a vector, of a stack of matrices, nor where others read the product."""
    size = "5,5" if "(x, x)" in nodes else "2,3" if "(k, x)" in nodes else "2,2" if "u)" in nodes else "5,2"
    text = f"g (float[{size}] x, float[2] v) => ({outputs}) {{ {nodes} }}"
    constants = {"w": np.ones((2, 3), "f4"), "b": np.ones(bias, "f4"), "k": np.ones((4, 2, 3), "f4")}
    constants["u"] = np.ones(2, "f4")
    if "(k, x)" in nodes:
        constants["k"] = np.ones((4, 5, 2), "f4")
    used = {name: array for name, array in constants.items() if name in re.findall(r"\w+", nodes)}
    program = floats(text, **used)
    assert [len(unit.nodes) for unit in Wiring(program).units] == [1] * len(program.nodes)


def test_who_makes_and_who_reads(floats):
    text = """g (float[2,2] x) => (float[2,2] a, float[2,2] y)
        { a = Relu(x) b = Add(a, a) c = Mul(b, k) y = Add(c, a) }"""
    wiring = Wiring(floats(text, k=np.ones(2, "f4")))
    assert {name: unit.node.op for name, unit in wiring.producer.items()} == {
        "a": "Relu", "b": "Add", "c": "Mul", "y": "Add",
    }  # fmt: skip
    readers = {name: [unit.outputs[0] for unit in units] for name, units in wiring.readers.items()}
    assert readers == {"x": ["a"], "a": ["b", "y"], "b": ["c"], "c": ["y"]}
    soles = {name: wiring.sole_reader(name) for name in ("x", "a", "b", "c", "y")}
    assert {name: unit and unit.outputs[0] for name, unit in soles.items()} == {
        "x": "a", "a": None, "b": "c", "c": "y", "y": None,
    }  # fmt: skip
    assert wiring.is_float_activation("a")
    assert not wiring.is_float_activation("k")
    assert not wiring.is_float_activation("")
    assert wiring.rank("x") == 2


def test_an_output_of_the_model_has_no_sole_reader(floats):
    wiring = Wiring(floats("g (float[2] x) => (float[2] a, float[2] y) { a = Relu(x) y = Abs(a) }"))
    assert wiring.sole_reader("a") is None


@pytest.mark.parametrize("piece", ["p", "q"])
@pytest.mark.parametrize("order", ["{}, c", "c, {}"])
def test_the_pieces_of_a_split_are_no_functions_of_the_whole(quantized, rng, piece, order):
    """Beside the whole, broadcast, a piece has its own elements: no table of the whole's."""
    nodes = f"p, q = Split<axis=1>(c, l) r = Mul({order.format(piece)}) y = MatMul(r, w)"
    text = f"g (float[N,2] x) => (float[N,2] y) {{ c = MatMul(x, w) {nodes} }}"
    x = rng.uniform(-1, 1, size=(9, 2)).astype("f4")
    case = quantized(text, x, w=np.eye(2, dtype="f4"), l=np.array([1, 1]))
    assert case.ops == ["Quantize", "QGemm", "Split", "QMul", "QGemm"]
    want = x * (x[:, :1] if piece == "p" else x[:, 1:])
    np.testing.assert_allclose(case.got[0], want, atol=0.03)


def test_functions_of_one_tensor_nearest_first(floats):
    text = """g (float[2,2] x, float[2,2] z) => (float[2,2] e)
        { a = Relu(x) b = Abs(a) c = Add(a, b) d = Mul(b, c) e = Add(d, z) }"""
    wiring = Wiring(floats(text))
    for unit in wiring.units:
        wiring.trace_function(unit)
    assert wiring.functions == {"a": ("x",), "b": ("a", "x"), "c": ("a", "x"), "d": ("a", "x")}
    wiring.forget_function(wiring.units[3])
    assert "d" not in wiring.functions
    wiring.forget_function(wiring.units[4])
