"""The normalizations on every engine."""

import numpy as np
import octavo
import pytest
from octavo.errors import RunError

F = np.float32
EPSILON = {"epsilon": F(1e-5)}
STASH = EPSILON | {"stash_type": 1}


def normal(rng, *shape):
    return (rng.standard_normal(shape) * 3 + 1).astype(F)


@pytest.mark.parametrize("shape", [(2, 3, 5, 37), (3, 200, 1, 48), (2, 2, 1, 1), (2, 0, 3, 4), (2, 3, 0, 4)])
@pytest.mark.parametrize("axis", [1, 2, -1])
@pytest.mark.parametrize("bias", [True, False])
def test_layer_normalization(build, same, shape, axis, bias):
    rng = np.random.default_rng(1)
    x = build.input("x", "f32", ("N", *shape[1:]))
    parameters = [build.constant(name, normal(rng, *shape[axis:])) for name in ("scale", "b")[: 1 + bias]]
    build.node("LayerNormalization", [x, *parameters], "f32", count=3, axis=axis, **STASH)
    rms = build.node("RMSNormalization", [x, parameters[0]], "f32", axis=axis, **STASH)
    same(build.program("n0_0", "n0_1", "n0_2", rms), {"x": normal(rng, *shape)})


def test_outputs_may_be_left_out(build, same):
    rng = np.random.default_rng(2)
    x = build.input("x", "f32", ("N", 7))
    scale = build.constant("scale", normal(rng, 7))
    y = build.node("LayerNormalization", [x, scale], "f32", axis=-1, **STASH)
    same(build.program(y), {"x": normal(rng, 2, 7)})


def test_parameters_may_be_computed(build, same):
    rng = np.random.default_rng(3)
    x, scale, b = (build.input(name, "f32", ("N", 16)[i:]) for name, i in (("x", 0), ("scale", 1), ("b", 1)))
    y = build.node("LayerNormalization", [x, scale, b], "f32", axis=-1, **STASH)
    feeds = {"x": normal(rng, 5, 16), "scale": normal(rng, 16), "b": normal(rng, 16)}
    same(build.program(y), feeds, batched=False)


@pytest.mark.parametrize("spatial", [(7, 5), (35,), (1, 1), (0, 3), (), (2, 3, 4)])
@pytest.mark.parametrize("groups", [None, 1, 2, 6])
def test_instance_and_group_normalization(build, same, spatial, groups):
    rng = np.random.default_rng(4)
    x = build.input("x", "f32", ("N", 6, *spatial))
    inputs = [x, build.constant("scale", normal(rng, 6)), build.constant("b", normal(rng, 6))]
    if groups is None:
        y = build.node("InstanceNormalization", inputs, "f32", **EPSILON)
    else:
        y = build.node("GroupNormalization", inputs, "f32", num_groups=groups, **STASH)
    same(build.program(y), {"x": normal(rng, 2, 6, *spatial)})


@pytest.mark.parametrize("p", [1, 2])
@pytest.mark.parametrize("axis", [0, 1, 2])
def test_lp_normalization(build, same, p, axis):
    rng = np.random.default_rng(5)
    x = build.input("x", "f32", ("N", 37, 19))
    y = build.node("LpNormalization", [x], "f32", axis=axis, p=p)
    feed = normal(rng, 3, 37, 19)
    feed[:, 0] = 0
    feed[:, :, 0] = 0
    same(build.program(y), {"x": feed}, batched=axis > 0)


@pytest.mark.parametrize("shape", [(2, 37, 1), (2, 37, 1, 1), (37, 1, 40), (1, 37)])
@pytest.mark.parametrize("p", [1, 2])
def test_axes_with_others_of_one_behind_them(build, same, shape, p):
    """The last axis alone is summed in lanes, whatever else lies beside each other."""
    x = build.input("x", "f32", shape)
    outputs = []
    for axis in range(len(shape)):
        outputs.append(build.node("LpNormalization", [x], "f32", axis=axis, p=p))
        outputs += [build.node(op, [x], "f32", axis=axis) for op in ("Softmax", "LogSoftmax")]
        axes = build.constant(f"axes{axis}", np.array([axis]))
        flags = {"keepdims": 1, "noop_with_empty_axes": 0}
        outputs += [
            build.node(f"Reduce{op}", [x, axes], "f32", **flags) for op in ("Mean", "L2", "LogSumExp")
        ]
    same(build.program(*outputs), {"x": normal(np.random.default_rng(6), *shape)}, batched=False)


def test_wrong_parameters_are_errors(build):
    x = build.input("x", "f32", ("N", "C", 3))
    scale, b = build.constant("scale", np.ones(4, F)), build.constant("b", np.ones(4, F))
    program = build.program(build.node("GroupNormalization", [x, scale, b], "f32", num_groups=3, **STASH))
    for channels, what in [(4, "4 channels in 3 groups"), (6, "scale or bias of shape .4. for .6.")]:
        with pytest.raises(RunError, match=f"GroupNormalization node .n0.: .*{what}"):
            octavo.Session(program).run(None, {"x": np.ones((1, channels, 3), F)})
