"""Chains of float functions in one step: the bits of the nodes one by one."""

import numpy as np
import octavo
import pytest
from octavo.calibration import Statistics

BINARY = ["Add", "Sub", "Mul", "Max", "Min"]
UNARY = ["Relu", "Sigmoid", "Tanh", "Neg", "Abs", "Erf", "Softplus"]


def normal(rng, *shape):
    return rng.standard_normal(shape).astype(np.float32)


def steps(program, feeds):
    return [row.name for row in octavo.Session(program).profile(feeds)]


def test_a_gelu_spelled_out_is_one_step(build, same):
    rng = np.random.default_rng(1)
    x = build.input("x", "f32", ("N", 7, 130))
    scaled = build.node("Div", [x, build.constant("root", np.float32(1.4142135))], "f32")
    error = build.node("Erf", [scaled], "f32")
    factor = build.node("Add", [error, build.constant("one", np.float32(1))], "f32")
    product = build.node("Mul", [x, factor], "f32")
    y = build.node("Mul", [product, build.constant("half", np.float32(0.5))], "f32")
    program, feeds = build.program(y), {"x": normal(rng, 3, 7, 130)}
    assert len(steps(program, feeds)) == 1
    same(program, feeds)


@pytest.mark.parametrize(
    "shape",
    [
        (),
        (1,),
        (6,),
        (5, 1),
        (5, 6),
        (4, 1, 1),
        (4, 5, 1),
        (3, 1, 1, 1),
        (3, 4, 1, 1),
        (3, 1, 1, 6),
        (1, 4, 5, 6),
    ],
)
@pytest.mark.parametrize("is_known", [False, True])
@pytest.mark.parametrize("last", [False, True])
def test_operands_of_every_shape(build, same, shape, is_known, last):
    rng = np.random.default_rng(2)
    x = build.input("x", "f32", (3, 4, 5, 6))
    feeds = {"x": normal(rng, 3, 4, 5, 6)}
    if last:  # a pool leaves the channels at the end
        window = {"kernel_shape": [1, 1], "strides": [1, 1], "pads": [0] * 4, "dilations": [1, 1]}
        x = build.node("MaxPool", [x], "f32", ceil_mode=0, **window)
    if is_known:
        other = build.constant("other", normal(rng, *shape))
    else:
        other = build.input("other", "f32", shape)
        feeds["other"] = normal(rng, *shape)
    inner = build.node("Sub", [other, build.node("Mul", [x, other], "f32")], "f32")
    same(build.program(build.node("Tanh", [inner], "f32")), feeds, batched=False)


def test_what_others_read_is_made(build, same):
    x = build.input("x", "f32", ("N",))
    a = build.node("Exp", [x], "f32")
    b = build.node("Add", [a, x], "f32")
    c = build.node("Mul", [b, b], "f32")
    d = build.node("Neg", [c], "f32")
    total = build.node(
        "ReduceSum", [b, build.constant("axes", np.array([0]))], "f32", keepdims=1, noop_with_empty_axes=0
    )
    program = build.program(d, total, a)
    same(program, {"x": normal(np.random.default_rng(3), 1500)}, batched=False)


def test_long_chains_of_many_operands(build, same):
    rng = np.random.default_rng(4)
    value = build.input("x", "f32", ("N", 40))
    feeds = {"x": normal(rng, 20, 40)}
    for i in range(12):
        other = build.input(f"o{i}", "f32", (40,) if i % 2 else ("N", 1))
        feeds[f"o{i}"] = normal(rng, *((40,) if i % 2 else (20, 1)))
        value = build.node("Add" if i % 3 else "Mul", [value, other], "f32")
    program = build.program(value)
    assert len(steps(program, feeds)) < 12
    same(program, feeds, batched=False)


@pytest.mark.parametrize("seed", range(40))
def test_random_graphs(build, same, seed):
    rng = np.random.default_rng(seed)
    shapes = [(2, 9, 70), (9, 70), (70,), (9, 1), (2, 1, 70), (1,)]
    values, feeds = [], {}
    for i, shape in enumerate(shapes[: rng.integers(1, 7)]):
        values.append(build.input(f"x{i}", "f32", shape))
        feeds[f"x{i}"] = normal(rng, *shape)
    for _ in range(rng.integers(2, 11)):
        recent = values[-4:]
        if rng.random() < 0.5:
            values.append(build.node(rng.choice(UNARY), [rng.choice(recent)], "f32"))
        else:
            op = rng.choice(BINARY)
            values.append(build.node(op, [rng.choice(recent), rng.choice(values)], "f32"))
    outputs = [values[-1]] + [v for v in values[len(feeds) : -1] if rng.random() < 0.1]
    same(build.program(*outputs), feeds, batched=False)


def test_observers_see_every_value(build):
    rng = np.random.default_rng(5)
    x, feeds = build.input("x", "f32", (30,)), {"x": normal(rng, 30)}
    names = [build.node("Exp", [x], "f32")]
    names.append(build.node("Neg", names, "f32"))
    names.append(build.node("Add", [names[1], x], "f32"))
    everything = octavo.reference.run(build.program(*names), feeds)
    session = octavo.Session(build.program(names[-1]))
    assert len(session.profile(feeds)) == 1
    seen = Statistics(names, ["extremes"])
    session.observe(feeds, seen)
    for name, v in zip(names, everything, strict=True):
        assert seen.read(name, "extremes") == {"minimum": v.min(), "maximum": v.max()}
