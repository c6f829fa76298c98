"""Both sides of every border: thresholds that are met, halves, ends of axes, and what is refused beyond."""

from fractions import Fraction

import numpy as np
import pytest
from octavo.errors import RunError
from octavo.program import Node
from octavo.reference import OPERATIONS
from octavo.reference.functions import mish
from octavo.reference.reductions import fold_lanes

F = np.float32


def i64(*items):
    return np.array(items, np.int64)


def ours(op, inputs, outputs=1, **attributes):
    names = tuple("" if array is None else f"x{i}" for i, array in enumerate(inputs))
    made = tuple(f"y{i}" for i in range(outputs))
    with np.errstate(all="ignore"):
        return OPERATIONS[op](Node(op, "node", names, made, attributes), inputs)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_thresholds_that_are_met(dtype):
    alpha = F(0.5)
    x = np.array([0.5, np.nextafter(dtype(0.5), dtype(1)), np.nextafter(dtype(0.5), dtype(0)), np.nan], dtype)
    y = ours("ThresholdedRelu", [x], alpha=alpha)[0]
    assert y.dtype == dtype
    assert np.array_equal(y, np.array([0, x[1], 0, np.nan], dtype), equal_nan=True)
    zeros = np.array([0.0, -0.0, 1, -1, np.nan, np.inf, -np.inf], dtype)
    y = ours("LeakyRelu", [zeros], alpha=alpha)[0]
    assert np.array_equal(y, np.array([0, 0, 1, -0.5, np.nan, np.inf, -np.inf], dtype), equal_nan=True)
    assert np.signbit(y)[:2].tolist() == [False, True]
    y = ours("Relu", [zeros])[0]
    assert np.array_equal(y, np.array([0, 0, 1, 0, np.nan, np.inf, 0], dtype), equal_nan=True)
    assert not np.signbit(y)[:2].any()
    y = ours("Sign", [zeros])[0]
    assert np.array_equal(y, np.array([0, 0, 1, -1, np.nan, 1, -1], dtype), equal_nan=True)


def test_shrink_keeps_neither_bound():
    x = F([-1.5, -1.5000001, 1.5, 1.5000001, 0, np.nan, np.inf, -np.inf])
    y = ours("Shrink", [x], lambd=F(1.5), bias=F(0.25))[0]
    want = F([0, x[1] + F(0.25), 0, x[3] - F(0.25), 0, 0, np.inf, -np.inf])
    assert np.array_equal(y, want)


def test_mish_to_its_end():
    """Where the tangent is 1 in float32, and just before: against float64."""
    x = np.linspace(5, 25, 4001).astype(F)
    wide = x.astype(np.float64)
    exact = wide * np.tanh(np.log1p(np.exp(wide)))
    assert (np.abs(mish(x) - exact) <= 1.5 * np.spacing(x)).all()


@pytest.mark.parametrize("fmod", [0, 1])
@pytest.mark.parametrize("dtype", [np.int8, np.int32, np.int64, np.uint8, np.float32, np.float64])
def test_remainders_of_every_sign(fmod, dtype):
    signed = np.dtype(dtype).kind != "u"
    values = [0, 1, 3, 6, 7, *([-1, -3, -6, -7] if signed else [])]
    a, b = (array.ravel().astype(dtype) for array in np.meshgrid(values, values))
    whole = np.dtype(dtype).kind in "iu"
    y = ours("Mod", [a, b], fmod=fmod)[0]
    assert y.dtype == dtype
    for p, q, r in zip(a.tolist(), b.tolist(), y.tolist(), strict=True):
        if q == 0:
            assert r == 0 if whole else np.isnan(r)
            continue
        quotient = Fraction(p) / Fraction(q)
        assert r == p - q * (int(quotient) if fmod else quotient.__floor__()), (p, q)
    if not whole:
        zero = ours("Mod", [np.array([6, -6, 6, -6], dtype), np.array([3, 3, -3, -3], dtype)], fmod=fmod)[0]
        assert np.signbit(zero).tolist() == ([False, True] * 2 if fmod else [False, False, True, True])


@pytest.mark.parametrize("dtype", [np.int32, np.int64])
def test_integer_powers(dtype):
    base = np.array([0, 1, -1, 2, -2, 3, 10], dtype)
    for exponent in (-3, -2, -1, 0, 1, 2, 5, 31, 63, 64):
        y = ours("Pow", [base, np.array(exponent, dtype)])[0]
        info, span = np.iinfo(dtype), 2 ** np.iinfo(dtype).bits
        for b, found in zip(base.tolist(), y.tolist(), strict=True):
            if exponent < 0:
                exact = 0 if abs(b) != 1 else b if exponent % 2 else 1
            else:
                exact = (b**exponent - info.min) % span + info.min
            assert found == exact, (b, exponent)


@pytest.mark.parametrize("dtype", [np.uint8, np.int8, np.int16, np.int32, np.int64])
@pytest.mark.parametrize("direction", ["LEFT", "RIGHT"])
def test_shifts_by_every_width(dtype, direction):
    info = np.iinfo(dtype)
    values = [info.min, info.max, 1, 0, 5, *([-1, -6] if info.min else [])]
    for by in (0, 1, info.bits // 2, info.bits - 1, info.bits, info.bits + 1, *([-1] if info.min else [])):
        if by > info.max:
            continue
        y = ours("BitShift", [np.array(values, dtype), np.array(by, dtype)], direction=direction)[0]
        places = by if 0 <= by < info.bits else info.bits
        for v, found in zip(values, y.tolist(), strict=True):
            moved = v << places if direction == "LEFT" else v >> places
            assert found == (moved - info.min) % 2**info.bits + info.min, (v, by)


@pytest.mark.parametrize("align", [0, 1])
@pytest.mark.parametrize("padding", ["zeros", "border", "reflection"])
def test_places_half_way_between_elements(align, padding):
    """The nearest of two as near is the even one; of every border, both sides."""
    n = 4
    places = np.arange(-14.0, n + 13.5, 0.5)  # several times around
    grid = (2 * places / (n - 1) - 1 if align else (2 * places + 1) / n - 1).astype(F)
    back = ((grid + F(1)) / F(2) * F(n - 1)) if align else ((grid + F(1)) * F(n) - F(1)) / F(2)
    x = np.arange(10, 10 + n, dtype=F).reshape(1, 1, n, 1)
    full = np.stack([np.zeros_like(grid), grid], axis=-1).reshape(1, -1, 1, 2)
    if align:
        full[..., 0] = -1
    y = ours("GridSample", [x, full], mode="nearest", padding_mode=padding, align_corners=align)[0].ravel()
    for at, found in zip(back.tolist(), y.tolist(), strict=True):
        index = int(np.rint(at))
        if padding == "zeros":
            assert found == (10 + index if 0 <= index < n else 0), at
        elif padding == "border":
            assert found == 10 + min(max(index, 0), n - 1), at
        else:
            low, high = (Fraction(0), Fraction(n - 1)) if align else (Fraction(-1, 2), Fraction(2 * n - 1, 2))
            inside = Fraction(index)
            while not low <= inside <= high:
                inside = 2 * low - inside if inside < low else 2 * high - inside
            # a place at a border itself is taken as the last element before it
            assert abs(found - 10 - float(min(max(inside, 0), n - 1))) <= 0.5, at


@pytest.mark.parametrize("mode", ["avg", "max"])
@pytest.mark.parametrize("begin", [-1.5, -1.25, -1.0, -0.75, 0.0, 2.75, 3.0, 3.5, 4.0, 4.25])
def test_samples_at_the_borders_of_a_picture(mode, begin):
    """One sample, at `begin`: up to one element outside it counts, at the last element it has no second."""
    x = np.arange(1, 5, dtype=F).reshape(1, 1, 4, 1)
    region = F([[0, begin - 0.5, 1, begin + 0.5]])
    attributes = {
        "mode": mode, "coordinate_transformation_mode": "output_half_pixel", "output_height": 1,
        "output_width": 1, "sampling_ratio": 1, "spatial_scale": F(1),
    }  # fmt: skip
    y = ours("RoiAlign", [x, region, i64(0)], **attributes)[0].item()
    if not -1 <= begin <= 4:
        assert y == 0
        return
    at = min(max(begin, 0), 3)
    low, share = int(at), at - int(at)
    terms = [x.ravel()[low] * (1 - share), x.ravel()[min(low + 1, 3)] * share]
    assert y == (max(terms) if mode == "max" else sum(terms))


def test_boxes_that_overlap_by_the_threshold_are_both_taken():
    """[0, 2] and [1, 3] by [0, 1]: a third of their union."""
    boxes = F([[[0, 0, 1, 2], [0, 1, 1, 3], [0, 3, 1, 5]]])
    scores = F([[[0.75, 0.5, 0.25]]])
    third = F(1) / F(3)
    for iou, taken in ((third, [0, 1, 2]), (np.nextafter(third, F(0)), [0, 2]), (F(1), [0, 1, 2])):
        y = ours("NonMaxSuppression", [boxes, scores, i64(9), iou], center_point_box=0)[0]
        assert y[:, 2].tolist() == taken
    for least, taken in ((F(0.25), [0, 1]), (np.nextafter(F(0.25), F(0)), [0, 1, 2]), (F(0.75), [])):
        y = ours("NonMaxSuppression", [boxes, scores, i64(9), F(1), least], center_point_box=0)[0]
        assert y[:, 2].tolist() == taken
    for most in (-1, 0, 1, 2):
        y = ours("NonMaxSuppression", [boxes, scores, i64(most), F(1)], center_point_box=0)[0]
        assert len(y) == max(most, 0)


@pytest.mark.parametrize("dtype", [np.int32, np.int64])
def test_the_root_of_squares_that_wrapped(dtype):
    """A negative sum has the root 0; what is truncated is below."""
    half = 2 ** (np.iinfo(dtype).bits // 2 - 1)
    rows = np.array([[half, half], [3, 4], [1, 1], [0, 0], [2, 2], [-5, 12]], dtype)
    flags = {"keepdims": 0, "noop_with_empty_axes": 0}
    assert ours("ReduceSumSquare", [rows, i64(1)], **flags)[0][0] == np.iinfo(dtype).min
    assert ours("ReduceL2", [rows, i64(1)], **flags)[0].tolist() == [0, 5, 1, 0, 2, 13]


@pytest.mark.parametrize("op", ["ReduceMax", "ReduceMin"])
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_the_extreme_of_zeros_and_of_nothing_known(op, dtype):
    """+0 is above -0 in any order, and NaN is passed on, whatever numpy's own maximum does."""
    flags = {"keepdims": 0, "noop_with_empty_axes": 0}
    rows = np.array([[0.0, -0.0], [-0.0, 0.0], [-0.0, -0.0], [0.0, 0.0]], dtype)
    y = ours(op, [rows, i64(1)], **flags)[0]
    assert np.signbit(y).tolist() == (
        [False, False, True, False] if op == "ReduceMax" else [True, True, True, False]
    )
    for row in ([np.nan, 1], [1, np.nan], [np.nan, np.inf], [-np.inf, np.nan]):
        assert np.isnan(ours(op, [np.array([row], dtype), i64(1)], **flags)[0]).all()


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_the_largest_of_zeros_in_a_window(dtype):
    rows = np.array([[[0.0, -0.0], [-0.0, 0.0], [-0.0, -0.0], [0.0, 0.0]]], dtype)
    window = {"kernel_shape": [2], "strides": [1], "pads": [0, 0], "dilations": [1], "ceil_mode": 0}
    for op, attributes in (("MaxPool", window), ("GlobalMaxPool", {})):
        assert np.signbit(ours(op, [rows], **attributes)[0]).ravel().tolist() == [False, False, True, False]
        assert np.isnan(ours(op, [np.array([[[np.nan, 1], [1, np.nan]]], dtype)], **attributes)[0]).all()


@pytest.mark.parametrize("op", ["ReduceMax", "ReduceMin"])
@pytest.mark.parametrize("dtype", [np.uint8, np.int8, np.int32, np.int64, np.bool_])
def test_the_extreme_of_no_elements(op, dtype):
    flags = {"keepdims": 0, "noop_with_empty_axes": 0}
    y = ours(op, [np.zeros((2, 0), dtype), i64(1)], **flags)[0]
    assert y.dtype == dtype
    if dtype is np.bool_:
        assert y.tolist() == [op == "ReduceMin"] * 2
    else:
        assert y.tolist() == [getattr(np.iinfo(dtype), "min" if op == "ReduceMax" else "max")] * 2


@pytest.mark.parametrize("p", [1, 2])
@pytest.mark.parametrize("axis", [0, 1, 2])
def test_norms_along_the_last_axis_alone_are_summed_in_lanes(p, axis):
    """2^24 swallows each 1 that is added to it: a chain loses all of them, lanes those of one lane."""
    x = np.ones((1, 1, 64), F)
    x[0, 0, 0] = 2**24 if p == 1 else 2**12
    y = ours("LpNormalization", [np.ascontiguousarray(np.moveaxis(x, 2, axis))], axis=axis, p=p)[0].ravel()
    total = F(2**24 + 60) if axis == 2 else F(2**24)
    norm = total if p == 1 else np.sqrt(total)
    assert y[0] == F(x.ravel()[0]) / norm
    assert (y[1:] == F(1) / norm).all()


def test_lanes_are_folded_from_their_start():
    x = F([1, -2, 4] * 12 + [8])
    assert fold_lanes(x, 1, np.multiply) == 2.0**39
    assert fold_lanes(x, 0, np.add) == 44
    assert fold_lanes(x[:0], 1, np.multiply) == 1


@pytest.mark.parametrize("bits", [8, 16, 32, 64])
@pytest.mark.parametrize("kind", "iu")
@pytest.mark.parametrize("of", [np.float32, np.float64])
def test_casts_at_the_ends_of_integers(bits, kind, of):
    if kind == "u" and bits > 8:
        return  # a Program has no others
    to = {("i", 8): 3, ("i", 16): 5, ("i", 32): 6, ("i", 64): 7, ("u", 8): 2}[kind, bits]
    info = np.iinfo(f"{kind}{bits // 8}")
    for end in (info.min, info.max, info.max + 1, info.min - 1, 0):
        for x in (of(end), np.nextafter(of(end), of(np.inf)), np.nextafter(of(end), of(-np.inf))):
            y = ours("Cast", [np.array([x])], to=to)[0]
            assert y.dtype == info.dtype
            assert y.item() == min(max(int(x), info.min), info.max), x


REFUSED = {
    "Reshape by less than -1": ("Reshape", [np.zeros((2, 3)), i64(-2, 3)], {"allowzero": 0}),
    "Reshape by less than -1 alone": ("Reshape", [np.zeros(6), i64(-2)], {"allowzero": 1}),
    "Reshape of unequal size": ("Reshape", [np.zeros(6), i64(5)], {"allowzero": 0}),
    "Compress by more than there is": ("Compress", [np.zeros((2, 3)), np.ones(4, bool)], {"axis": 1}),
    "Compress by a matrix": ("Compress", [np.zeros((2, 3)), np.ones((1, 3), bool)], {"axis": 1}),
    "TopK of more than there is": ("TopK", [np.zeros(3, F), i64(4)], {"axis": 0, "largest": 1}),
    "TopK of less than nothing": ("TopK", [np.zeros(3, F), i64(-1)], {"axis": 0, "largest": 1}),
    "TopK by two numbers": ("TopK", [np.zeros(3, F), i64(1, 1)], {"axis": 0, "largest": 1}),
    "ArgMax along no axis": ("ArgMax", [np.zeros(3, F)], {"axis": 1, "keepdims": 1, "select_last_index": 0}),
    "CumSum along no axis": ("CumSum", [np.zeros(3, F), i64(-2)], {"exclusive": 0, "reverse": 0}),
    "OneHot of negative depth": ("OneHot", [i64(0), i64(-1), F([0, 1])], {"axis": 0}),
    "OneHot of three values": ("OneHot", [i64(0), i64(3), F([0, 1, 2])], {"axis": 0}),
    "OneHot along no axis": ("OneHot", [i64(0), i64(3), F([0, 1])], {"axis": 2}),
    "Trilu of a vector": ("Trilu", [np.zeros(3, F)], {"upper": 1}),
    "EyeLike of a vector": ("EyeLike", [np.zeros(3, F)], {"k": 0}),
    "GatherElements beyond": ("GatherElements", [np.zeros(3, F), i64(3)], {"axis": 0}),
    "GatherElements below": ("GatherElements", [np.zeros(3, F), i64(-4)], {"axis": 0}),
    "GatherElements of wider indices": (
        "GatherElements", [np.zeros((2, 3), F), np.zeros((2, 4), np.int64)], {"axis": 0},
    ),
    "GatherElements of other rank": ("GatherElements", [np.zeros((2, 3), F), i64(0)], {"axis": 0}),
    "GatherND of other batches": (
        "GatherND", [np.zeros((2, 3), F), np.zeros((3, 1), np.int64)], {"batch_dims": 1},
    ),
    "GatherND of fewer batches": (
        "GatherND", [np.zeros((2, 3), F), np.zeros((1, 1), np.int64)], {"batch_dims": 1},
    ),
    "GatherND of all batches": ("GatherND", [np.zeros((2, 3), F), i64(0, 0)], {"batch_dims": 1}),
    "GatherND of empty tuples": (
        "GatherND", [np.zeros((2, 3), F), np.zeros((2, 0), np.int64)], {"batch_dims": 0},
    ),
    "GatherND of long tuples": ("GatherND", [np.zeros((2, 3), F), i64(0, 0, 0)], {"batch_dims": 0}),
    "ScatterElements of other updates": (
        "ScatterElements", [np.zeros(3, F), i64(0, 1), np.zeros(3, F)], {"axis": 0, "reduction": "none"},
    ),
    "ScatterND of other updates": (
        "ScatterND", [np.zeros((3, 2), F), i64(0).reshape(1, 1), np.zeros((1, 3), F)], {"reduction": "none"},
    ),
    "ReverseSequence beyond": (
        "ReverseSequence", [np.zeros((2, 3), F), i64(0, 3, 0)], {"batch_axis": 1, "time_axis": 0},
    ),
    "ReverseSequence below 0": (
        "ReverseSequence", [np.zeros((2, 3), F), i64(0, -1, 0)], {"batch_axis": 1, "time_axis": 0},
    ),
    "ReverseSequence of other batches": (
        "ReverseSequence", [np.zeros((2, 3), F), i64(0, 1)], {"batch_axis": 1, "time_axis": 0},
    ),
    "ReverseSequence of a vector": (
        "ReverseSequence", [np.zeros(2, F), i64(0, 1)], {"batch_axis": 1, "time_axis": 0},
    ),
    "RoiAlign of no such image": (
        "RoiAlign", [np.zeros((1, 1, 2, 2), F), np.zeros((1, 4), F), i64(1)],
        {"output_height": 1, "output_width": 1},
    ),
    "RoiAlign of an image below": (
        "RoiAlign", [np.zeros((1, 1, 2, 2), F), np.zeros((1, 4), F), i64(-1)],
        {"output_height": 1, "output_width": 1},
    ),
    "NonMaxSuppression of other boxes": (
        "NonMaxSuppression", [np.zeros((1, 2, 4), F), np.zeros((1, 1, 3), F)], {"center_point_box": 0},
    ),
    "NonMaxSuppression of other batches": (
        "NonMaxSuppression", [np.zeros((1, 2, 4), F), np.zeros((2, 1, 2), F)], {"center_point_box": 0},
    ),
    "Gemm by a wider addend": (
        "Gemm", [np.zeros((2, 3), F), np.zeros((3, 4), F), np.zeros((1, 2, 4), F)],
        {"transA": 0, "transB": 0, "alpha": F(1), "beta": F(1)},
    ),
    "Gemm by a longer addend": (
        "Gemm", [np.zeros((1, 3), F), np.zeros((3, 4), F), np.zeros((2, 4), F)],
        {"transA": 0, "transB": 0, "alpha": F(1), "beta": F(1)},
    ),
    "MatMul of one row by two": ("MatMul", [np.zeros((2, 1), F), np.zeros((2, 3), F)], {}),
    "BatchNormalization of one number": (
        "BatchNormalization", [np.zeros((1, 3, 2), F), *[np.ones(1, F)] * 4], {"epsilon": F(0)},
    ),
    "GroupNormalization of no groups": (
        "GroupNormalization", [np.zeros((1, 3, 2), F), *[np.ones(3, F)] * 2],
        {"epsilon": F(0), "num_groups": 0},
    ),
    "LayerNormalization by a row of ones": (
        "LayerNormalization", [np.zeros((3, 4), F), np.ones((1, 1, 4), F)], {"axis": 1, "epsilon": F(0)},
    ),
    "Col2Im of no axes": ("Col2Im", [np.zeros((1, 1, 1), F), i64(), i64()], {}),
    "Col2Im of empty blocks": ("Col2Im", [np.zeros((1, 1, 1), F), i64(1), i64(0)], {}),
    "Col2Im of other blocks": ("Col2Im", [np.zeros((1, 2, 3), F), i64(5), i64(2)], {}),
    "Col2Im of other channels": ("Col2Im", [np.zeros((1, 3, 4), F), i64(5), i64(2)], {}),
    "GridSample of another batch": (
        "GridSample", [np.zeros((2, 1, 2, 2), F), np.zeros((1, 1, 1, 2), F)],
        {"mode": "nearest", "padding_mode": "zeros", "align_corners": 0},
    ),
    "GridSample of another rank": (
        "GridSample", [np.zeros((1, 1, 2, 2), F), np.zeros((1, 1, 1, 3), F)],
        {"mode": "nearest", "padding_mode": "zeros", "align_corners": 0},
    ),
    "Unsqueeze twice": ("Unsqueeze", [np.zeros(3, F), i64(0, -3)], {}),
    "Unsqueeze beyond": ("Unsqueeze", [np.zeros(3, F), i64(2)], {}),
    "Squeeze twice": ("Squeeze", [np.zeros((1, 3), F), i64(0, -2)], {}),
    "Range by two numbers": ("Range", [np.zeros(2), np.array(1.0), np.array(1.0)], {}),
    "Range of floats by 0": ("Range", [np.array(0.0), np.array(1.0), np.array(0.0)], {}),
    "Range of NaN": ("Range", [np.array(0.0), np.array(np.nan), np.array(1.0)], {}),
    "Tile of too few": ("Tile", [np.zeros((2, 3)), i64(2)], {}),
    "Split into unequal": ("Split", [np.zeros(5), i64(2, 2)], {"axis": 0}),
    "Conv of other channels": (
        "Conv", [np.zeros((1, 3, 4), F), np.zeros((2, 2, 1), F)],
        {"group": 1, "strides": [1], "dilations": [1], "pads": [0, 0]},
    ),
    "Conv of a bias too long": (
        "Conv", [np.zeros((1, 2, 4), F), np.zeros((2, 2, 1), F), np.zeros(3, F)],
        {"group": 1, "strides": [1], "dilations": [1], "pads": [0, 0]},
    ),
    "ConvTranspose of other channels": (
        "ConvTranspose", [np.zeros((1, 3, 4), F), np.zeros((2, 2, 1), F)],
        {"group": 1, "strides": [1], "dilations": [1], "pads": [0, 0], "output_padding": [0]},
    ),
}  # fmt: skip


@pytest.mark.parametrize("case", REFUSED)
def test_what_is_beyond_is_refused_as_such(case):
    op, inputs, attributes = REFUSED[case]
    plain = {"mode": "avg", "coordinate_transformation_mode": "half_pixel", "sampling_ratio": 1}
    plain = plain | {"spatial_scale": F(1)} if op == "RoiAlign" else {}
    library = op in ("Reshape", "Conv") and "unequal" in case  # numpy itself says so
    with pytest.raises(ValueError if library else RunError):
        ours(op, inputs, 2 if op in ("Split", "TopK") else 1, **plain, **attributes)


@pytest.mark.parametrize("p", [1, 2])
def test_norms_of_one_element_are_roots_of_squares(p):
    """Squares are products: one rounding, and one more of the root."""
    x = np.random.default_rng(p).standard_normal((1, 1, 200_000)).astype(F)
    window = {"kernel_shape": [1], "strides": [1], "pads": [0, 0], "dilations": [1], "ceil_mode": 0}
    (y,) = ours("LpPool", [x], p=p, **window)
    assert np.array_equal(y, np.abs(x) if p == 1 else np.sqrt(x * x))
    pairs = x.reshape(1, 100_000, 2)
    (y,) = ours("GlobalLpPool", [pairs], p=p)
    if p == 2:
        assert np.array_equal(
            y[..., 0], np.sqrt(pairs[..., 0] * pairs[..., 0] + pairs[..., 1] * pairs[..., 1])
        )
    else:
        assert np.array_equal(y[..., 0], np.abs(pairs[..., 0]) + np.abs(pairs[..., 1]))
