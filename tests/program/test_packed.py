"""Integers of fewer bits than a byte: where each bit lies, and that they come back as they were."""

import numpy as np
import pytest
from octavo.program import PACKED
from octavo.program.integers import ACTIVATIONS, WEIGHTS, limits, pack, packed_bytes, unpack


@pytest.mark.parametrize("dtype", PACKED)
@pytest.mark.parametrize("shape", [(), (0,), (1,), (7,), (8,), (3, 5), (2, 0, 3), (4, 3, 3)])
def test_bits_lie_one_after_the_other_the_lowest_first(dtype, shape):
    """Against one large number of Python's, of which each integer is a digit."""
    width = int(dtype[1:])
    least, greatest = limits(dtype)
    assert (least, greatest) == (
        (0, 2**width - 1) if dtype[0] == "u" else (-(2 ** (width - 1)), 2 ** (width - 1) - 1)
    )
    plain = np.random.default_rng(width).integers(least, greatest + 1, shape)
    number = sum((int(q) % 2**width) << (width * at) for at, q in enumerate(plain.flat))
    size = -(-plain.size * width // 8)
    data = pack(plain, dtype)
    assert data.tobytes() == number.to_bytes(size, "little")
    assert len(data) == packed_bytes(dtype, shape) == size
    found = unpack(data, dtype, shape)
    assert found.dtype == (np.uint8 if dtype[0] == "u" else np.int8)
    assert np.array_equal(found, plain)
    assert found.shape == shape


@pytest.mark.parametrize("dtype", PACKED)
def test_what_a_packed_type_does_not_hold(dtype):
    least, greatest = limits(dtype)
    for low, high in ((least - 1, greatest), (least, greatest + 1)):
        says = rf"^{dtype} holds {least} to {greatest}, not {low} to {high}$"
        with pytest.raises(ValueError, match=says):
            pack(np.array([high, low]), dtype)
    assert len(pack(np.array([greatest, least]), dtype)) == 1


def test_the_integers_of_each_number_of_bits():
    """Symmetric ones leave out the least that the bits have."""
    assert set(PACKED) <= {of.dtype for of in WEIGHTS.values()}
    for of in (*WEIGHTS.values(), *ACTIVATIONS.values()):
        bits = int(of.dtype[1:])
        if of.dtype[0] == "u":
            assert (of.low, of.high, of.symmetric) == (0, 2**bits - 1, False)
        elif of.symmetric:
            assert (of.low, of.high) == (1 - 2 ** (bits - 1), 2 ** (bits - 1) - 1)
