"""Layer normalization is recognised in the spellings that exporters use, and nothing else is."""

import numpy as np
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
        ("read twice", f"{UNIT} g = Mul(u, gamma) y = Add(g, u)", f"{ln} Mul Add"),
    ]
    run(graphs, rng, cases)
