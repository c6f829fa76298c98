"""The normalizations against onnx.reference, and the order of their sums."""

import numpy as np
import onnx
import onnx.reference
import pytest
from octavo.errors import RunError
from octavo.program import OPSET

F = np.float32
EPSILON = {"epsilon": F(1e-5)}
STASH = EPSILON | {"stash_type": 1}


def normal(*shape, seed=0, scale=3.0, offset=1.0):
    return (np.random.default_rng(seed).standard_normal(shape) * scale + offset).astype(F)


def assert_agrees(run_node, op, inputs, attributes, outputs=1):
    plain = {k: v.item() if isinstance(v, F) else v for k, v in attributes.items()}
    names = [f"x{i}" for i in range(len(inputs))]
    made = [f"y{i}" for i in range(outputs)]
    info = onnx.helper.make_tensor_value_info
    graph = onnx.helper.make_graph(
        [onnx.helper.make_node(op, names, made, **plain)],
        "one node",
        [info(name, onnx.TensorProto.FLOAT, x.shape) for name, x in zip(names, inputs, strict=True)],
        [info(name, onnx.TensorProto.FLOAT, None) for name in made],
    )
    model = onnx.helper.make_model(graph, opset_imports=[onnx.helper.make_opsetid("", OPSET)])
    expected = onnx.reference.ReferenceEvaluator(model).run(None, dict(zip(names, inputs, strict=True)))
    given = run_node(op, inputs, attributes, outputs=outputs)
    for e, g in zip(expected, given, strict=True):
        assert (e.dtype, e.shape) == (g.dtype, g.shape)
        np.testing.assert_allclose(g, e, rtol=2e-5, atol=2e-5)


@pytest.mark.parametrize("axis", [0, 1, 2, -1, -3])
@pytest.mark.parametrize("bias", [True, False])
@pytest.mark.parametrize("outputs", [1, 2, 3])
def test_layer_normalization(run_node, axis, bias, outputs):
    x = normal(3, 5, 37)
    parameters = [normal(*x.shape[axis:], seed=seed) for seed in (1, 2)][: 1 + bias]
    assert_agrees(run_node, "LayerNormalization", [x, *parameters], {"axis": axis} | STASH, outputs)


@pytest.mark.parametrize("axis", [0, 1, 2, -1, -2])
def test_rms_normalization(run_node, axis):
    x = normal(3, 5, 37)
    assert_agrees(run_node, "RMSNormalization", [x, normal(*x.shape[axis:], seed=1)], {"axis": axis} | STASH)


@pytest.mark.parametrize("shape", [(2, 6, 7, 5), (2, 6, 35), (1, 6, 2, 3, 4)])
def test_instance_and_group_normalization(run_node, shape):
    inputs = [normal(*shape), normal(6, seed=1), normal(6, seed=2)]
    assert_agrees(run_node, "InstanceNormalization", inputs, EPSILON)
    for groups in (1, 2, 3, 6):
        assert_agrees(run_node, "GroupNormalization", inputs, {"num_groups": groups} | STASH)


@pytest.mark.parametrize("p", [1, 2])
@pytest.mark.parametrize("axis", [0, 1, 2, -1])
def test_lp_normalization(run_node, p, axis):
    # By numpy: onnx.reference takes no magnitudes where p is 1.
    x = normal(3, 5, 37)
    expected = x / np.linalg.norm(x.astype(np.float64), ord=p, axis=axis, keepdims=True)
    (y,) = run_node("LpNormalization", [x], {"axis": axis, "p": p})
    np.testing.assert_allclose(y, expected, rtol=2e-6)


def test_a_vector_of_norm_0_is_0(run_node):
    x = np.array([[0, -0.0], [3, 4]], F)
    (y,) = run_node("LpNormalization", [x], {"axis": 1, "p": 2})
    np.testing.assert_array_equal(y, F([[0, 0], [0.6, 0.8]]))


def test_a_small_deviation_is_not_lost_beside_a_large_mean(run_node):
    # The mean of the squares less the square of the mean would be 0 in float32.
    x = F([[4096, 4097, 4098, 4099]])
    (y,) = run_node("LayerNormalization", [x, np.ones(4, F)], {"axis": -1, "epsilon": F(0), "stash_type": 1})
    np.testing.assert_allclose(y[0], np.array([-1.5, -0.5, 0.5, 1.5]) / np.sqrt(1.25), rtol=1e-6)


def test_sums_use_lanes_over_all_axes_of_a_vector(run_node):
    # 2^24 swallows a 1 that is added to it: the lane of element 0 meets 3 more elements, which are lost.
    x = np.ones((1, 8, 8), F)
    x[0, 0, 0] = 2**24
    (_, mean, _) = run_node("LayerNormalization", [x, np.ones((8, 8), F)], {"axis": 1} | STASH, outputs=3)
    assert mean.item() == F(2**24 + 60) / F(64)


def test_parameters_of_another_shape(run_node):
    for op, scale, attributes in [
        ("LayerNormalization", 3, {"axis": -1} | STASH),
        ("RMSNormalization", 1, {"axis": -1} | STASH),
    ]:
        with pytest.raises(RunError, match="scale or bias"):
            run_node(op, [normal(2, 4), normal(scale)], attributes)
    with pytest.raises(RunError, match="4 channels in 3 groups"):
        run_node("GroupNormalization", [normal(2, 4, 3), normal(4), normal(4)], {"num_groups": 3} | STASH)
