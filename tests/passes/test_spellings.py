"""Each number and tensor of an activation's spelling counts: with another in its place it is another."""

import math
import re

import numpy as np
import pytest
from octavo.passes.activations import name_activations
from octavo.passes.clips import merge_clips
from octavo.passes.duplicates import remove_unused

F = np.float32
NUMBERS = {
    "zero": 0.0, "one": 1.0, "half": 0.5, "two": 2.0, "three": 3.0, "six": 6.0, "sixth": 1 / 6,
    "minus1": -1.0, "minus3": -3.0, "root2": math.sqrt(2), "inverse": math.sqrt(0.5),
    "tau": math.sqrt(2 / math.pi), "cubic": 0.044715, "slope": 1.702,
}  # fmt: skip
ERF = "a = Div(x, root2) b = Erf(a)"
TANH = "b = Mul(p, cubic) c = Add(x, b) d = Mul(c, tau) e = Tanh(d) f = Add(one, e) "
TANH += "g = Mul(x, half) y = Mul(g, f)"
SPELLINGS = {
    "HardSigmoid, divided": ("a = Add(x, three) b = Clip(a, zero, six) y = Div(b, six)", "HardSigmoid"),
    "HardSigmoid, Sub": ("a = Sub(x, minus3) b = Clip(a, zero, six) y = Mul(b, sixth)", "HardSigmoid"),
    "HardSigmoid, slope": ("a = Mul(x, sixth) b = Sub(a, minus1) y = Clip(b, zero, one)", "HardSigmoid"),
    "HardSigmoid, divisor": ("a = Div(x, six) b = Add(half, a) y = Clip(b, zero, one)", "HardSigmoid"),
    "HardSwish": ("a = Add(three, x) b = Clip(a, zero, six) c = Mul(b, x) y = Div(c, six)", "HardSwish"),
    "HardSwish, Sub": (
        "a = Sub(x, minus3) b = Clip(a, zero, six) c = Mul(x, sixth) y = Mul(b, c)", "HardSwish",
    ),
    "Swish": ("a = Sigmoid(x) y = Mul(x, a)", "Swish"),
    "Swish, slope": ("a = Mul(slope, x) b = Sigmoid(a) y = Mul(b, x)", "Swish"),
    "Swish, divided": ("a = Div(x, three) b = Sigmoid(a) y = Mul(b, x)", "Swish"),
    "Softplus, Sub": ("a = Exp(x) b = Sub(a, minus1) y = Log(b)", "Softplus"),
    "Mish": ("a = Exp(x) b = Add(one, a) c = Log(b) d = Tanh(c) y = Mul(d, x)", "Mish"),
    "Gelu": (f"{ERF} c = Add(b, one) d = Mul(x, c) y = Mul(d, half)", "Gelu"),
    "Gelu, divided": (f"{ERF} c = Add(b, one) d = Mul(x, c) y = Div(d, two)", "Gelu"),
    "Gelu, multiplied": (
        "a = Mul(inverse, x) b = Erf(a) c = Add(one, b) d = Mul(half, c) y = Mul(x, d)", "Gelu",
    ),
    "Gelu, Pow": (f"p = Pow(x, three) {TANH}", "Gelu"),
    "Gelu, products": (f"q = Mul(x, x) p = Mul(x, q) {TANH}", "Gelu"),
    "Gelu, cube first": (f"p = Pow(x, three) {TANH.replace('Add(x, b)', 'Add(b, x)')}", "Gelu"),
    "Gelu, square": (f"q = Pow(x, two) p = Mul(q, x) {TANH}", "Gelu"),
}  # fmt: skip


def words(body):
    return re.findall(r"\w+", body)


def simplified(graphs, inputs, body, numbers, output="y"):
    before = graphs.build(inputs, body, output, **{k: v for k, v in numbers.items() if k in words(body)})
    after = before.clone()
    for run in (merge_clips, name_activations, name_activations, remove_unused):
        run(after)
    return before, after


@pytest.mark.parametrize("name", SPELLINGS)
@pytest.mark.parametrize("dtype", ["float", "float16", "double"])
def test_spellings_of_every_float(graphs, name, dtype):
    body, op = SPELLINGS[name]
    kind = {"float": "f4", "float16": "f2", "double": "f8"}[dtype]
    numbers = {key: np.array(value, kind) for key, value in NUMBERS.items()}
    before, after = simplified(graphs, f"{dtype}[N,8] x", body, numbers, f"{dtype} y")
    assert graphs.ops(after) == {op: 1}
    if dtype == "float":
        graphs.check(before, after, op)


@pytest.mark.parametrize("name", SPELLINGS)
def test_every_number_counts(graphs, name):
    body, _ = SPELLINGS[name]
    for changed in sorted(set(words(body)) & NUMBERS.keys()):
        for by in (1.002, 0.998, -1.0):
            numbers = {key: F(value) for key, value in NUMBERS.items()}
            numbers[changed] = F(NUMBERS[changed] * by if NUMBERS[changed] else by - 1)
            before, after = simplified(graphs, "float[N,8] x", body, numbers)
            feeds = {"x": np.linspace(-5, 5, 16, dtype=F).reshape(2, 8)}
            (want,), (got,) = graphs.answers(before, feeds), graphs.answers(after, feeds)
            np.testing.assert_allclose(got, want, rtol=1e-5, atol=2e-5, err_msg=f"{changed} * {by}")


@pytest.mark.parametrize("name", SPELLINGS)
def test_every_place_counts(graphs, name):
    """Each x alone replaced by another tensor, each operator but the last by a negation of it."""
    body, _ = SPELLINGS[name]
    numbers = {key: F(value) for key, value in NUMBERS.items()}
    feeds = {
        "x": np.linspace(-3, 3, 16, dtype=F).reshape(2, 8),
        "z": np.linspace(2, 3, 16, dtype=F).reshape(2, 8),
    }
    places = [match.start() for match in re.finditer(r"\bx\b", body)]
    changed = [body[:at] + "z" + body[at + 1 :] for at in places if len(places) > 1]
    changed += [
        f"{body[: match.end()]} {match[1]}n = Neg({match[1]}) "
        + re.sub(rf"\b{match[1]}\b", f"{match[1]}n", body[match.end() :])
        for match in re.finditer(r"(\w) = \w+\([^)]*\)", body)
        if match[1] != "y"
    ]
    for other in changed:
        before, after = simplified(graphs, "float[N,8] x, float[N,8] z", other, numbers)
        (want,), (got,) = graphs.answers(before, feeds), graphs.answers(after, feeds)
        np.testing.assert_allclose(got, want, rtol=1e-5, atol=2e-5, err_msg=other)


@pytest.mark.parametrize(
    "body",
    [
        "a = Sub(three, x) b = Clip(a, zero, six) y = Div(b, six)",
        "a = Add(x, three) b = Clip(a, zero, six) y = Div(six, b)",
        "a = Sigmoid(x) b = Mul(x, a) y = Mul(b, two)",
        "a = HardSigmoid<alpha=0.2, beta=0.5>(x) y = Mul(x, a)",
        "a = HardSigmoid<alpha=0.16666667, beta=0.4>(x) y = Mul(x, a)",
        "a = HardSigmoid(x) y = Mul(x, a)",
        "a = Tanh(x) y = Mul(x, a)",
        "a = Exp(x) b = Add(a, two) y = Log(b)",
        "q = Mul(x, x) p = Mul(q, q) " + TANH,
        "p = Mul(x, x) " + TANH,
    ],
)
def test_near_misses(graphs, body):
    numbers = {key: F(value) for key, value in NUMBERS.items()}
    before, after = simplified(graphs, "float[N,8] x", body, numbers)
    feeds = {"x": np.linspace(-2, 5, 16, dtype=F).reshape(2, 8)}
    (want,), (got,) = graphs.answers(before, feeds), graphs.answers(after, feeds)
    np.testing.assert_allclose(got, want, rtol=1e-5, atol=2e-5)


@pytest.mark.parametrize("product", ["Mul(x, z)", "Mul(z, x)", "Div(x, z)", "Mul(x, x)"])
@pytest.mark.parametrize("number", ["", "n = Mul(p, half)"])
@pytest.mark.parametrize(
    "body",
    [
        "a = Sigmoid(p) y = Mul(x, a)",
        "a = Mul(inverse, p) b = Erf(a) c = Add(one, b) d = Mul(half, c) y = Mul(x, d)",
        "a = Add(p, three) b = Clip(a, zero, six) c = Mul(x, b) y = Div(c, six)",
        "a = Exp(p) b = Add(one, a) c = Log(b) d = Tanh(c) y = Mul(d, x)",
    ],
)
def test_a_gate_by_x_times_another_tensor_is_no_gate_by_x(graphs, body, number, product):
    numbers = {key: F(value) for key, value in NUMBERS.items()}
    body = f"p = {product} {number} " + (body.replace("p)", "n)").replace("(p,", "(n,") if number else body)
    before, after = simplified(graphs, "float[N,8] x, float[N,8] z", body, numbers)
    feeds = {
        "x": np.linspace(-3, 3, 16, dtype=F).reshape(2, 8),
        "z": np.linspace(2, 3, 16, dtype=F).reshape(2, 8),
    }
    (want,), (got,) = graphs.answers(before, feeds), graphs.answers(after, feeds)
    np.testing.assert_allclose(got, want, rtol=1e-5, atol=2e-5)
    assert not {"Swish", "Gelu", "HardSwish", "Mish"} & graphs.ops(after).keys()


@pytest.mark.parametrize("name", SPELLINGS)
def test_numbers_of_any_rank(graphs, name):
    """One that has more axes than x gives the answer an axis, which no activation would."""
    body, _ = SPELLINGS[name]
    feeds = {"x": np.linspace(-5, 5, 16, dtype=F).reshape(2, 8)}
    clips = re.findall(r"Clip\(\w+, (\w+), (\w+)\)", body)  # ONNX has their bounds without axes
    for raised in sorted((set(words(body)) & NUMBERS.keys()).difference(*clips)):
        for rank in (1, 2, 3):
            numbers = {key: F(value) for key, value in NUMBERS.items()}
            numbers[raised] = np.full((1,) * rank, NUMBERS[raised], F)
            before, after = simplified(graphs, "float[N,8] x", body, numbers)
            (want,), (got,) = graphs.answers(before, feeds), graphs.answers(after, feeds)
            assert want.shape == got.shape, (raised, rank)
            np.testing.assert_allclose(got, want, rtol=1e-5, atol=2e-5)


@pytest.mark.parametrize(
    "body", ["y = Div(x, zero)", "a = Sigmoid(x) b = Div(a, zero) y = Mul(x, b)", "y = Mul(x, zero)"]
)
def test_a_division_by_0_names_nothing(graphs, body):
    before, after = simplified(graphs, "float[N,8] x", body, {"zero": F(0)})
    assert graphs.ops(after) == graphs.ops(before)
