"""MatMulNBits against ONNX Runtime."""

import numpy as np
import octavo
import pytest
from contributed import agree, floats, model_of, refusal

SHAPES = [(64, 10, 32), (50, 7, 16), (128, 8, 128), (48, 9, 32)]


def packed(inner, columns, size, bits, dtype="float32"):
    """Weights, scales and zero points of random bits."""
    blocks, rng = -(-inner // size), np.random.default_rng(inner)
    weights = rng.integers(0, 256, (columns, blocks, size * bits // 8)).astype(np.uint8)
    scales = (0.01 + rng.random((columns, blocks)) / 50).astype(dtype)
    return weights, scales, rng.integers(0, 256, (columns, -(-blocks * bits // 8))).astype(np.uint8)


def settings(inner, columns, size, bits):
    return {"K": inner, "N": columns, "bits": bits, "block_size": size}


@pytest.mark.parametrize("bits", [2, 4, 8])
@pytest.mark.parametrize("shape", SHAPES)
def test_weights_of_few_bits(shape, bits):
    inner, columns, _ = shape
    weights, scales, zeros = packed(*shape, bits)
    x, more = floats(2, 3, inner), settings(*shape, bits)
    agree("MatMulNBits", [x, weights, scales], constants=[1, 2], **more)
    agree("MatMulNBits", [x, weights, scales.ravel(), zeros.ravel()], constants=[1, 2, 3], **more)
    inputs = [x, weights, scales, zeros, None, floats(columns)]
    agree("MatMulNBits", inputs, constants=[1, 2, 3, 5], free=True, **more)
    if bits != 8:
        reals = np.random.default_rng(1).random(scales.shape).astype(np.float32) * 9
        agree("MatMulNBits", [x, weights, scales, reals], constants=[1, 2, 3], **more)


def test_scales_that_are_negative_or_nothing():
    """ONNX Runtime's own tool writes them: the sign of a group's largest weight is that of its scale."""
    weights, scales, zeros = packed(64, 10, 32, 4)
    scales[:4] *= -1
    scales[3:6, 1] = 0
    x, more = floats(2, 3, 64), settings(64, 10, 32, 4)
    agree("MatMulNBits", [x, weights, scales], constants=[1, 2], **more)
    agree("MatMulNBits", [x, weights, scales, zeros], constants=[1, 2, 3], **more)


def test_weights_stay_packed():
    weights, scales, _ = packed(512, 256, 32, 4)
    x = floats(2, 512)
    model, _ = model_of("MatMulNBits", [x, weights, scales], constants=[1, 2], **settings(512, 256, 32, 4))
    program = octavo.quantize(model).program
    assert sum(array.nbytes for array in program.constants.values()) < 1.3 * (weights.nbytes + scales.nbytes)


def test_float16():
    weights, scales, _ = packed(64, 10, 32, 4, "float16")
    x = floats(2, 3, 64, dtype="float16")
    agree("MatMulNBits", [x, weights, scales], constants=[1, 2], **settings(64, 10, 32, 4))


def test_what_is_refused():
    weights, scales, _ = packed(64, 10, 32, 4)
    x, more, stored = floats(2, 3, 64), settings(64, 10, 32, 4), {"constants": [1, 2]}
    assert "has 'B' that is computed" in refusal("MatMulNBits", [x, weights, scales], **more)
    few = refusal("MatMulNBits", [x, weights[:5], scales], **more, **stored)
    assert "node 'n' (MatMulNBits) has 160 elements of 'B' where its attributes ask for 320" in few
    order = refusal("MatMulNBits", [x, weights, scales, None, np.zeros(64, np.int32)], **more, **stored)
    assert "has 'g_idx', which octavo cannot run" in order
    for other, text in (
        ({"bits": 3}, "weights of 3 bits"),
        ({"block_size": 0}, "block_size = 0"),
        ({"K": 0}, "K = 0"),
        ({"K": 2**40}, "elements of 'B'"),
    ):
        assert text in refusal("MatMulNBits", [x, weights, scales], **(more | other), **stored)
