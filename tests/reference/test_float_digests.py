"""The reference gives the digests and coefficients that rust/kernels/src/float/tests.rs holds every tier to.

Run as a script it writes both files.
"""

import zlib
from pathlib import Path

import numpy as np
from octavo.program import Node
from octavo.reference import OPERATIONS, functions, trigonometry

FLOAT = Path(__file__).parents[2] / "rust/kernels/src/float"
DIGESTS = FLOAT / "digests.txt"
COEFFICIENTS = FLOAT / "coefficients.txt"

f32 = np.float32


def digest(values: np.ndarray) -> int:
    """CRC-32 of the elements as little-endian bytes, every NaN as 0x7fc00000."""
    bits = np.ascontiguousarray(values, f32).view(np.uint32)
    return zlib.crc32(np.where(np.isnan(values), np.uint32(0x7FC00000), bits).astype("<u4").tobytes())


def patterns(step: int) -> np.ndarray:
    """Bit patterns `i * step` modulo 2^32 as floats."""
    return (np.arange(65_536, dtype=np.uint32) * np.uint32(step)).view(f32)


def dense() -> np.ndarray:
    """Numbers from 2^-11 to 256 of both signs, as many in each octave."""
    i = np.arange(1 << 17, dtype=np.uint32)
    return (
        np.uint32(0x3A000000) + i * np.uint32(0x9E3779B1) % np.uint32(0x09800000) | i << np.uint32(31)
    ).view(f32)


def breakpoints(neighbours: int) -> np.ndarray:
    """Where functions change their ways: each with its neighbours, of both signs, and NaN."""
    points = np.array((FLOAT / "breakpoints.txt").read_text().split(), f32).view(np.int32)
    steps = np.arange(-neighbours, neighbours + 1, dtype=np.int32)
    x = np.maximum(points[:, None] + steps, 0).view(f32).ravel()
    return np.concatenate([[f32(np.nan)], np.stack([x, -x], 1).ravel()])


def noise(size: int, seed: int) -> np.ndarray:
    """Multiples of 2^-23 in [-1, 1), mixed from the index and a seed."""
    bits = (np.arange(size, dtype=np.uint32) + np.uint32(seed * 0x10001)) * np.uint32(0x9E3779B1)
    bits ^= bits >> np.uint32(15)
    bits *= np.uint32(0x85EBCA77)
    bits ^= bits >> np.uint32(13)
    return (((bits >> np.uint32(8)).astype(np.int32) - (1 << 23)) / 2**23).astype(f32)


def run(op: str, *inputs: np.ndarray, **attributes) -> int:
    return digest(OPERATIONS[op](Node(op, op, (), ("y",), attributes), list(inputs))[0])


def unary(a: np.ndarray) -> dict[str, int]:
    inf = f32(np.inf)
    digests = {
        "relu": run("Relu", a),
        "leaky_relu": run("LeakyRelu", a, alpha=f32(0.01)),
        "elu": run("Elu", a, alpha=f32(0.75)),
        "selu": run("Selu", a, alpha=f32(1.6732632), gamma=f32(1.050701)),
        "celu": run("Celu", a, alpha=f32(0.75)),
        "thresholded_relu": run("ThresholdedRelu", a, alpha=f32(0.75)),
        "sigmoid": run("Sigmoid", a),
        "tanh": run("Tanh", a),
        "hard_sigmoid": run("HardSigmoid", a, alpha=f32(0.2), beta=f32(0.5)),
        "hard_swish": run("HardSwish", a),
        "gelu": run("Gelu", a, approximate="none"),
        "gelu_tanh": run("Gelu", a, approximate="tanh"),
        "swish": run("Swish", a, alpha=f32(1.5)),
        "shrink": run("Shrink", a, lambd=f32(0.75), bias=f32(0.5)),
        "clip": run("Clip", a, f32(-0.5), f32(6)),
        "clip_below": run("Clip", a, f32(0), inf),
        "clip_above": run("Clip", a, -inf, f32(0)),
        "clip_crossed": run("Clip", a, f32(1), f32(-1)),
    }
    for op in (
        "Softplus",
        "Softsign",
        "Mish",
        "Exp",
        "Log",
        "Sqrt",
        "Reciprocal",
        "Abs",
        "Neg",
        "Sign",
        "Floor",
    ):
        digests[op.lower()] = run(op, a)
    angles = ("Sin", "Cos", "Tan", "Asin", "Acos", "Atan", "Sinh", "Cosh", "Asinh", "Acosh", "Atanh")
    for op in ("Ceil", "Round", "Erf", *angles):
        digests[op.lower()] = run(op, a)
    return digests


BINARY = ("Add", "Sub", "Mul", "Div", "Pow", "Max", "Min", "PRelu")


def elementwise() -> dict[str, int]:
    a, b = patterns(65_521), patterns(0x9E3779B1)
    digests = unary(a)
    for op in BINARY:
        digests[op.lower()] = run(op, a, b)
    for power in ("2", "0.5", "-1", "3"):
        digests[f"pow_{power}"] = run("Pow", a, f32(power))
    return digests


def bends() -> dict[str, int]:
    digests = {f"{name}_dense": crc for name, crc in unary(dense()).items()}
    digests |= {f"{name}_breakpoints": crc for name, crc in unary(breakpoints(2)).items()}
    points = breakpoints(0)
    a, b = np.repeat(points, len(points)), np.tile(points, len(points))
    return digests | {f"{op.lower()}_breakpoints": run(op, a, b) for op in BINARY}


WINDOW = {"strides": [2, 1], "dilations": [1, 2], "pads": [1, 2, 1, 2]}


def image(channels: int) -> np.ndarray:
    """A 9 x 8 image, [1, C, 9, 8], of noise that runs over the channels first."""
    return noise(9 * 8 * channels, 1).reshape(1, 9, 8, channels).transpose(0, 3, 1, 2)


def windows(op: str, *inputs: np.ndarray, **attributes) -> int:
    """The digest of the output with its channels last."""
    node = Node(op, op, (), ("y",), {**WINDOW, **attributes})
    return digest(OPERATIONS[op](node, list(inputs))[0].transpose(0, 2, 3, 1))


def products() -> dict[str, int]:
    x, w, bias = noise(29 * 600, 1).reshape(29, 600), noise(21 * 600, 2).reshape(21, 600), noise(21, 3)
    weights = noise(18 * 9 * 5, 2).reshape(18, 3, 3, 5).transpose(0, 3, 1, 2)
    window = noise(9 * 19, 2).reshape(3, 3, 1, 19).transpose(3, 2, 0, 1)
    return {
        "gemm": run("Gemm", x, w, bias, alpha=f32(1), beta=f32(1), transA=0, transB=1),
        "conv": windows("Conv", image(5), weights, noise(18, 3), group=1),
        "depthwise": windows("Conv", image(19), window, noise(19, 3), group=19),
    }


def pools() -> dict[str, int]:
    pool = {"kernel_shape": [3, 3], "ceil_mode": 0}
    return {
        "max_pool": windows("MaxPool", image(19), **pool),
        "average_pool": windows("AveragePool", image(19), count_include_pad=0, **pool),
        "average_pool_padded": windows("AveragePool", image(19), count_include_pad=1, **pool),
    }


def extremes() -> dict[str, int]:
    weights = noise(18 * 9 * 5, 2)
    infinite = weights.copy()
    infinite[::50] = np.inf

    def last(w: np.ndarray) -> np.ndarray:
        return w.reshape(18, 3, 3, 5).transpose(0, 3, 1, 2)

    subnormal = patterns(32_749)[: 72 * 5].reshape(1, 9, 8, 5).transpose(0, 3, 1, 2)
    x = patterns(0x9E3779B1)[: 72 * 19].reshape(1, 9, 8, 19).transpose(0, 3, 1, 2)
    window = noise(9 * 19, 2).reshape(3, 3, 1, 19).transpose(3, 2, 0, 1)
    pool = {"kernel_shape": [3, 3], "ceil_mode": 0}
    digests = {
        "conv_subnormal": windows("Conv", subnormal, last(weights), group=1),
        "conv_infinite": windows("Conv", image(5), last(infinite), group=1),
        "depthwise_patterns": windows("Conv", x, window, group=19),
        "max_pool_patterns": windows("MaxPool", x, **pool),
        "average_pool_patterns": windows("AveragePool", x, count_include_pad=0, **pool),
    }
    rows = patterns(0x9E3779B1).reshape(1024, 64)
    reduce = {"keepdims": 0, "noop_with_empty_axes": 0}
    for op in ("ReduceMean", "ReduceSum", "ReduceMax", "ReduceMin"):
        digests[f"reduce_{op[6:].lower()}_patterns"] = run(op, rows, np.int64([1]), **reduce)
    return digests


def normalizations() -> dict[str, int]:
    # variance + epsilon is 1: the factor is the scale.
    rest = (noise(19, 3), noise(19, 4), noise(19, 2), np.full(19, 0.75, f32))
    x = noise(2 * 19 * 35, 1)
    planar = run("BatchNormalization", x.reshape(2, 19, 35), *rest, epsilon=f32(0.25))
    last = run("BatchNormalization", x.reshape(70, 19), *rest, epsilon=f32(0.25))
    return {"batch_planar": planar, "batch_channels_last": last}


def reductions() -> dict[str, int]:
    digests = {}
    for op in ("ReduceMean", "ReduceSum", "ReduceMax", "ReduceMin"):
        name = f"reduce_{op[6:].lower()}"
        reduce = {"keepdims": 0, "noop_with_empty_axes": 0}
        digests[f"{name}_last"] = run(op, noise(5 * 53, 1).reshape(5, 53), np.int64([1]), **reduce)
        digests[f"{name}_strided"] = run(
            op, noise(2 * 11 * 19, 1).reshape(2, 11, 19), np.int64([1]), **reduce
        )
    x = noise(3 * 37 * 19, 1) * f32(8)
    for op, name in (("Softmax", "softmax"), ("LogSoftmax", "log_softmax")):
        digests[f"{name}_strided"] = run(op, x.reshape(3, 37, 19), axis=1)
        digests[f"{name}_last"] = run(op, x.reshape(-1, 37), axis=-1)
        digests[f"{name}_contiguous"] = run(op, x.reshape(-1, 37, 1), axis=1)
    return digests


def all_digests() -> list[str]:
    digests = elementwise() | products() | pools() | extremes() | normalizations() | reductions() | bends()
    return [f"{name} {crc:08x}" for name, crc in digests.items()]


def all_coefficients() -> list[str]:
    singles = {"LN2": (functions.LN2_HI, functions.LN2_LO)}
    names = ("EXP", "EXP_OF_SCORE", "LOG", "TANH", "ERF_SMALL", "ERF_LARGE")
    singles |= {name: getattr(functions, name) for name in names}
    doubles = {name: getattr(functions, name) for name in ("LOG2", "EXP2")}
    doubles |= {name: getattr(trigonometry, name) for name in ("SIN", "COS", "TWO_OVER_PI")}
    doubles["HALF_PI"] = (trigonometry.HALF_PI_HI, trigonometry.HALF_PI_LO)
    doubles |= {name: getattr(trigonometry, name) for name in ("ATAN", "ASIN", "SINH")}
    doubles["TINY"] = (trigonometry.TINY,)
    lines = [
        [name, *(f"{bits:08x}" for bits in np.array(of, f32).view("u4"))] for name, of in singles.items()
    ]
    lines += [[name, *(f"{bits:016x}" for bits in np.array(of).view("u8"))] for name, of in doubles.items()]
    return [" ".join(line) for line in lines]


def test_the_reference_gives_the_kernels_digests():
    assert all_digests() == DIGESTS.read_text().splitlines()


def test_the_reference_has_the_kernels_coefficients():
    assert all_coefficients() == COEFFICIENTS.read_text().splitlines()


if __name__ == "__main__":
    DIGESTS.write_text("\n".join([*all_digests(), ""]))
    COEFFICIENTS.write_text("\n".join([*all_coefficients(), ""]))
