"""The integer ops against loops over Python's integers and fractions."""

import itertools
import math
from fractions import Fraction
from functools import partial

import numpy as np
import pytest
from octavo.errors import ArtifactError, RunError

CLAMP = {"y_zero_point": 9, "lo": 4, "hi": 250}


def scaled(acc, multiplier, shift):
    """`acc * multiplier / 2^shift`, rounded with ties up."""
    return math.floor(Fraction(int(acc) * int(multiplier), 2 ** int(shift)) + Fraction(1, 2))


def clamped(y):
    return min(max(y + CLAMP["y_zero_point"], CLAMP["lo"]), CLAMP["hi"])


def factor(ratio):
    """The multiplier and shift of an exact positive ratio."""
    shift = next(s for s in range(62, 0, -1) if ratio * 2**s < 2**31)
    return 2**7 * (2 * math.floor(ratio * 2**shift / 2**8) + 1), shift


def u8(rng, *shape):
    """Bytes of which many are extreme."""
    return np.where(rng.random(shape) < 0.2, rng.choice([0, 255], shape), rng.integers(0, 256, shape)).astype(
        np.uint8
    )


def i8(rng, *shape):
    return np.where(
        rng.random(shape) < 0.2, rng.choice([-127, 127], shape), rng.integers(-127, 128, shape)
    ).astype(np.int8)


def channel_constants(rng, count):
    bias = rng.integers(-(2**24), 2**24, count).astype(np.int32)
    multiplier = (256 * rng.integers(2**22, 2**23, count) + 128).astype(np.int32)
    shift = rng.integers(36, 48, count).astype(np.int32)
    return bias, multiplier, shift


def conv_sums(x, w, attributes, x_zero_point):
    """The sums of a convolution, by the definition: {(n, o, *position): integer}, and the shape."""
    rank, group = x.ndim - 2, attributes["group"]
    pads, strides, dilations = attributes["pads"], attributes["strides"], attributes["dilations"]
    spatial = [
        (x.shape[2 + i] + pads[i] + pads[rank + i] - (w.shape[2 + i] - 1) * dilations[i] - 1) // strides[i]
        + 1
        for i in range(rank)
    ]
    shape = (x.shape[0], w.shape[0], *spatial)
    sums = {}
    for n, o, *position in np.ndindex(*shape):
        first = o // (w.shape[0] // group) * w.shape[1]
        total = 0
        for c, *tap in np.ndindex(*w.shape[1:]):
            at = [
                p * s + t * d - pads[i]
                for i, (p, s, t, d) in enumerate(zip(position, strides, tap, dilations, strict=True))
            ]
            if all(0 <= a < size for a, size in zip(at, x.shape[2:], strict=True)):
                total += int(w[(o, c, *tap)]) * (int(x[(n, first + c, *at)]) - x_zero_point)
        sums[(n, o, *position)] = total
    return sums, shape


CONVS = {
    "1x1": ((2, 3, 4, 5), (4, 3, 1, 1), [1, 1], [0, 0, 0, 0], [1, 1], 1),
    "3x3 padded": ((1, 2, 5, 4), (3, 2, 3, 3), [1, 1], [1, 1, 1, 1], [1, 1], 1),
    "strides and uneven pads": ((1, 2, 7, 6), (2, 2, 3, 2), [2, 3], [0, 1, 2, 0], [1, 1], 1),
    "dilated": ((1, 2, 7, 7), (2, 2, 3, 3), [1, 2], [2, 2, 2, 2], [2, 3], 1),
    "depthwise": ((2, 4, 5, 5), (4, 1, 3, 3), [2, 2], [1, 1, 1, 1], [1, 1], 4),
    "groups": ((1, 6, 3, 3), (4, 3, 2, 2), [1, 1], [0, 0, 0, 0], [1, 1], 2),
    "one axis": ((2, 3, 9), (2, 3, 4), [2], [1, 2], [1], 1),
    "three axes": ((1, 2, 3, 4, 3), (2, 2, 2, 2, 2), [1, 2, 1], [0, 1, 0, 1, 0, 1], [1, 1, 1], 1),
    "kernel in the padding alone": ((1, 1, 2, 2), (1, 1, 2, 2), [3, 3], [3, 3, 3, 3], [1, 1], 1),
    "no outputs": ((1, 1, 2, 2), (1, 1, 3, 3), [1, 1], [0, 0, 0, 0], [1, 1], 1),
    "no batch": ((0, 1, 3, 3), (1, 1, 3, 3), [1, 1], [0, 0, 0, 0], [1, 1], 1),
}


@pytest.mark.parametrize("zero_point", [0, 128, 255])
@pytest.mark.parametrize("case", CONVS)
def test_conv(run_node, rng, case, zero_point):
    x_shape, w_shape, strides, pads, dilations, group = CONVS[case]
    x, w = u8(rng, *x_shape), i8(rng, *w_shape)
    attributes = {"strides": strides, "pads": pads, "dilations": dilations, "group": group}
    sums, shape = conv_sums(x, w, attributes, zero_point)
    attributes["x_zero_point"] = zero_point
    bias, multiplier, shift = channel_constants(rng, w_shape[0])
    constants = [w, bias, multiplier, shift]
    (y,) = run_node("QConv", [x, *constants], attributes | CLAMP, constants=range(1, 5))
    assert y.shape == shape
    assert y.dtype == np.uint8
    for place, total in sums.items():
        o = place[1]
        assert y[place] == clamped(scaled(total + int(bias[o]), multiplier[o], shift[o]))

    scale = rng.random(w_shape[0]).astype(np.float32)
    real_bias = rng.normal(size=w_shape[0]).astype(np.float32)
    x_scale = np.float32(0.037)
    (y,) = run_node(
        "QConv",
        [x, w, real_bias, scale],
        attributes | {"x_scale": x_scale},
        dtypes="f32",
        constants=range(1, 4),
    )
    assert y.shape == shape
    for place, total in sums.items():
        assert y[place] == float_from(total, x_scale, scale[place[1]], real_bias[place[1]])


def float_from(total, x_scale, scale, bias):
    """`fma(float32(acc) * x_scale, scale, bias)`, the last rounding from the exact value."""
    left = np.float32(total) * x_scale
    exact = Fraction(float(left)) * Fraction(float(scale)) + Fraction(float(bias))
    nearest = np.float32(
        float(exact)
    )  # within two roundings: the neighbours are compared with the exact value
    below, above = np.nextafter(nearest, np.float32(-np.inf)), np.nextafter(nearest, np.float32(np.inf))

    def distance(candidate):
        return abs(Fraction(float(candidate)) - exact), int(candidate.view(np.uint32)) & 1

    return min((below, nearest, above), key=distance)


@pytest.mark.parametrize("x_shape", [(3, 7), (2, 3, 7), (7,), (0, 7)])
def test_gemm(run_node, rng, x_shape):
    x, w = u8(rng, *x_shape), i8(rng, 7, 5)
    bias, multiplier, shift = channel_constants(rng, 5)
    (y,) = run_node(
        "QGemm", [x, w, bias, multiplier, shift], CLAMP | {"x_zero_point": 77}, constants=range(1, 5)
    )
    scale, real_bias = rng.random(5).astype(np.float32), rng.normal(size=5).astype(np.float32)
    form = {"x_zero_point": 77, "x_scale": np.float32(0.11)}
    (f,) = run_node("QGemm", [x, w, real_bias, scale], form, dtypes="f32", constants=range(1, 4))
    assert y.shape == f.shape == (*x_shape[:-1], 5)
    for *row, n in np.ndindex(*y.shape):
        total = sum((int(x[(*row, k)]) - 77) * int(w[k, n]) for k in range(7))
        assert y[(*row, n)] == clamped(scaled(total + int(bias[n]), multiplier[n], shift[n]))
        assert f[(*row, n)] == float_from(total, form["x_scale"], scale[n], real_bias[n])


@pytest.mark.parametrize("zero_point", [0, 128, 255])
@pytest.mark.parametrize(("multiplier", "shift"), [(0, 1), (2**15 - 1, 1), (20000, 13), (2**14, 23), (1, 2)])
def test_a_residual_joins_the_sums(run_node, rng, zero_point, multiplier, shift):
    x, w, r = u8(rng, 2, 3, 5, 4), i8(rng, 2, 3, 2, 2), u8(rng, 2, 2, 4, 3)
    bias, m, s = channel_constants(rng, 2)
    factors = [np.array(pair, np.int32) for pair in ([multiplier, 300], [shift, 5])]
    attributes = {"strides": [1, 1], "pads": [0] * 4, "dilations": [1, 1], "group": 1}
    sums, shape = conv_sums(x, w, attributes, 9)
    attributes |= {"x_zero_point": 9, "r_zero_point": zero_point} | CLAMP
    places = (1, 2, 3, 4, 6, 7)
    (y,) = run_node("QConv", [x, w, bias, m, s, r, *factors], attributes, constants=places)
    assert y.shape == shape == r.shape
    for place, total in sums.items():
        o = place[1]
        product = (int(r[place]) - zero_point) * int(factors[0][o])
        term = math.floor(Fraction(product, 2 ** int(factors[1][o])) + Fraction(1, 2))
        assert y[place] == clamped(scaled(total + int(bias[o]) + term, m[o], s[o]))


def test_a_residual_of_another_shape_is_an_error(run_node, rng):
    bias, m, s = channel_constants(rng, 5)
    inputs = [
        u8(rng, 3, 7),
        i8(rng, 7, 5),
        bias,
        m,
        s,
        u8(rng, 1, 5),
        np.ones(5, np.int32),
        np.ones(5, np.int32),
    ]
    points = {"x_zero_point": 9, "r_zero_point": 3}
    with pytest.raises(
        RunError, match=r"QGemm node 'node' .*: its residual has the shape \[1, 5\], its results \[3, 5\]"
    ):
        run_node("QGemm", inputs, CLAMP | points, constants=(1, 2, 3, 4, 6, 7))


def test_sums_near_the_bound_stay_exact(run_node):
    k = 2**31 // (127 * 255)
    x, w = np.full((1, k), 255, np.uint8), np.full((k, 2), 127, np.int8)
    w[:, 1] = -127
    room = 2**31 - 1 - k * 127 * 255
    constants = [np.array(v, np.int32) for v in ([room, -room], [2**30 + 128] * 2, [53, 53])]
    (y,) = run_node("QGemm", [x, w, *constants], {**CLAMP, "x_zero_point": 0}, constants=range(1, 5))
    assert y.tolist() == [[clamped(scaled(acc, 2**30 + 128, 53)) for acc in (2**31 - 1, 1 - 2**31)]]


@pytest.mark.parametrize(
    "shapes", [((2, 3, 4), (2, 3, 4)), ((2, 3, 4), (3, 1)), ((1, 4), (5, 1)), ((), (3,))]
)
def test_add_and_mul_broadcast(run_node, rng, shapes):
    a, b = (u8(rng, *shape) for shape in shapes)
    zeros = {"a_zero_point": 3, "b_zero_point": 200}
    for a_multiplier, b_multiplier, shift in (
        (32767, -32767, 15),
        (5000, 20000, 14),
        (-1, 0, 1),
        (16385, 3, 30),
    ):
        multipliers = {"a_multiplier": a_multiplier, "b_multiplier": b_multiplier, "shift": shift}
        (y,) = run_node("QAdd", [a, b], zeros | multipliers | CLAMP)
        for place, (p, q) in zip(np.ndindex(y.shape), np.broadcast(a, b), strict=True):
            acc = (int(p) - 3) * a_multiplier + (int(q) - 200) * b_multiplier
            assert y[place] == clamped(scaled(acc, 1, shift))
    (y,) = run_node("QMul", [a, b], zeros | CLAMP | {"multiplier": 2**30 + 12416, "shift": 38})
    assert y.shape == np.broadcast_shapes(*shapes)
    for place, (p, q) in zip(np.ndindex(y.shape), np.broadcast(a, b), strict=True):
        assert y[place] == clamped(scaled((int(p) - 3) * (int(q) - 200), 2**30 + 12416, 38))


@pytest.mark.parametrize("include", [0, 1])
@pytest.mark.parametrize("ceil", [0, 1])
@pytest.mark.parametrize(
    ("spatial", "kernel", "strides", "pads", "dilations"),
    [
        ((6, 5), [2, 2], [2, 2], [0, 0, 0, 0], [1, 1]),
        ((6, 5), [3, 3], [2, 2], [1, 1, 1, 1], [1, 1]),
        ((6, 7), [3, 2], [3, 2], [2, 0, 0, 1], [1, 2]),
        ((9,), [4], [3], [1, 2], [1]),
        ((6,), [2], [3], [0, 1], [1]),  # rounded up, a window would begin just behind the input
        ((6,), [2], [3], [1, 1], [1]),
        ((1, 1), [2, 2], [1, 1], [2, 2, 2, 2], [3, 3]),  # some windows see the padding alone
    ],
)
def test_average_pool(run_node, rng, spatial, kernel, strides, pads, dilations, ceil, include):
    x, ratio, rank = u8(rng, 2, 3, *spatial), Fraction(3, 7), len(spatial)
    attributes = {
        "kernel_shape": kernel,
        "strides": strides,
        "pads": pads,
        "dilations": dilations,
        "ceil_mode": ceil,
        "count_include_pad": include,
        "x_zero_point": 100,
        "ratio": np.float64(float(ratio)),
    }
    (y,) = run_node("QAveragePool", [x], attributes | CLAMP)
    positions = []
    for i in range(rank):
        room = spatial[i] + pads[i] + pads[rank + i] - (kernel[i] - 1) * dilations[i] - 1
        count = (math.ceil if ceil else math.floor)(Fraction(room, strides[i])) + 1
        # A window may not begin in the padding at the end.
        positions.append([p for p in range(count) if not ceil or p * strides[i] < spatial[i] + pads[i]])
    assert y.shape == (2, 3, *map(len, positions))
    for n, c in np.ndindex(2, 3):
        for position in itertools.product(*positions):
            total = count = 0
            for tap in np.ndindex(*kernel):
                at = [
                    p * s + t * d - pad
                    for p, s, t, d, pad in zip(position, strides, tap, dilations, pads[:rank], strict=True)
                ]
                inside = all(0 <= a < size for a, size in zip(at, spatial, strict=True))
                padded = all(-pads[i] <= a < spatial[i] + pads[rank + i] for i, a in enumerate(at))
                total += int(x[(n, c, *at)]) - 100 if inside else 0
                count += padded if include else inside
            expected = scaled(total, *factor(Fraction(float(ratio) / count))) if count else 0
            assert y[(n, c, *position)] == clamped(expected)


@pytest.mark.parametrize(
    ("axes", "keepdims"), [([2, 3], 1), ([2, 3], 0), ([0], 1), ([0, 1, 2, 3], 0), ([1], 0)]
)
def test_reduce_mean(run_node, rng, axes, keepdims):
    x = u8(rng, 2, 3, 4, 5)
    attributes = {"axes": axes, "keepdims": keepdims, "x_zero_point": 50, "ratio": np.float64(0.7)}
    (y,) = run_node("QReduceMean", [x], attributes | CLAMP)
    count = math.prod(x.shape[axis] for axis in axes)
    sums = (x.astype(object) - 50).sum(axis=tuple(axes), keepdims=bool(keepdims))
    sums = np.asarray(sums, object)
    assert y.shape == sums.shape
    parameters = factor(Fraction(0.7 / count))
    assert y.reshape(-1).tolist() == [clamped(scaled(total, *parameters)) for total in sums.reshape(-1)]


@pytest.mark.parametrize(("axes", "keepdims"), [([2, 3], 1), ([2, 3], 0), ([0, 1, 2, 3], 0), ([1], 0)])
@pytest.mark.parametrize("x_scale", [0.3, 2.0**-126, 3.4e38])
def test_reduce_mean_in_floats(run_node, rng, axes, keepdims, x_scale):
    """The scale over the count is rounded to float64 and float32, the sum and the product to float32."""
    x, x_scale = u8(rng, 2, 3, 4, 5), np.float32(x_scale)
    attributes = {"axes": axes, "keepdims": keepdims, "x_zero_point": 50, "x_scale": x_scale}
    (y,) = run_node("QReduceMean", [x], attributes, "f32")
    count = math.prod(x.shape[axis] for axis in axes)
    scale = Fraction(float(np.float32(float(Fraction(float(x_scale)) / count))))
    sums = np.asarray((x.astype(object) - 50).sum(axis=tuple(axes), keepdims=bool(keepdims)), object)
    assert y.shape == sums.shape
    assert y.dtype == np.float32
    # Sums below 2^24 are float32, and their products by one are float64.
    with np.errstate(over="ignore"):
        assert y.reshape(-1).tolist() == [np.float32(float(total * scale)) for total in sums.reshape(-1)]


@pytest.mark.parametrize("form", [{"ratio": np.float64(1)} | CLAMP, {"x_scale": np.float32(1)}])
def test_a_mean_of_nothing_or_whose_sum_could_leave_32_bits_is_an_error(run_node, form):
    attributes = {"axes": [0], "keepdims": 1, "x_zero_point": 0, **form}
    for count in (0, 2**31 // 255 + 1):
        x = np.broadcast_to(np.uint8(1), (count,))
        with pytest.raises(RunError, match=f"cannot average {count} elements: .*32 bits"):
            run_node("QReduceMean", [x], attributes, "f32" if "x_scale" in form else "u8")


def test_requantize(run_node):
    x = np.arange(256, dtype=np.uint8)
    factors = {"multiplier": 2**31 - 128, "shift": 31, "x_zero_point": 128}
    (y,) = run_node("Requantize", [x], factors | CLAMP)
    assert y.tolist() == [clamped(scaled(q - 128, 2**31 - 1, 31)) for q in range(256)]


def test_quantize_rounds_half_to_even_and_gives_nan_the_zero_point(run_node):
    scale = np.float32(0.3)
    halves = (np.arange(-40, 40) + 0.5).astype(np.float32) * np.float32(2)
    (y,) = run_node("Quantize", [halves], {"scale": np.float32(2), "zero_point": 20}, dtypes="u8")
    assert y.tolist() == [min(max(round(n + 0.5) + 20, 0), 255) for n in range(-40, 40)]
    special = np.array([np.nan, np.inf, -np.inf, 0.0, -0.0, 3e38, -3e38, 1e-45], np.float32)
    (y,) = run_node("Quantize", [special], {"scale": scale, "zero_point": 20}, dtypes="u8")
    assert y.tolist() == [20, 255, 0, 20, 20, 255, 0, 20]
    rng = np.random.default_rng(5)
    x = (rng.normal(size=1000) * 40).astype(np.float32)
    (y,) = run_node("Quantize", [x], {"scale": scale, "zero_point": 128}, dtypes="u8")
    for value, q in zip(x, y, strict=True):
        # The quotient of two float32 in float64, rounded to float32, is the float32 division.
        quotient = np.float32(float(value) / float(scale))
        assert q == min(max(round(Fraction(float(quotient))) + 128, 0), 255)


def test_dequantize(run_node):
    x, scale = np.arange(256, dtype=np.uint8), np.float32(0.1)
    (y,) = run_node("Dequantize", [x], {"scale": scale, "zero_point": 7}, dtypes="f32")
    assert y.dtype == np.float32
    assert y.tolist() == [float(np.float32(float(scale) * (q - 7))) for q in range(256)]


def test_lookup(run_node, rng):
    x, table = u8(rng, 3, 5), rng.permutation(256).astype(np.uint8)
    (y,) = run_node("Lookup", [x, table], {}, constants=[1])
    assert y.tolist() == [[int(table[int(q)]) for q in row] for row in x]


@pytest.mark.parametrize(("shape", "axis"), [((3, 10), 1), ((2, 5, 4), 1), ((2, 5, 4), -3), ((1, 1300), -1)])
def test_softmax(run_node, rng, shape, axis):
    x = u8(rng, *shape)
    table = np.array([round(2**22 * math.exp(-0.05 * d)) for d in range(256)], np.int32)
    (y,) = run_node("QSoftmax", [x, table], {"axis": axis}, constants=[1])
    rows, found = np.moveaxis(x, axis, -1), np.moveaxis(y, axis, -1)
    for place in np.ndindex(rows.shape[:-1]):
        row = [int(q) for q in rows[place]]
        e = [int(table[max(row) - q]) for q in row]
        assert found[place].tolist() == [min(255, (512 * n + sum(e)) // (2 * sum(e))) for n in e]


@pytest.mark.parametrize("shape", [(7,), (3, 10), (2, 5, 40), (2, 3, 0), (0, 4)])
@pytest.mark.parametrize("scale", [5, 0.2])
def test_exponentials(run_node, rng, shape, scale):
    """By Python's own exponential: ours is less than 4 millionths beside it."""
    x = (rng.normal(size=shape) * scale).astype(np.float32)
    e, sums = run_node("QExponentials", [x], {}, ["u8", "i32"], 2)
    assert (e.shape, sums.shape) == ((*shape[:-1], 2 * shape[-1]), (*shape[:-1], 2))
    n = shape[-1]
    for place in np.ndindex(*shape[:-1]):
        row, digits = [float(v) for v in x[place]], [int(digit) for digit in e[place]]
        reals = [65535 * math.exp(float(np.float32(v - max(row)))) for v in row]
        made = [256 * upper + lower for upper, lower in zip(digits[:n], digits[n:], strict=True)]
        assert all(abs(one - real) <= 0.5 + 4e-6 * real for one, real in zip(made, reals, strict=True))
        assert sums[place].tolist() == [sum(digits[:n]), sum(digits[n:])]


@pytest.mark.parametrize(
    ("row", "want"),
    [
        ([3.0, 3.0, -np.inf], [65535, 65535, 0]),
        ([3.0, -1e9, -3.4e38], [65535, 0, 0]),
        ([-3.4e38, 3.4e38], [0, 65535]),
        ([0.0, -0.0], [65535, 65535]),
        ([0.0, -11.782, -11.784], [65535, 1, 0]),
        ([-np.inf, -np.inf], [0, 0]),
        ([1.0, np.nan, 2.0], [0, 0, 0]),
        ([np.inf, 1.0], [0, 0]),
        ([np.inf, -np.inf], [0, 0]),
    ],
)
def test_exponentials_of_masked_and_of_broken_rows(run_node, row, want):
    e, sums = run_node("QExponentials", [np.array([row], np.float32)], {}, ["u8", "i32"], 2)
    assert e.tolist() == [[one >> 8 for one in want] + [one & 255 for one in want]]
    assert sums.tolist() == [[sum(one >> 8 for one in want), sum(one & 255 for one in want)]]


@pytest.mark.parametrize("below", [0, 4, 7, 9])
def test_many_small_exponentials_count_beside_a_great_one(run_node, rng, below):
    """500 scores so far below the first, which hold nearly all of the sum or a twentieth of it."""
    x = rng.normal(size=(3, 501)).astype(np.float32) - np.float32(below)
    x[:, 0] = 0
    v = u8(rng, 501, 20)
    e, sums = run_node("QExponentials", [x], {}, ["u8", "i32"], 2)
    (y,) = run_node("QMatMul", [e, v, sums], {"b_zero_point": 128, "b_scale": np.float32(1)}, "f32")
    exact = np.exp(x.astype(np.float64))
    exact = exact / exact.sum(axis=1, keepdims=True) @ (v - 128.0)
    assert np.linalg.norm(y - exact) < 1e-3 * np.linalg.norm(exact)


def test_exponentials_whose_sum_could_leave_32_bits_are_an_error(run_node):
    """8421505 times 255 is 2^31 and more."""
    for count, refused in ((8421504, False), (8421505, True)):
        x = np.zeros((1, count), np.float32)
        run = partial(run_node, "QExponentials", [x], {}, ["u8", "i32"], 2)
        if refused:
            with pytest.raises(RunError, match="sum of 8421505 exponentials"):
                run()
        else:
            assert run()[1].tolist() == [[255 * count, 255 * count]]


@pytest.mark.parametrize(
    ("a_shape", "b_shape"),
    [((3, 7), (7, 5)), ((2, 3, 7), (7, 5)), ((2, 1, 3, 7), (4, 7, 5)), ((7,), (7, 5)), ((2, 3, 7), (7,)),
     ((7,), (7,)), ((3, 0), (0, 4))],
)  # fmt: skip
def test_products_of_weighed_rows(run_node, rng, a_shape, b_shape):
    """Each row by its own scale over its own sum, which need not be that of the row."""
    a, b = u8(rng, *a_shape[:-1], 2 * a_shape[-1]), u8(rng, *b_shape)
    sums = rng.integers(1, 3 * 10**7, (*a_shape[:-1], 2)).astype(np.int32)
    sums.reshape(-1)[:2] = 0
    (y,) = run_node("QMatMul", [a, b, sums], {"b_zero_point": 77, "b_scale": np.float32(0.3)}, "f32")
    right = b.astype(object) - 77
    exact = [np.matmul(digit.astype(object), right) for digit in np.split(a, 2, axis=-1)]
    if not a_shape[-1]:
        exact = [np.zeros((3, 4), object)] * 2
    rows = (sums[..., digit : digit + 1] if len(b_shape) > 1 else sums[..., digit] for digit in (0, 1))
    divisors = [np.broadcast_to(digit, np.shape(exact[0])).reshape(-1) for digit in rows]
    totals = [np.reshape(digit, -1) for digit in exact]
    assert y.shape == np.shape(exact[0])

    def whole(upper, lower):
        """Exact in float64, which rounds once more."""
        return np.float32(256 * float(np.float32(upper)) + float(np.float32(lower)))

    for got, *digits in zip(y.reshape(-1), *totals, *divisors, strict=True):
        with np.errstate(all="ignore"):
            factor = np.float32(0.3) / whole(*digits[2:])
            assert np.array_equal(got, whole(*digits[:2]) * factor, equal_nan=True)


def test_sums_of_another_shape_are_an_error(run_node, rng):
    a, b, sums = u8(rng, 3, 14), u8(rng, 7, 5), np.ones((7, 2), np.int32)
    with pytest.raises(RunError, match=r"sums are of shape \[7, 2\], not \[3, 2\]"):
        run_node("QMatMul", [a, b, sums], {"b_zero_point": 77, "b_scale": np.float32(0.3)}, "f32")


def test_channels_that_do_not_fit_are_an_error(run_node, rng):
    attributes = {"strides": [1], "pads": [0, 0], "dilations": [1], "group": 1, "x_zero_point": 0}
    constants = [i8(rng, 2, 3, 1), *channel_constants(rng, 2)]
    with pytest.raises(RunError, match=r"QConv node 'node' .*4 channels.* take 3"):
        run_node("QConv", [u8(rng, 1, 4, 5), *constants], attributes | CLAMP, constants=range(1, 5))


@pytest.mark.parametrize("zeros", [(0, 0), (128, 7), (255, 255)])
@pytest.mark.parametrize(
    ("a_shape", "b_shape"), [((3, 7), (7, 5)), ((2, 3, 7), (7, 5)), ((2, 1, 3, 7), (4, 7, 5)), ((7,), (7, 5))]
)
def test_matmul_of_activations(run_node, rng, a_shape, b_shape, zeros):
    a, b = u8(rng, *a_shape), u8(rng, *b_shape)
    exact = np.matmul(a.astype(object) - zeros[0], b.astype(object) - zeros[1])
    attributes = {"a_zero_point": zeros[0], "b_zero_point": zeros[1]}
    multiplier, shift = (3 << 29) + 128, 45
    (y,) = run_node("QMatMul", [a, b], attributes | CLAMP | {"multiplier": multiplier, "shift": shift})
    want = [clamped(scaled(total, multiplier, shift)) for total in exact.reshape(-1)]
    assert y.shape == exact.shape
    assert y.reshape(-1).tolist() == want
    scales = {"a_scale": np.float32(0.1), "b_scale": np.float32(0.3)}
    (floats,) = run_node("QMatMul", [a, b], attributes | scales, "f32")
    for got, total in zip(floats.reshape(-1), exact.reshape(-1), strict=True):
        assert got == np.float32(np.float32(total) * np.float32(0.1)) * np.float32(0.3)


LONGEST = {
    (0, 0): 33025, (255, 255): 33025, (0, 255): 33025, (128, 0): 65793, (0, 127): 65793, (128, 128): 131071,
}  # fmt: skip


@pytest.mark.parametrize(("zeros", "longest"), LONGEST.items())
def test_sums_of_activations_that_could_leave_32_bits_are_an_error(run_node, zeros, longest):
    attributes = {"a_zero_point": zeros[0], "b_zero_point": zeros[1]}
    attributes |= {"a_scale": np.float32(1), "b_scale": np.float32(1)}
    furthest = [np.uint8(255 if zero < 128 else 0) for zero in zeros]
    for k in (longest, longest + 1):
        inputs = [np.full(shape, x) for shape, x in zip(((1, k), (k, 1)), furthest, strict=True)]
        if k == longest:
            (y,) = run_node("QMatMul", inputs, attributes, "f32")
            assert (
                abs(int(y.item()) - k * math.prod(int(x) - z for x, z in zip(furthest, zeros, strict=True)))
                <= 64
            )
        else:
            with pytest.raises(RunError, match=f"its sums over K = {k} products can leave 32 bits"):
                run_node("QMatMul", inputs, attributes, "f32")


def i16(rng, *shape):
    drawn = rng.integers(-32767, 32768, shape)
    return np.where(rng.random(shape) < 0.2, rng.choice([-32767, 32767], shape), drawn).astype(np.int16)


def test_quantize_and_dequantize_int16(run_node):
    scale = np.float32(0.25)
    x = np.array(
        [0, 0.125, 0.375, -0.125, 8191.75, 8191.9, 1e30, -np.inf, np.inf, np.nan, -8191.8], np.float32
    )
    (q,) = run_node("Quantize", [x], {"scale": scale, "zero_point": 0}, "i16")
    assert q.dtype == np.int16
    assert q.tolist() == [0, 0, 2, 0, 32767, 32767, 32767, -32767, 32767, 0, -32767]
    q = np.array([-32768, -32767, -1, 0, 3, 32767], np.int16)
    (x,) = run_node("Dequantize", [q], {"scale": scale, "zero_point": 0}, "f32")
    assert x.tolist() == [float(Fraction(int(n), 4)) for n in q]


def test_requantize_int16(run_node, rng):
    x = i16(rng, 500)
    attributes = {"x_zero_point": 0, "y_zero_point": 0, "lo": -300, "hi": 30000}
    for ratio in (Fraction(1, 3), Fraction(17, 10), Fraction(1, 5000)):
        multiplier, shift = factor(ratio)
        (y,) = run_node("Requantize", [x], attributes | {"multiplier": multiplier, "shift": shift}, "i16")
        assert y.dtype == np.int16
        assert y.tolist() == [min(max(scaled(n, multiplier, shift), -300), 30000) for n in x]


@pytest.mark.parametrize("ratio", [Fraction(1), Fraction(1, 3), Fraction(1, 257), Fraction(300)])
def test_requantize_to_other_integers(run_node, ratio):
    multiplier, shift = factor(ratio)
    by = {"multiplier": multiplier, "shift": shift, "x_zero_point": 7, "y_zero_point": 0}
    q = np.arange(256, dtype=np.uint8)
    (y,) = run_node("Requantize", [q], by | {"lo": -200, "hi": 32767}, "i16")
    assert y.dtype == np.int16
    assert y.tolist() == [min(max(scaled(n - 7, multiplier, shift), -200), 32767) for n in range(256)]
    if ratio == 1:
        assert y.tolist() == [n - 7 for n in range(256)]
    x = np.arange(-32768, 32768, 5).astype(np.int16)
    by |= {"x_zero_point": 0, "y_zero_point": 9}
    (y,) = run_node("Requantize", [x], by | {"lo": 2, "hi": 255}, "u8")
    assert y.dtype == np.uint8
    assert y.tolist() == [min(max(scaled(int(n), multiplier, shift) + 9, 2), 255) for n in x]


@pytest.mark.parametrize("shift", [8, 9, 20, 39, 40, 62])
def test_sums_of_64_bits(run_node, rng, shift):
    """Up to the end of what a sum may be, with both products of 16 bits by 8."""
    x, w = i16(rng, 6, 40), i8(rng, 40, 5)
    multiplier = (256 * rng.integers(2**22, 2**23, 5) + 128).astype(np.int32)
    most = 2**38 - 1 - np.abs(w.astype(np.int64)).sum(0) * 32768
    bias = np.array([most[0], -most[1], 0, *rng.integers(-(2**34), 2**34, 2)], np.int64)
    shifts = np.full(5, shift, np.int32)
    attributes = {"x_zero_point": 0, "y_zero_point": 0, "lo": -32767, "hi": 32767}
    sums = x.astype(object) @ w.astype(object) + bias.astype(object)
    expected = [
        [min(max(scaled(n, m, shift), -32767), 32767) for n, m in zip(row, multiplier, strict=True)]
        for row in sums
    ]
    (y,) = run_node("QGemm", [x, w, bias, multiplier, shifts], attributes, constants=range(1, 5))
    assert y.dtype == np.int16
    assert y.tolist() == expected
    image, kernel = x.reshape(6, 40, 1, 1), w.T.reshape(5, 40, 1, 1)
    window = {"strides": [1, 1], "pads": [0, 0, 0, 0], "dilations": [1, 1], "group": 1}
    (y,) = run_node(
        "QConv", [image, kernel, bias, multiplier, shifts], attributes | window, constants=range(1, 5)
    )
    assert y.reshape(6, 5).tolist() == expected


def test_floats_from_sums_of_int16(run_node, rng):
    x, w = i16(rng, 4, 30), i8(rng, 30, 3)
    scale, bias = rng.random(3).astype(np.float32), rng.normal(size=3).astype(np.float32)
    x_scale = np.float32(0.0007)
    (y,) = run_node(
        "QGemm", [x, w, bias, scale], {"x_zero_point": 0, "x_scale": x_scale}, "f32", constants=range(1, 4)
    )
    sums = x.astype(np.int64) @ w.astype(np.int64)
    for place, total in np.ndenumerate(sums):
        assert y[place] == float_from(int(total), x_scale, scale[place[1]], bias[place[1]])


def test_sums_and_products_of_int16(run_node, rng):
    a, b = i16(rng, 400), i16(rng, 400)
    ends = {"a_zero_point": 0, "b_zero_point": 0, "y_zero_point": 0, "lo": -32767, "hi": 32767}
    for factors in ((32767, -32767, 15), (20000, 31000, 1), (3, 5, 30)):
        attributes = dict(zip(("a_multiplier", "b_multiplier", "shift"), factors, strict=True))
        (y,) = run_node("QAdd", [a, b], ends | attributes, "i16")
        sums = [int(m) * factors[0] + int(n) * factors[1] for m, n in zip(a, b, strict=True)]
        halves = [(2 * n + 2 ** factors[2]) // 2 ** (factors[2] + 1) for n in sums]
        assert y.tolist() == [min(max(n, -32767), 32767) for n in halves]
    for ratio in (Fraction(1, 3), Fraction(1, 40000), Fraction(90)):
        multiplier, shift = factor(ratio)
        (y,) = run_node("QMul", [a, b], ends | {"multiplier": multiplier, "shift": shift}, "i16")
        exact = [scaled(int(m) * int(n), multiplier, shift) for m, n in zip(a, b, strict=True)]
        assert y.tolist() == [min(max(n, -32767), 32767) for n in exact]


def test_means_and_tables_of_int16(run_node, rng):
    x = i16(rng, 2, 3, 40, 50)
    x[0, 0], x[0, 1] = 32767, -32768
    ratio, ends = np.float64(1.25), {"x_zero_point": 0, "y_zero_point": 0, "lo": -32767, "hi": 30000}
    multiplier, shift = factor(Fraction(1.25 / 2000))
    (y,) = run_node("QReduceMean", [x], ends | {"axes": [2, 3], "keepdims": 0, "ratio": ratio}, "i16")
    sums = x.astype(object).sum(axis=(2, 3))
    exact = [min(max(scaled(n, multiplier, shift), -32767), 30000) for n in sums.ravel()]
    assert y.ravel().tolist() == exact
    table = i16(rng, 1 << 16)
    (y,) = run_node("Lookup", [x, table], {}, "i16", constants=[1])
    assert y.ravel().tolist() == [table[int(n) + 32768] for n in x.ravel()]


def test_a_mean_of_int16_has_a_factor_below_2_23(run_node):
    attributes = {"axes": [0], "keepdims": 0, "x_zero_point": 0, "y_zero_point": 0, "lo": 0, "hi": 9}
    with pytest.raises(ArtifactError, match="which has no multiplier and shift"):
        run_node("QReduceMean", [np.zeros(3, np.int16)], attributes | {"ratio": np.float64(2.0**23)}, "i16")
