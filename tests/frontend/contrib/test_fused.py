"""What ONNX Runtime's optimizer fuses, against ONNX Runtime."""

import numpy as np
import pytest
from contributed import agree, floats, refusal

DTYPES = ["float32", "float16"]


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize(
    ("op", "shapes", "attributes"),
    [
        ("Gelu", [(2, 5, 8)], {}),
        ("BiasGelu", [(2, 5, 8), (8,)], {}),
        ("FastGelu", [(2, 5, 8)], {}),
        ("FastGelu", [(2, 5, 8), (8,)], {}),
        ("QuickGelu", [(2, 5, 8)], {}),
        ("QuickGelu", [(2, 5, 8)], {"alpha": 0.7}),
    ],
)
def test_activations(op, shapes, attributes, dtype):
    agree(op, [floats(*shape, dtype=dtype) for shape in shapes], **attributes)


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("skip", [(2, 5, 8), (1, 5, 8), (5, 8)])
@pytest.mark.parametrize(("beta", "bias"), [(True, True), (True, False), (False, True), (False, False)])
def test_skip_layer_normalization(skip, beta, bias, dtype):
    x, s, gamma = floats(2, 5, 8, dtype=dtype), floats(*skip, dtype=dtype, seed=1), floats(8, dtype=dtype)
    inputs = [x, s, gamma, gamma[::-1].copy() if beta else None, gamma * 2 if bias else None]
    agree("SkipLayerNormalization", inputs, outputs=["y", "", "", "sum"], epsilon=1e-5)


@pytest.mark.parametrize("dtype", DTYPES)
def test_simplified_layer_normalizations(dtype):
    x, s, gamma = floats(2, 5, 8, dtype=dtype), floats(2, 5, 8, dtype=dtype, seed=1), floats(8, dtype=dtype)
    agree("SkipSimplifiedLayerNormalization", [x, s, gamma, gamma * 2], outputs=["y", "", "", "sum"])
    agree("SimplifiedLayerNormalization", [x, gamma], domain="", epsilon=1e-3)


@pytest.mark.parametrize("dtype", DTYPES)
def test_layer_normalization_before_onnx_has_it(dtype):
    x, scale = floats(2, 5, 8, dtype=dtype), floats(5, 8, dtype=dtype, seed=1)
    agree("LayerNormalization", [x, scale, scale * 2], domain="", opset=12, axis=1)
    if dtype == "float32":
        agree("LayerNormalization", [x, scale], outputs=["y", "mean", "inv"], domain="", opset=11, axis=1)


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("left_out", [(), ("segment",), ("mask",), ("position",)])
def test_embed_layer_normalization(left_out, dtype):
    rng = np.random.default_rng(0)
    ids, segments, places = (rng.integers(0, most, (2, 5)).astype(np.int32) for most in (20, 2, 9))
    mask = np.array([[1, 1, 1, 0, 0], [1, 1, 1, 1, 1]], np.int32)
    words, positions, kinds = (floats(rows, 8, dtype=dtype) for rows in (20, 9, 2))
    scale, offset = floats(8, dtype=dtype), floats(8, dtype=dtype, seed=1)
    inputs = [
        ids,
        None if "segment" in left_out else segments,
        words,
        positions,
        None if "segment" in left_out else kinds,
        scale,
        offset,
        None if "mask" in left_out else mask,
        None if "position" in left_out else places,
    ]
    outputs = [f"y:{dtype}", "mask_index:int32", f"sum:{dtype}"]
    agree("EmbedLayerNormalization", inputs, outputs=outputs, epsilon=1e-6)


@pytest.mark.parametrize("free", [False, True])
@pytest.mark.parametrize(
    ("left", "right", "flags"),
    [
        ((2, 5, 8), (8, 3), []),
        ((2, 8, 5), (2, 3, 8), ["transA", "transB"]),
        ((5, 2, 8), (3, 2, 8), ["transBatchA", "transBatchB", "transB"]),
        ((5, 2, 3, 8), (2, 3, 8, 4), ["transBatchA"]),
        ((8, 2, 3, 5), (2, 3, 8, 4), ["transBatchA", "transA"]),
        ((8,), (8, 3), ["transA"]),
        ((2, 3, 8), (8,), ["transB"]),
    ],
)
def test_fused_matmul(left, right, flags, free):
    operands = [floats(*left), floats(*right, seed=1)]
    agree("FusedMatMul", operands, free=free, alpha=0.5, **dict.fromkeys(flags, 1))
    if not flags:
        agree("FusedMatMul", [a.astype(np.float16) for a in operands], alpha=2.0, tolerance=2e-2)


@pytest.mark.parametrize(
    ("activation", "parameters"),
    [
        ("Relu", []),
        ("Sigmoid", []),
        ("Tanh", []),
        ("HardSwish", []),
        ("LeakyRelu", [0.1]),
        ("Clip", [-0.5, 0.5]),
        ("HardSigmoid", [0.1, 0.4]),
    ],
)
def test_fused_conv(activation, parameters):
    x, w, b, z = floats(1, 4, 7, 7), floats(6, 2, 3, 3), floats(6), floats(1, 6, 5, 5)
    more = {"activation": activation, "group": 2} | ({"activation_params": parameters} if parameters else {})
    for inputs in ([x, w], [x, w, b], [x, w, b, z]):
        agree("FusedConv", inputs, **more)
    agree("FusedConv", [x, w, b], **more, pads=[1, 0, 2, 1], strides=[2, 1], dilations=[1, 2])
    agree("FusedConv", [x, w, None, floats(1, 6, 4, 4)], **more, auto_pad="SAME_UPPER", strides=[2, 2])


@pytest.mark.parametrize("activation", ["Relu", "Sigmoid", "Tanh", "LeakyRelu"])
def test_fused_gemm(activation):
    more = {"activation_alpha": 0.1} if activation == "LeakyRelu" else {}
    inputs = [floats(4, 8), floats(3, 8), floats(3)]
    agree("FusedGemm", inputs, activation=activation, transB=1, alpha=0.5, beta=0.3, **more)


REFUSED = [
    ("BiasGelu", [(2, 8)], {}, "node 'n' (BiasGelu) lacks its input 'B'"),
    ("Gelu", [(2, 8), (8,)], {}, "node 'n' (Gelu) has 2 inputs, but its operator 1"),
    (
        "Gelu",
        [(2, 8)],
        {"alpha": 1.0},
        "node 'n' (Gelu) has the attribute 'alpha', which its operator does not",
    ),
    (
        "QuickGelu",
        [(2, 8)],
        {"alpha": 1},
        "node 'n' (QuickGelu) has an attribute 'alpha' that is not of the kind",
    ),
    (
        "FusedConv",
        [(1, 4, 7, 7), (6, 4, 3, 3)],
        {"activation": "Sin"},
        "node 'n' (FusedConv) has activation = 'Sin'",
    ),
    ("FusedMatMul", [(2, 8), (7, 3)], {}, "node name: n"),
]


@pytest.mark.parametrize(("op", "shapes", "attributes", "text"), REFUSED, ids=lambda value: str(value)[:20])
def test_nodes_that_do_not_fit(op, shapes, attributes, text):
    assert text in refusal(op, [floats(*shape) for shape in shapes], **attributes)
