"""Scales and offsets go into weights, and only where that is the same computation."""

import re

import numpy as np
import pytest
from octavo.passes.affine import fold_affine
from octavo.passes.chains import merge_chains
from octavo.passes.duplicates import remove_unused
from octavo.passes.gemm import form_gemm
from octavo.passes.norms import name_norms

F = np.float32


def weights(rng, **shapes):
    made = {name: rng.standard_normal(shape).astype(F) for name, shape in shapes.items()}
    if "v" in made:
        made["v"] = np.abs(made["v"]) + F(0.1)
    return made


def test_into_the_node_before(graphs, rng):
    bn = dict(g=(4,), b=(4,), m=(4,), v=(4,))
    x = "float[N,3,6,6] x"
    conv = weights(rng, w=(4, 3, 3, 3), c=(4,))
    affine = weights(rng, **bn)
    graphs.run(
        [fold_affine, remove_unused],
        [
            (
                "BN after Conv",
                x,
                "a = Conv(x, w, c) y = BatchNormalization<epsilon=0.01>(a, g, b, m, v)",
                {**conv, **affine},
                "Conv",
            ),
            (
                "BN after Conv without bias",
                x,
                "a = Conv(x, w) y = BatchNormalization(a, g, b, m, v)",
                {"w": conv["w"], **affine},
                "Conv",
            ),
            (
                "BN after grouped Conv",
                "float[N,4,6,6] x",
                "a = Conv<group=2>(x, w) y = BatchNormalization(a, g, b, m, v)",
                {**weights(rng, w=(4, 2, 3, 3)), **affine},
                "Conv",
            ),
            (
                "BN after ConvTranspose",
                x,
                "a = ConvTranspose(x, w, c) y = BatchNormalization(a, g, b, m, v)",
                {**weights(rng, w=(3, 4, 3, 3), c=(4,)), **affine},
                "ConvTranspose",
            ),
            (
                "BN after grouped ConvTranspose",
                "float[N,6,5,5] x",
                "a = ConvTranspose<group=2>(x, w) y = BatchNormalization(a, g, b, m, v)",
                {**weights(rng, w=(6, 2, 3, 3)), **affine},
                "ConvTranspose",
            ),
            (
                "BN after Gemm",
                "float[N,5] x",
                "a = Gemm<beta=0.5>(x, w, c) y = BatchNormalization(a, g, b, m, v)",
                {**weights(rng, w=(5, 4), c=(4,)), **affine},
                "Gemm",
            ),
            (
                "BN after Gemm, transB, alpha",
                "float[N,5] x",
                "a = Gemm<alpha=2.0, transB=1>(x, w) y = BatchNormalization(a, g, b, m, v)",
                {**weights(rng, w=(4, 5)), **affine},
                "Gemm",
            ),
            (
                "BN after Conv of rank 3",
                "float[N,3,9] x",
                "a = Conv(x, w) y = BatchNormalization(a, g, b, m, v)",
                {**weights(rng, w=(4, 3, 3)), **affine},
                "Conv",
            ),
            (
                "Mul and Add after Conv",
                x,
                "a = Conv(x, w, c) p = Mul(a, s) y = Add(o, p)",
                {**conv, **weights(rng, s=(1, 4, 1, 1), o=(4, 1, 1))},
                "Conv",
            ),
            (
                "scalar Div, Sub after Conv",
                x,
                "a = Conv(x, w) p = Div(a, s) y = Sub(p, o)",
                {"w": conv["w"], "s": F(2.5), "o": F(0.3)},
                "Conv",
            ),
            ("constant - Conv", x, "a = Conv(x, w, c) y = Sub(o, a)", {**conv, "o": F(0.3)}, "Conv"),
            (
                "Mul after MatMul",
                "float[N,5] x",
                "a = MatMul(x, w) y = Mul(a, s)",
                weights(rng, w=(5, 4), s=(4,)),
                "MatMul",
            ),
            (
                "Mul after MatMul of rank 3",
                "float[N,2,5] x",
                "a = MatMul(x, w) y = Mul(a, s)",
                weights(rng, w=(5, 4), s=(4,)),
                "MatMul",
            ),
        ],
    )


def test_left_alone(graphs, rng):
    x = "float[N,3,6,6] x"
    conv = weights(rng, w=(4, 3, 3, 3), c=(4,))
    cases = [
        (
            "along the width",
            x,
            "a = Conv(x, w) y = Mul(a, s)",
            {"w": conv["w"], **weights(rng, s=(4,))},
            "Conv Mul",
        ),
        (
            "a plane",
            x,
            "a = Conv(x, w) y = Add(a, s)",
            {"w": conv["w"], **weights(rng, s=(4, 4))},
            "Conv Add",
        ),
        (
            "wider than the Conv",
            x,
            "a = Conv(x, w) y = Add(a, s)",
            {"w": conv["w"], **weights(rng, s=(2, 1, 1, 1, 1))},
            "Conv Add",
        ),
        (
            "Conv of one channel, spread",
            x,
            "a = Conv(x, w) y = Mul(a, s)",
            weights(rng, w=(1, 3, 3, 3), s=(4, 1, 1)),
            "Conv Mul",
        ),
        (
            "read twice",
            x,
            "a = Conv(x, w) b = Mul(a, s) y = Add(a, b)",
            {"w": conv["w"], "s": F(2)},
            "Conv Mul Add",
        ),
        ("a constant over Conv", x, "a = Conv(x, w) y = Div(s, a)", {"w": conv["w"], "s": F(2)}, "Conv Div"),
        ("division by zero", x, "a = Conv(x, w) y = Div(a, s)", {"w": conv["w"], "s": F(0)}, "Conv Div"),
        (
            "Add after MatMul",
            "float[N,5] x",
            "a = MatMul(x, w) y = Add(a, s)",
            weights(rng, w=(5, 4), s=(4,)),
            "MatMul Add",
        ),
        (
            "Gemm with a bias per row",
            "float[2,5] x",
            "a = Gemm(x, w, c) y = Mul(a, s)",
            weights(rng, w=(5, 4), c=(2, 1), s=(4,)),
            "Gemm Mul",
        ),
    ]
    with np.errstate(all="ignore"):
        graphs.run([fold_affine, remove_unused], [(n, i, b, w, e) for n, i, b, w, e in cases], batch=2)


def test_a_scale_per_channel_of_one_channel_is_not_spread(graphs, rng):
    before = graphs.build(
        "float[N,3,4,4] x", "a = Conv(x, w) y = Mul(a, s)", **weights(rng, w=(1, 3, 1, 1), s=(5, 1, 1))
    )
    after = before.clone()
    assert not fold_affine(after)


def test_shared_weights_are_scaled_for_one_reader_only(graphs, rng):
    body = "a = Conv(x, w) p = Mul(a, s) b = Conv(x, w) y = Add(p, b)"
    graphs.run(
        [fold_affine, remove_unused],
        [("shared", "float[N,3,6,6] x", body, {**weights(rng, w=(4, 3, 3, 3)), "s": F(3)}, "Conv Conv Add")],
    )


def test_into_the_conv_behind(graphs, rng):
    x = "float[N,4,6,6] x"
    graphs.run(
        [fold_affine, remove_unused],
        [
            (
                "scale, padded",
                x,
                "a = Mul(x, s) y = Conv<pads=[1,1,1,1]>(a, w, c)",
                weights(rng, s=(4, 1, 1), w=(2, 4, 3, 3), c=(2,)),
                "Conv",
            ),
            (
                "offset, not padded",
                x,
                "a = Sub(x, s) y = Conv(a, w)",
                weights(rng, s=(4, 1, 1), w=(2, 4, 3, 3)),
                "Conv",
            ),
            (
                "offset, padded",
                x,
                "a = Sub(x, s) y = Conv<pads=[1,1,1,1]>(a, w)",
                weights(rng, s=(4, 1, 1), w=(2, 4, 3, 3)),
                "Sub Conv",
            ),
            (
                "offset, same",
                x,
                'a = Sub(x, s) y = Conv<auto_pad="SAME_UPPER">(a, w)',
                weights(rng, s=(4, 1, 1), w=(2, 4, 3, 3)),
                "Sub Conv",
            ),
            (
                "depthwise",
                x,
                "a = Mul(x, s) p = Add(a, o) y = Conv<group=4>(p, w)",
                weights(rng, s=(4, 1, 1), o=(4, 1, 1), w=(8, 1, 3, 3)),
                "Mul Conv",
            ),
            (
                "BN",
                x,
                "a = BatchNormalization(x, g, b, m, v) y = Conv(a, w)",
                weights(rng, g=(4,), b=(4,), m=(4,), v=(4,), w=(2, 4, 3, 3)),
                "Conv",
            ),
            (
                "spread input",
                "float[N,1,6,6] x",
                "a = Mul(x, s) y = Conv(a, w)",
                weights(rng, s=(4, 1, 1), w=(2, 4, 3, 3)),
                "Mul Conv",
            ),
        ],
        atol=1e-4,
    )


def test_chains_of_coefficients(graphs, rng):
    x = "float[N,4,6] x"
    graphs.run(
        [merge_chains, remove_unused],
        [
            ("Mul Mul", x, "a = Mul(x, s) y = Mul(t, a)", weights(rng, s=(4, 1), t=()), "Mul"),
            ("Mul Div", x, "a = Mul(x, s) y = Div(a, t)", {**weights(rng, s=(4, 1)), "t": F(3)}, "Mul"),
            (
                "Add Sub Add",
                x,
                "a = Add(x, s) b = Sub(a, t) y = Add(b, s)",
                weights(rng, s=(4, 1), t=()),
                "Add",
            ),
            ("constant - x", x, "a = Sub(s, x) y = Add(a, s)", weights(rng, s=(4, 1)), "Sub Add"),
            ("Mul Add", x, "a = Mul(x, s) y = Add(a, s)", weights(rng, s=(4, 1)), "Mul Add"),
            (
                "a row and a column",
                x,
                "a = Mul(x, s) y = Mul(a, t)",
                weights(rng, s=(4, 1), t=(6,)),
                "Mul Mul",
            ),
        ],
    )


TYPES = {"float16": np.float16, "float": np.float32, "double": np.float64}


@pytest.mark.parametrize("beyond", [False, True])
@pytest.mark.parametrize("dtype", TYPES)
@pytest.mark.parametrize("ops", ["Mul Mul", "Div Mul", "Add Add", "Sub Add"])
def test_coefficients_that_together_leave_their_type_stay_two(graphs, ops, dtype, beyond):
    """Their product, or their sum, is the largest number of the type, or the next that it does not have."""
    kind = TYPES[dtype]
    largest = np.finfo(kind).max
    if "Mul" in ops:
        first, second, x = kind(4), largest / kind(4), kind([-0.125, 0.0625])
    else:
        first, second, x = largest / kind(2), largest / kind(2), -kind([largest, largest / 2])
    if beyond:
        second = np.nextafter(second, kind(np.inf))
    inner, outer = ops.split()
    first = {"Div": 1 / first, "Sub": -first}.get(inner, first)
    constants = {"s": np.array(first), "t": np.array(second)}
    before = graphs.build(f"{dtype}[N] x", f"a = {inner}(x, s) y = {outer}(a, t)", f"{dtype} y", **constants)
    after = before.clone()
    assert merge_chains(after) is not beyond
    remove_unused(after)
    (want,), (got,) = graphs.answers(before, {"x": x}), graphs.answers(after, {"x": x})
    assert np.isfinite(want).all()
    np.testing.assert_allclose(got, want, rtol=4 * np.finfo(kind).eps)


INTO = {
    "Conv, Mul": (fold_affine, "float[1,1,3] x", "a = Conv(x, w) y = Mul(a, four)", (1, 1, 1), "Conv"),
    "Conv, Div": (fold_affine, "float[1,1,3] x", "a = Conv(x, w) y = Div(a, fourth)", (1, 1, 1), "Conv"),
    "Mul, Conv": (fold_affine, "float[1,1,3] x", "a = Mul(x, four) y = Conv(a, w)", (1, 1, 1), "Conv"),
    "Add, Conv": (fold_affine, "float[1,1,3] x", "a = Add(x, four) y = Conv(a, w)", (1, 1, 1), "Conv"),
    "a bias": (fold_affine, "float[1,1,3] x", "a = Conv(x, o, w) y = Mul(a, four)", (1,), "Conv"),
    "ConvTranspose": (
        fold_affine,
        "float[1,1,3] x",
        "a = ConvTranspose(x, w) y = Mul(a, four)",
        (1, 1, 1),
        "ConvTranspose",
    ),
    "Gemm": (fold_affine, "float[2,1] x", "a = Gemm(x, w) y = Mul(a, four)", (1, 1), "Gemm"),
    "MatMul": (fold_affine, "float[2,1] x", "a = MatMul(x, w) y = Mul(a, four)", (1, 1), "MatMul"),
    "alpha": (form_gemm, "float[2,1] x", "y = Gemm<alpha=4.0>(x, w)", (1, 1), ""),
    "beta": (form_gemm, "float[2,1] x", "y = Gemm<beta=4.0>(x, m, w)", (1,), ""),
    "a norm's scale": (
        name_norms,
        "float[1,1] x",
        "a = LayerNormalization(x, w) y = Mul(a, four)",
        (1,),
        "LayerNormalization",
    ),
    "a norm's bias": (
        name_norms,
        "float[1,1] x",
        "a = LayerNormalization(x, n, w) y = Mul(a, four)",
        (1,),
        "LayerNormalization",
    ),
}


@pytest.mark.parametrize("beyond", [False, True])
@pytest.mark.parametrize("name", INTO)
def test_weights_that_would_leave_their_type_stay(graphs, name, beyond):
    """Four times a weight is the largest float32, or what float32 does not have: answers stay finite."""
    run, inputs, body, shape, folded = INTO[name]
    largest = np.finfo(F).max / F(4)
    weight = np.full(shape, np.nextafter(largest, F(np.inf)) if beyond else largest)
    known = {
        "w": weight,
        "four": F(4),
        "fourth": F(0.25),
        "o": np.ones((1, 1, 1), F),
        "m": np.ones((1, 1), F),
    }
    known["n"] = np.ones(1, F)
    read = {name: array for name, array in known.items() if name in re.findall(r"\w+", body)}
    before = graphs.build(inputs, body, **read)
    after = before.clone()
    assert run(after) is not beyond
    remove_unused(after)
    if folded:
        assert (graphs.ops(after) == {folded: 1}) is not beyond
    (node, *_) = after.graph
    assert node.attributes.get_float("alpha", 1.0) * node.attributes.get_float("beta", 1.0) == (
        4 if beyond and not folded else 1
    )
    feeds = {
        value.name: np.full([int(n) for n in value.shape], F(-(2.0**-20))) for value in before.graph.inputs
    }
    (want,), (got,) = graphs.answers(before, feeds), graphs.answers(after, feeds)
    assert (np.isfinite(got) == np.isfinite(want)).all()
    np.testing.assert_allclose(got, want, rtol=1e-5)


@pytest.mark.parametrize(
    "body", ["c = {} y = Mul(c, two)", "c = {} y = Div(c, two)", "m = Mul(x, two) y = {}"]
)
@pytest.mark.parametrize("node", ["Conv({}, w)", "ConvTranspose({}, w)"])
def test_a_scale_alone_makes_no_bias(graphs, rng, body, node):
    source = "m" if body.startswith("m") else "x"
    if source == "m" and "Transpose" in node:
        return  # only a Conv takes in what is before it
    model = graphs.build(
        "float[N,4,6,6] x", body.format(node.format(source)), two=F(2), **weights(rng, w=(4, 4, 3, 3))
    )
    assert fold_affine(model)
    remove_unused(model)
    (product,) = model.graph
    assert len(product.inputs) == 2
