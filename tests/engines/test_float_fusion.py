"""Float products with what follows them in their epilogue: the bits of the nodes one by one."""

import numpy as np
import octavo
import pytest
from octavo.calibration import Statistics

KINDS = ["Conv", "Depthwise", "Gemm", "MatMul"]
UNIT = {"strides": [1, 1], "pads": [1, 1, 1, 1], "dilations": [1, 1], "group": 1}
ALPHA = {"alpha": np.float32(0.3)}
ACTIVATIONS = {
    "Relu": {},
    "Sigmoid": {},
    "HardSwish": {},
    "Gelu": {"approximate": "none"},
    "LeakyRelu": ALPHA,
    "Swish": ALPHA,
    "Neg": {},
}
GEMM = {"alpha": np.float32(1), "beta": np.float32(1), "transA": 0, "transB": 0}


def normal(rng, *shape):
    return rng.standard_normal(shape).astype(np.float32)


def product(build, rng, kind, bias=False):
    """A product with 21 columns; its value, its shape without the batch, and the feeds."""
    if kind == "Depthwise":
        x, w = build.input("x", "f32", ("N", 21, 6, 7)), build.constant("w", normal(rng, 21, 1, 3, 3))
        feeds, shape, attributes = {"x": normal(rng, 2, 21, 6, 7)}, (21, 6, 7), {**UNIT, "group": 21}
        kind = "Conv"
    elif kind == "Conv":
        x, w = build.input("x", "f32", ("N", 5, 6, 7)), build.constant("w", normal(rng, 21, 5, 3, 3))
        feeds, shape, attributes = {"x": normal(rng, 2, 5, 6, 7)}, (21, 6, 7), UNIT
    else:
        x, w = build.input("x", "f32", ("N", 37)), build.constant("w", normal(rng, 37, 21))
        feeds, shape, attributes = {"x": normal(rng, 2, 37)}, (21,), GEMM if kind == "Gemm" else {}
    inputs = [x, w, build.constant("bias", normal(rng, 21))] if bias else [x, w]
    return build.node(kind, inputs, "f32", **attributes), shape, feeds


def one_step(program, feeds):
    """Whether all nodes run in the product's step: layouts may be converted before and after it."""
    rows = octavo.Session(program).profile(feeds)
    return [row.op for row in rows if row.op not in ("Transpose", "Copy")] in (["Conv"], ["Gemm"], ["MatMul"])


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("op", ACTIVATIONS)
def test_an_activation(build, same, kind, op):
    y, _, feeds = product(build, np.random.default_rng(1), kind)
    program = build.program(build.node(op, [y], "f32", **ACTIVATIONS[op]))
    assert one_step(program, feeds)
    same(program, feeds)


BOUNDS = [(0, 6), (-1, None), (None, 0.5), (-0.0, 0.0), (0.0, -0.0), (1, -1), (None, None), (0.25, np.inf)]


@pytest.mark.parametrize("kind", ["Conv", "Depthwise", "Gemm"])
@pytest.mark.parametrize(("lo", "hi"), BOUNDS)
def test_a_clip_keeps_the_signs_of_zeros(build, same, kind, lo, hi):
    y, _, feeds = product(build, np.random.default_rng(2), kind)
    bounds = [
        "" if bound is None else build.constant(name, np.float32(bound))
        for name, bound in (("lo", lo), ("hi", hi))
    ]
    program = build.program(build.node("Clip", [y, *bounds], "f32"))
    assert one_step(program, feeds)
    same(program, feeds)
    # Products so small that each is rounded to a zero with its sign.
    tiny = np.float32(1e-30)
    build.constants["w"] *= tiny
    feeds = {"x": feeds["x"] * tiny}
    zeros = octavo.reference.run(build.program(y), feeds)[0]
    assert not zeros.any()
    assert 0 < np.signbit(zeros).sum() < zeros.size
    same(build.program(*program.outputs), feeds)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("swapped", [False, True])
@pytest.mark.parametrize("activation", [None, "Relu", "Sigmoid"])
def test_a_tensor_that_is_there(build, same, kind, swapped, activation):
    rng = np.random.default_rng(3)
    y, shape, feeds = product(build, rng, kind, bias=kind != "MatMul")
    r = build.input("r", "f32", ("N", *shape))
    y = build.node("Add", [r, y] if swapped else [y, r], "f32")
    if activation:
        y = build.node(activation, [y], "f32")
    feeds["r"] = normal(rng, 2, *shape)
    program = build.program(y)
    assert one_step(program, feeds)
    same(program, feeds)


@pytest.mark.parametrize("kind", KINDS)
def test_a_constant_a_column_and_another_after_it(build, same, kind):
    rng = np.random.default_rng(4)
    y, shape, feeds = product(build, rng, kind)
    first, second = (normal(rng, 21, *[1] * (len(shape) - 1)) for _ in range(2))
    y = build.node("Add", [y, build.constant("first", first)], "f32")
    y = build.node("Add", [build.constant("second", second), y], "f32")
    same(build.program(build.node("Relu", [y], "f32")), feeds)


@pytest.mark.parametrize("shape", [(1,), (), (6, 7), (1, 6, 7), (2, 21, 6, 7)])
def test_a_constant_of_another_shape_is_added_apart(build, same, shape):
    rng = np.random.default_rng(5)
    y, _, feeds = product(build, rng, "Conv")
    constant = build.constant("c", np.asarray(normal(rng, *shape), np.float32))
    same(build.program(build.node("Add", [y, constant], "f32")), feeds, batched=False)


HARD_SWISH = (1 / 6, 0.5)


@pytest.mark.parametrize("gate", [(), HARD_SWISH, (0.2, 0.5), (1 / 6, 0.25), (0.25, 0.75), (0.5, 1 / 6)])
@pytest.mark.parametrize("swapped", [False, True])
def test_a_gate_written_out(build, same, gate, swapped):
    y, _, feeds = product(build, np.random.default_rng(6), "Conv")
    attributes = dict(zip(("alpha", "beta"), map(np.float32, gate), strict=False))
    gated = build.node("HardSigmoid" if gate else "Sigmoid", [y], "f32", **attributes)
    program = build.program(build.node("Mul", [y, gated] if swapped else [gated, y], "f32"))
    assert one_step(program, feeds) == (gate in ((), HARD_SWISH))
    same(program, feeds)


@pytest.mark.parametrize("seen", ["product", "gated", "a third reader", "another reader", "another factor"])
def test_a_gate_that_others_see_stays(build, same, seen):
    rng = np.random.default_rng(9)
    y, shape, feeds = product(build, rng, "Conv")
    gated = build.node("Sigmoid", [y], "f32")
    other = build.input("r", "f32", ("N", *shape))
    feeds["r"] = normal(rng, 2, *shape)
    outputs = {
        "product": [y],
        "gated": [gated],
        "a third reader": [build.node("Neg", [y], "f32")],
        "another reader": [build.node("Neg", [gated], "f32")],
    }.get(seen, [])
    factors = [gated, other if seen == "another factor" else y]
    same(build.program(build.node("Mul", factors, "f32"), *outputs), feeds)


@pytest.mark.parametrize("shape", [(1, 1, 1), (21, 1, 1), (21, 6, 1), (21, 1, 7), (1, 6, 7)])
@pytest.mark.parametrize("kind", ["Conv", "Depthwise"])
def test_a_tensor_that_is_there_but_broadcasts_is_added_apart(build, same, kind, shape):
    rng = np.random.default_rng(10)
    y, _, feeds = product(build, rng, kind)
    feeds["r"] = normal(rng, 2, *shape)
    y = build.node("Add", [y, build.input("r", "f32", ("N", *shape))], "f32")
    same(build.program(build.node("Relu", [y], "f32")), feeds)


@pytest.mark.parametrize("swapped", [False, True])
@pytest.mark.parametrize("kind", KINDS)
def test_a_tensor_of_as_many_elements_and_more_axes_is_added_apart(build, same, kind, swapped):
    """The sum has the shape of that tensor: an axis of 1 more."""
    rng = np.random.default_rng(12)
    y, shape, feeds = product(build, rng, kind)
    feeds["r"] = normal(rng, 1, 2, *shape)
    operands = [y, build.input("r", "f32", (1, "N", *shape))]
    y = build.node("Add", operands[:: -1 if swapped else 1], "f32")
    [given] = same(build.program(build.node("Relu", [y], "f32")), feeds, batched=False)
    assert given.shape == (1, 2, *shape)


@pytest.mark.parametrize("kind", ["Gemm", "MatMul"])
def test_a_row_and_a_column_of_as_many_elements_span_a_matrix(build, same, kind):
    rng = np.random.default_rng(13)
    feeds = {"x": normal(rng, 5, 7), "r": normal(rng, 1, 5)}
    inputs = [build.input("x", "f32", (5, 7)), build.constant("w", normal(rng, 7, 1))]
    y = build.node(kind, inputs, "f32", **GEMM if kind == "Gemm" else {})
    y = build.node("Add", [y, build.input("r", "f32", (1, 5))], "f32")
    [given] = same(build.program(y), feeds, batched=False)
    assert given.shape == (5, 5)


@pytest.mark.parametrize("fed", ["lo", "hi", "both"])
def test_bounds_that_are_fed(build, same, fed):
    y, _, feeds = product(build, np.random.default_rng(11), "Gemm")
    bounds = []
    for name, bound in (("lo", np.float32(-0.5)), ("hi", np.float32(0.75))):
        if fed in (name, "both"):
            bounds.append(build.input(name, "f32", ()))
            feeds[name] = np.array(bound)
        else:
            bounds.append(build.constant(name, bound))
    same(build.program(build.node("Clip", [y, *bounds], "f32")), feeds, batched=False)


def test_values_that_others_read_are_kept(build, same):
    rng = np.random.default_rng(7)
    y, _, feeds = product(build, rng, "Conv")
    z = build.node("Relu", [y], "f32")
    doubled = build.node("Add", [z, z], "f32")
    same(build.program(y, build.node("Add", [y, doubled], "f32")), feeds)


@pytest.mark.parametrize("kind", KINDS)
def test_observers_see_every_value(build, kind):
    rng = np.random.default_rng(8)
    y, shape, feeds = product(build, rng, kind)
    r = build.input("r", "f32", ("N", *shape))
    feeds["r"] = normal(rng, 2, *shape)
    total = build.node("Add", [y, r], "f32")
    z = build.node("Relu", [total], "f32")
    names = [y, total, z]
    everything = octavo.reference.run(build.program(*names), feeds)
    session = octavo.Session(build.program(z))
    for _ in range(2):  # the plan for running is another
        assert session.run(None, feeds)[0].tobytes() == everything[-1].tobytes()
        seen = Statistics(names, ["extremes"])
        session.observe(feeds, seen)
        for name, v in zip(names, everything, strict=True):
            assert seen.read(name, "extremes") == {"minimum": v.min(), "maximum": v.max()}
