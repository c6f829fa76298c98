"""Activations are recognised in each spelling that exporters use, and nothing else is."""

import math

import numpy as np
from octavo.passes.activations import name_activations
from octavo.passes.clips import merge_clips
from octavo.passes.duplicates import remove_unused

F = np.float32
X = "float[N,8] x"
C = {"zero": F(0), "one": F(1), "half": F(0.5), "three": F(3), "six": F(6), "sixth": F(1 / 6)}
C |= {
    "root2": F(math.sqrt(2)),
    "inverse": F(math.sqrt(0.5)),
    "tau": F(math.sqrt(2 / math.pi)),
    "cubic": F(0.044715),
}


def run(graphs, cases):
    table = [(name, X, body, {k: v for k, v in C.items() if k in body}, ops) for name, body, ops in cases]
    graphs.run([merge_clips, name_activations, name_activations, remove_unused], table)


def test_hard_sigmoid(graphs):
    run(
        graphs,
        [
            ("divided", "a = Add(x, three) b = Clip(a, zero, six) y = Div(b, six)", "HardSigmoid"),
            ("multiplied", "a = Add(three, x) b = Clip(a, zero, six) y = Mul(sixth, b)", "HardSigmoid"),
            ("TensorFlow", "a = Add(x, three) b = Relu(a) c = Min(b, six) y = Mul(c, sixth)", "HardSigmoid"),
            ("slope", "a = Mul(x, sixth) b = Add(a, half) y = Clip(b, zero, one)", "HardSigmoid"),
            (
                "of a quotient",
                "e = Exp(x) q = Div(x, e) a = Mul(q, sixth) b = Add(a, half) y = Clip(b, zero, one)",
                "Exp Div HardSigmoid",
            ),
        ],
    )


def test_hard_swish(graphs):
    run(
        graphs,
        [
            ("ONNX", "a = HardSigmoid<alpha=0.16666667, beta=0.5>(x) y = Mul(x, a)", "HardSwish"),
            ("torch", "a = Add(x, three) b = Clip(a, zero, six) c = Mul(x, b) y = Div(c, six)", "HardSwish"),
            (
                "gate first",
                "a = Add(x, three) b = Clip(a, zero, six) c = Div(b, six) y = Mul(c, x)",
                "HardSwish",
            ),
            (
                "TensorFlow",
                "a = Add(x, three) b = Relu(a) c = Min(b, six) d = Mul(c, sixth) y = Mul(d, x)",
                "HardSwish",
            ),
            (
                "x first",
                "a = Add(x, three) b = Clip(a, zero, six) c = Mul(x, sixth) y = Mul(c, b)",
                "HardSwish",
            ),
        ],
    )


def test_swish_mish_softplus(graphs):
    run(
        graphs,
        [
            ("Swish", "a = Sigmoid(x) y = Mul(a, x)", "Swish"),
            ("with a slope", "a = Mul(x, six) b = Sigmoid(a) y = Mul(x, b)", "Swish"),
            ("Mish", "a = Softplus(x) b = Tanh(a) y = Mul(x, b)", "Mish"),
            ("Mish written out", "a = Exp(x) b = Add(a, one) c = Log(b) d = Tanh(c) y = Mul(x, d)", "Mish"),
            ("Softplus", "a = Exp(x) b = Add(one, a) y = Log(b)", "Softplus"),
        ],
    )


def test_gelu(graphs):
    curve = "a = Div(x, root2) b = Erf(a) c = Add(b, one) "
    tanh = "t = Mul(p, cubic) u = Add(x, t) v = Mul(u, tau) w = Tanh(v) c = Add(one, w) "
    tanh += "h = Mul(x, half) y = Mul(h, c)"
    run(
        graphs,
        [
            ("x first", curve + "d = Mul(x, c) y = Mul(d, half)", "Gelu"),
            ("half first", curve + "d = Mul(x, half) y = Mul(d, c)", "Gelu"),
            ("half of the curve", curve + "d = Mul(half, c) y = Mul(x, d)", "Gelu"),
            (
                "multiplied",
                "a = Mul(x, inverse) b = Erf(a) c = Add(one, b) d = Mul(x, c) y = Mul(half, d)",
                "Gelu",
            ),
            ("tanh, Pow", "p = Pow(x, three) " + tanh, "Gelu"),
            ("tanh, products", "q = Mul(x, x) p = Mul(q, x) " + tanh, "Gelu"),
        ],
    )


def test_not_quite(graphs):
    run(
        graphs,
        [
            ("another gate", "a = Neg(x) b = Sigmoid(a) y = Mul(x, b)", "Neg Sigmoid Mul"),
            (
                "another shift",
                "a = Add(x, six) b = Clip(a, zero, six) c = Mul(x, b) y = Div(c, six)",
                "Add Clip Mul Div",
            ),
            (
                "another bound",
                "a = Add(x, three) b = Clip(a, zero, one) c = Mul(x, b) y = Div(c, six)",
                "Add Clip Mul Div",
            ),
            ("twice a Gelu", "a = Div(x, root2) b = Erf(a) c = Add(b, one) y = Mul(x, c)", "Div Erf Add Mul"),
            ("a slope of 0", "a = Mul(x, zero) b = Add(a, half) y = Clip(b, zero, one)", "Mul Add Clip"),
            ("a slope of 1", "a = Mul(x, one) b = Add(a, half) y = Clip(b, zero, one)", "HardSigmoid"),
            ("a number over", "a = Sigmoid(x) b = Mul(x, a) y = Div(six, b)", "Swish Div"),
        ],
    )


def test_the_gate_stays_where_something_else_reads_it(graphs):
    before = graphs.build(X, "a = Sigmoid(x) b = Mul(x, a) y = Add(a, b)")
    after = before.clone()
    name_activations(after)
    graphs.check(before, after, "Sigmoid Swish Add")


def test_a_product_that_doubles_itself_ends(graphs):
    body = " ".join(f"a{i + 1} = Mul(a{i}, a{i})" for i in range(60)) + " y = Identity(a60)"
    model = graphs.build(X, "a0 = Identity(x) " + body)
    assert not name_activations(model)
