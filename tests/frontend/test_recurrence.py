"""RNN, GRU and LSTM of every kind, beside ONNX Runtime."""

import numpy as np
import octavo
import onnxruntime
import pytest
from octavo.session import load_program
from onnx import TensorProto, helper, numpy_helper

GATES = {"RNN": 1, "GRU": 3, "LSTM": 4}
T, B, X, H = 5, 3, 4, 6
F = TensorProto.FLOAT


def model_of(op, optional="", opset=14, **attributes):
    """optional: letters of the inputs that are there: b(ias), l(engths), h, c (states), p(eepholes)."""
    rng = np.random.default_rng(0)
    directions = 2 if attributes.get("direction") == "bidirectional" else 1
    by_batch = attributes.get("layout", 0)
    gates = GATES[op]

    def array(*shape):
        return (rng.standard_normal(shape) / 2).astype(np.float32)

    state = (B, directions, H) if by_batch else (directions, B, H)
    constants = {"W": array(directions, gates * H, X), "R": array(directions, gates * H, H)}
    more = {
        "b": ("b", array(directions, 2 * gates * H)),
        "l": ("l", np.array([5, 2, 4], np.int32)),
        "h": ("h", array(*state)),
        "c": ("c", array(*state)),
        "p": ("p", array(directions, 3 * H)),
    }
    names = ["x", "W", "R", *(letter if letter in optional else "" for letter in "blhcp")]
    while not names[-1]:
        names.pop()
    constants |= {more[letter][0]: more[letter][1] for letter in optional}
    outputs = ["y", "y_h", *(["y_c"] if op == "LSTM" else [])]
    nodes = [helper.make_node(op, names, outputs, hidden_size=H, **attributes)]
    graph = helper.make_graph(
        nodes,
        "g",
        [helper.make_tensor_value_info("x", F, ["n", "t", X])],
        [helper.make_tensor_value_info(name, F, [None] * (4 if name == "y" else 3)) for name in outputs],
        [numpy_helper.from_array(array, name) for name, array in constants.items()],
    )
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", opset)], ir_version=8)


def same_as_runtime(model, shape=(T, B, X)):
    feeds = {"x": np.random.default_rng(1).standard_normal(shape).astype(np.float32)}
    wanted = onnxruntime.InferenceSession(model.SerializeToString()).run(None, feeds)
    program = load_program(model)
    given = octavo.Session(program, threads=1).run(None, feeds)
    for w, g, r in zip(wanted, given, octavo.reference.run(program, feeds), strict=True):
        assert g.tobytes() == r.tobytes()
        assert w.shape == g.shape
        np.testing.assert_allclose(g, w, rtol=1e-5, atol=2e-6)


@pytest.mark.parametrize("op", GATES)
@pytest.mark.parametrize("direction", ["forward", "reverse", "bidirectional"])
@pytest.mark.parametrize("optional", ["", "b", "bh", "bl", "blh"])
def test_directions_and_lengths(op, direction, optional):
    same_as_runtime(model_of(op, optional, direction=direction))


@pytest.mark.parametrize("opset", [7, 14, 21])
@pytest.mark.parametrize("op", GATES)
def test_opsets(op, opset):
    same_as_runtime(model_of(op, "bh", opset))


@pytest.mark.parametrize("direction", ["forward", "reverse", "bidirectional"])
@pytest.mark.parametrize("optional", ["bhc", "bhcp", "blhcp", "p"])
def test_cells_and_peepholes(direction, optional):
    same_as_runtime(model_of("LSTM", optional, direction=direction))


@pytest.mark.parametrize("direction", ["forward", "bidirectional"])
@pytest.mark.parametrize("optional", ["", "b", "bh"])
def test_a_gru_that_resets_after_the_product(direction, optional):
    same_as_runtime(model_of("GRU", optional, direction=direction, linear_before_reset=1))


def test_coupled_gates():
    same_as_runtime(model_of("LSTM", "bhc", input_forget=1))


@pytest.mark.parametrize("op", GATES)
def test_clipped(op):
    same_as_runtime(model_of(op, "b", clip=0.3))


ACTIVATIONS = {
    "Relu": ([], []),
    "Softsign": ([], []),
    "Softplus": ([], []),
    "HardSigmoid": ([0.3], [0.4]),
    "LeakyRelu": ([0.1], []),
    "Elu": ([0.7], []),
    "ScaledTanh": ([0.9], [0.8]),
    "Affine": ([0.5], [0.1]),
    "ThresholdedRelu": ([0.2], []),
}


@pytest.mark.parametrize("name", ACTIVATIONS)
def test_activations(name):
    alphas, betas = ACTIVATIONS[name]
    given = {"activations": [name]}
    if alphas:
        given["activation_alpha"] = alphas
    if betas:
        given["activation_beta"] = betas
    same_as_runtime(model_of("RNN", "bh", **given))


def test_a_state_that_is_carried_from_call_to_call_gives_the_bits_of_one_call():
    graph = model_of("LSTM", "b")
    whole = octavo.Session(graph, threads=1)
    for letter, place in (("h", 5), ("c", 6)):
        while len(graph.graph.node[0].input) <= place:
            graph.graph.node[0].input.append("")
        graph.graph.node[0].input[place] = letter
        graph.graph.input.append(helper.make_tensor_value_info(letter, F, [1, "n", H]))
    steps = octavo.Session(graph, threads=1)
    x = np.random.default_rng(2).standard_normal((T, 1, X)).astype(np.float32)
    wanted = whole.run(None, {"x": x})
    h = c = np.zeros((1, 1, H), np.float32)
    rows = []
    for at in range(T):
        y, h, c = steps.run(None, {"x": x[at : at + 1], "h": h, "c": c})
        rows.append(y)
    assert np.concatenate(rows).tobytes() == wanted[0].tobytes()
    assert (h.tobytes(), c.tobytes()) == (wanted[1].tobytes(), wanted[2].tobytes())
