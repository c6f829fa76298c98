"""Layer normalization is recognised in the spellings that exporters use, and nothing else is."""

import re

import numpy as np
import pytest
from octavo.passes.duplicates import remove_unused
from octavo.passes.norms import name_norms

X = "float[N,3,8] x"
MEAN = "m = ReduceMean<keepdims=1>(x, last) c = Sub(x, m)"
ROOT = "v = ReduceMean<keepdims=1>(s, last) e = Add(v, epsilon) r = Sqrt(e)"
UNIT = f"{MEAN} s = Pow(c, two) {ROOT} u = Div(c, r)"


def run(graphs, rng, cases):
    constants = {
        "last": np.array([-1]), "second": np.array([1]), "two": np.float32(2), "three": np.float32(3),
        "epsilon": np.float32(0.01), "gamma": rng.normal(size=8).astype("f4"),
        "beta": rng.normal(size=(1, 1, 8)).astype("f4"), "rows": rng.normal(size=(3, 1)).astype("f4"),
        "whole": rng.normal(size=(3, 8)).astype("f4"), "half": np.float32(0.5),
    }  # fmt: skip
    table = []
    for name, body, ops in cases:
        words = body.replace("(", " ").replace(")", " ").replace(",", " ").split()
        ops = ops or " ".join(re.findall(r"= (\w+)[<(]", body))  # all of them
        table.append((name, X, body, {k: v for k, v in constants.items() if k in words}, ops))
    graphs.run([name_norms, remove_unused], table, rtol=1e-4)


def test_spellings(graphs, rng):
    ln = "LayerNormalization"
    inverse = f"{MEAN} s = Mul(c, c) {ROOT} i = Reciprocal(r)"
    swapped = ROOT.replace("v, epsilon", "epsilon, v")
    cases = [
        ("torch", f"{UNIT} g = Mul(u, gamma) y = Add(g, beta)", ln),
        ("constants first", f"{UNIT} g = Mul(gamma, u) y = Add(beta, g)", ln),
        (
            "squared by Mul",
            f"{MEAN} s = Mul(c, c) {swapped} u = Div(c, r) g = Mul(u, gamma) y = Add(g, beta)",
            ln,
        ),
        ("by the inverse", f"{inverse} u = Mul(c, i) y = Mul(u, gamma)", ln),
        ("the inverse first", f"{inverse} u = Mul(i, c) y = Add(u, beta)", ln),
        ("bare", UNIT.replace("u = Div", "y = Div"), ln),
        ("scaled after its bias", f"{UNIT} g = Add(u, beta) y = Mul(g, half)", ln),
    ]
    run(graphs, rng, cases)


def test_not_quite(graphs, rng):
    plain = "ReduceMean ReduceMean Sub Pow Add Sqrt Div"
    ln = "LayerNormalization"
    cases = [
        ("another axis", f"{UNIT.replace('last', 'second')} y = Mul(u, gamma)", f"{plain} Mul"),
        ("cubed", f"{UNIT.replace('two', 'three')} y = Mul(u, gamma)", f"{plain} Mul"),
        ("another mean", f"z = Mul(x, half) {UNIT.replace('Sub(x', 'Sub(z')} y = Exp(u)", f"{plain} Mul Exp"),
        ("a scale a row", f"{UNIT} y = Mul(u, rows)", f"{ln} Mul"),
        ("a scale an element", f"{UNIT} y = Mul(u, whole)", f"{ln} Mul"),
        ("the input added", f"{UNIT} y = Add(u, x)", f"{ln} Add"),
        ("no epsilon", f"{UNIT.replace('Add(v, epsilon)', 'Abs(v)')} y = Exp(u)", None),
        ("no root", f"{UNIT.replace('Sqrt(e)', 'Exp(e)')} y = Exp(u)", None),
        ("by a constant", f"{MEAN} y = Div(c, gamma)", "ReduceMean Sub Div"),
        ("by itself", f"{MEAN} a = Abs(c) b = Add(a, epsilon) y = Div(c, b)", "ReduceMean Sub Abs Add Div"),
        ("no mean", f"{UNIT.replace('Sub(x, m)', 'Add(x, m)')} y = Exp(u)", None),
        ("read twice", f"{UNIT} g = Mul(u, gamma) y = Add(g, u)", f"{ln} Mul Add"),
    ]
    run(graphs, rng, cases)


SQUARE = "float[4,4,4] x"


@pytest.mark.parametrize(
    ("body", "ops"),
    [
        (f"{UNIT} y = Mul(u, wide)", "LayerNormalization Mul"),
        (f"{UNIT} y = Add(u, wide)", "LayerNormalization Add"),
        (f"{UNIT} y = Mul(u, row)", "LayerNormalization"),
        (f"{UNIT} y = Sub(u, row)", "LayerNormalization Sub"),
        (f"{UNIT.replace('last', 'third')} y = Mul(u, row)", "LayerNormalization"),
        (f"{UNIT.replace('last', 'both')} y = Mul(u, row)", None),
        (f"{UNIT.replace('last', 'second')} y = Mul(u, row)", None),
        (f"{UNIT.replace('last', 'first')} y = Mul(u, row)", None),
        (f"{UNIT.replace('x, last', 'x, second')} y = Mul(u, row)", None),
        (f"{UNIT.replace('s, last', 's, second')} y = Mul(u, row)", None),
        (f"{UNIT.replace('keepdims=1', 'keepdims=0')} y = Mul(u, row)", None),
        (f"{UNIT.replace('Sub(x, m)', 'Sub(m, x)')} y = Mul(u, row)", None),
        (f"{UNIT.replace('Div(c, r)', 'Div(r, c)')} y = Mul(u, row)", None),
        (f"{UNIT.replace('epsilon', 'row')} y = Mul(u, row)", None),
        (f"{UNIT.replace('Pow(c, two)', 'Mul(c, m)')} y = Mul(u, row)", None),
    ],
)
def test_axes_of_one_length_are_told_apart(graphs, rng, body, ops):
    """Every axis has four elements: a mistaken one shows in the answers alone."""
    constants = {
        "last": np.array([-1]), "third": np.array([2]), "second": np.array([1]), "first": np.array([0]),
        "both": np.array([1, 2]), "two": np.float32(2), "epsilon": np.float32(0.01),
        "row": rng.uniform(0.5, 2, size=4).astype("f4"), "wide": rng.normal(size=(4, 1)).astype("f4"),
    }  # fmt: skip
    used = {name: array for name, array in constants.items() if name in re.findall(r"\w+", body)}
    before = graphs.build(SQUARE, body, **used)
    after = before.clone()
    for run_pass in (name_norms, name_norms, remove_unused):
        run_pass(after)
    assert ops is None or graphs.ops(after) == dict.fromkeys(ops.split(), 1)
    assert ops is not None or "LayerNormalization" not in graphs.ops(after)
    feeds = graphs.feeds_of(before)
    (want,), (got,) = graphs.answers(before, feeds), graphs.answers(after, feeds)
    np.testing.assert_allclose(got, want, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("given", ["", "axis=-1", "axis=2", "axis=1", "epsilon=0.5", "axis=-1, epsilon=0.5"])
@pytest.mark.parametrize("bias", ["", ", beta", ", fed"])
@pytest.mark.parametrize("behind", ["Mul", "Add"])
def test_what_stands_in_a_norm_that_was_named_already(graphs, rng, given, bias, behind):
    """Its epsilon stays, its bias is scaled, and what is not over the last axis alone is left."""
    constants = {name: rng.uniform(0.5, 2, size=4).astype("f4") for name in ("beta", "row")}
    constants["scale"] = rng.uniform(0.5, 2, size=(4, 4) if given == "axis=1" else 4).astype("f4")
    body = f"a = LayerNormalization<{given}>(x, scale{bias}) y = {behind}(a, row)".replace("<>", "")
    inputs = f"{SQUARE}, float[4] fed" if "fed" in bias else SQUARE
    used = {name: array for name, array in constants.items() if name in re.findall(r"\w+", body)}
    before = graphs.build(inputs, body, **used)
    after = before.clone()
    name_norms(after)
    if "fed" in bias or given == "axis=1":
        assert behind in graphs.ops(after)
    feeds = graphs.feeds_of(before)
    (want,), (got,) = graphs.answers(before, feeds), graphs.answers(after, feeds)
    np.testing.assert_allclose(got, want, rtol=1e-4, atol=1e-5)
