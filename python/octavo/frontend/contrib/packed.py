"""Products by weights of few bits, packed in bytes: a MatMul by constants in integers, dequantized.

    Y = A W' + bias,  W[n, k] = (B[n, k] - zero_points[n, k / block_size]) * scales[n, k / block_size]

The lowest bits of a byte come first. The weights lie as MatMul reads them, [K, N], the groups along K, and
stay integers; but where the zero points are floats, they become float32.
"""

from typing import Any

import numpy as np
import numpy.typing as npt
import onnx_ir as ir

from octavo.frontend.contrib.call import Call, Operator
from octavo.frontend.kept import KEPT, WEIGHTS

_DTYPES = {2: ir.DataType.UINT2, 4: ir.DataType.UINT4, 8: ir.DataType.UINT8}

Array = npt.NDArray[Any]


def _matmul_nbits(call: Call) -> str:
    call.refuse("g_idx", "weight_prepacked")
    inner, columns, size = (call.integer(name) for name in ("K", "N", "block_size"))
    bits = call.integer("bits")
    if bits not in _DTYPES:
        call.fail(f"weights of {bits} bits")
    if min(inner, columns) < 1 or size < 16 or size & (size - 1):
        call.fail(f"K = {inner}, N = {columns}, block_size = {size}")
    blocks = -(-inner // size)
    weights = _unpacked(_given(call, "B", columns * blocks * size * bits // 8), bits, columns)[:, :inner]
    scales = _given(call, "scales", columns * blocks).reshape(columns, blocks).astype(np.float32)
    zeros: Array = np.full((columns, blocks), 1 << (bits - 1), np.uint8)
    if call.has("zero_points") and call.dtype("zero_points") != ir.DataType.UINT8:
        zeros = _given(call, "zero_points", columns * blocks).reshape(columns, blocks).astype(np.float32)
    elif call.has("zero_points"):
        packed = _given(call, "zero_points", columns * -(-blocks * bits // 8))
        zeros = _unpacked(packed, bits, columns)[:, :blocks]
    lines = _stored(call, weights, scales, zeros)
    lines += "x = Cast <to = 1> (A) product = MatMul (x, weights) "
    if call.has("bias"):
        return f"{lines}b = Cast <to = 1> (bias) sum = Add (product, b) Y = CastLike (sum, A)"
    return f"{lines}Y = CastLike (product, A)"


def _stored(call: Call, weights: Array, scales: Array, zeros: Array) -> str:
    """The node that makes `weights`, [N, K] by scales and zero points of groups; none where it is floats.

    A Program's scales are positive: weights are reflected where they are not, and those of 0 are all 0.
    """
    bits, size = call.integer("bits"), call.integer("block_size")
    scales_of, zeros_of = (of.repeat(size, axis=1)[:, : weights.shape[1]] for of in (scales, zeros))
    if zeros.dtype != np.uint8 or not np.isfinite(scales).all():
        reals = (weights - zeros_of.astype(np.float32)) * scales_of
        call.store("weights", ir.tensor(np.ascontiguousarray(reals.T)))
        return ""
    most = np.uint8((1 << bits) - 1)
    weights = np.where(scales_of < 0, most - weights, weights)
    zeros = np.where(scales < 0, most - zeros, zeros)
    weights = np.where(scales_of == 0, zeros_of, weights)
    groups = np.where(scales == 0, np.float32(1), np.abs(scales))
    call.store("integers", _tensor(weights.T, _DTYPES[bits]))
    call.store("groups", ir.tensor(np.ascontiguousarray(groups.T)))
    call.store("points", _tensor(zeros.T, _DTYPES[bits]))
    call.kept.add(WEIGHTS)
    return f"weights = {KEPT}.{WEIGHTS} <block = {size}> (integers, groups, points) "


def _given(call: Call, name: str, size: int) -> Array:
    """The elements of an input that must be a constant, as many as the attributes say."""
    constant = call.constant(name)
    if constant is None:
        call.fail(f"'{name}' that is computed")
    assert constant is not None
    if constant.size != size:
        call.fail(f"{constant.size} elements of '{name}' where its attributes ask for {size}")
    return constant.reshape(-1)


def _unpacked(packed: Array, bits: int, rows: int) -> Array:
    """The integers of bytes, [rows, those of a row]."""
    shifts = np.arange(0, 8, bits, dtype=np.uint8)
    integers = (packed.astype(np.uint8)[:, None] >> shifts) & np.uint8((1 << bits) - 1)
    return integers.reshape(rows, -1)


def _tensor(integers: Array, dtype: ir.DataType) -> ir.TensorProtocol:
    plain = np.ascontiguousarray(integers)
    return ir.tensor(plain if dtype == ir.DataType.UINT8 else plain.astype(dtype.numpy()), dtype=dtype)


PACKED = (
    Operator(
        "MatMulNBits(A B scales zero_points? g_idx? bias?) -> Y | K:int N:int bits:int=4 block_size:int "
        "accuracy_level:int=0 weight_prepacked:int=0",
        _matmul_nbits,
    ),
)
