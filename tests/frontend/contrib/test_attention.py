"""Attention and MultiHeadAttention against ONNX Runtime, in every form that its kernels for the CPU have."""

import numpy as np
import pytest
from contributed import agree, floats, refusal

BATCH, LENGTH, HIDDEN, HEADS, PAST, KEYS = 2, 5, 8, 2, 3, 4
WIDTH = HIDDEN // HEADS
MASKS = {
    "none": None,
    "ends": np.array([3, 5], np.int32),
    "ends and begins": np.array([5, 4, 2, 0], np.int32),
    "tokens": np.array([[1, 1, 1, 0, 0], [0, 1, 1, 1, 1]], np.int32),
    "pairs": np.tril(np.ones((BATCH, LENGTH, LENGTH), np.int32)),
    "nothing": np.zeros((BATCH, LENGTH), np.int32),
}


def projected(dtype="float32"):
    return [
        floats(BATCH, LENGTH, HIDDEN, dtype=dtype),
        floats(HIDDEN, 3 * HIDDEN, dtype=dtype),
        floats(3 * HIDDEN, dtype=dtype),
    ]


@pytest.mark.parametrize("mask", MASKS)
@pytest.mark.parametrize("unidirectional", [0, 1])
@pytest.mark.parametrize("free", [False, True])
def test_masks(mask, unidirectional, free):
    more = {"num_heads": HEADS, "unidirectional": unidirectional, "free": free, "constants": [1, 2]}
    agree("Attention", [*projected(), MASKS[mask]], **more)


@pytest.mark.parametrize("unidirectional", [0, 1])
@pytest.mark.parametrize("mask", [None, np.array([[1, 0, 1, 1, 1, 1, 1, 1]] * BATCH, np.int32)])
def test_what_was_kept_of_earlier_steps(mask, unidirectional):
    past = floats(2, BATCH, HEADS, PAST, WIDTH)
    more = {"num_heads": HEADS, "unidirectional": unidirectional, "outputs": ["y", "present"]}
    agree("Attention", [*projected(), mask, past], **more)
    if mask is None:
        agree("Attention", projected(), **more)


def test_settings_of_attention():
    mask, bias = MASKS["tokens"], floats(1, HEADS, LENGTH, LENGTH)
    agree("Attention", [*projected("float16"), mask], num_heads=HEADS)
    agree("Attention", [*projected(), mask], num_heads=HEADS, scale=0.3, mask_filter_value=-3.0)
    agree("Attention", [*projected(), mask, None, bias], num_heads=HEADS)
    x, sizes = floats(BATCH, LENGTH, HIDDEN), [HIDDEN, HIDDEN, 4]
    agree("Attention", [x, floats(HIDDEN, 20), floats(20)], num_heads=HEADS, qkv_hidden_sizes=sizes)


@pytest.mark.parametrize("bias", [None, floats(3 * HIDDEN)])
@pytest.mark.parametrize(
    "mask",
    [
        None,
        np.array([2, 4], np.int32),
        np.array([[1, 1, 0, 0], [1, 1, 1, 1]], np.int32),
        np.ones((BATCH, LENGTH, KEYS), np.int32),
    ],
)
def test_multi_head_attention(mask, bias):
    query, key, value = (floats(BATCH, n, HIDDEN, seed=n) for n in (LENGTH, KEYS, KEYS))
    for more in ([], [floats(BATCH, HEADS, LENGTH, KEYS)], [floats(1, 1, LENGTH, KEYS)]):
        agree("MultiHeadAttention", [query, key, value, bias, mask, *more], num_heads=HEADS)
    by_heads = [floats(BATCH, HEADS, KEYS, WIDTH, seed=seed) for seed in (1, 2)]
    agree("MultiHeadAttention", [query, *by_heads, bias, mask], num_heads=HEADS)


@pytest.mark.parametrize("unidirectional", [0, 1])
def test_multi_head_attention_with_a_past(unidirectional):
    operands = [floats(BATCH, LENGTH, HIDDEN, seed=seed) for seed in range(3)]
    past = [floats(BATCH, HEADS, PAST, WIDTH, seed=seed) for seed in range(2)]
    more = {"num_heads": HEADS, "unidirectional": unidirectional, "outputs": ["y", "k", "v"]}
    agree("MultiHeadAttention", [*operands, floats(24), None, None, *past], **more)
    agree("MultiHeadAttention", operands, **more)


def test_a_value_of_another_width():
    query, key, value = floats(2, 5, 8), floats(2, 4, 8), floats(2, 4, 12)
    agree("MultiHeadAttention", [query, key, value, floats(28)], num_heads=HEADS)


def test_what_octavo_cannot_run():
    x = projected()
    assert "has do_rotary = 1, which octavo cannot run" in refusal("Attention", x, num_heads=2, do_rotary=1)
    four = np.ones((BATCH, 1, LENGTH, LENGTH), np.int32)
    assert "node 'n' (Attention) has a mask of 4 axes" in refusal("Attention", [*x, four], num_heads=2)
    assert "node 'n' (Attention) lacks its attribute 'num_heads'" in refusal("Attention", x)
    packed = floats(BATCH, LENGTH, HEADS, 3, WIDTH)
    assert "has query of 5 axes" in refusal("MultiHeadAttention", [packed], num_heads=2)
    assert "node name: n" in refusal("Attention", x, num_heads=3)
