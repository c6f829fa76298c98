"""The statistics' state: exact, and a function of the multiset of samples; bytes that nobody vouches for."""

import random
import struct
import zlib
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from fractions import Fraction

import numpy as np
import octavo
import pytest
from hypothesis import given
from hypothesis import strategies as st
from octavo import _core
from octavo.calibration import Calibration, Statistics
from octavo.errors import DataError, RunError
from octavo.program import Node, Program, Value

ALL = _core.statistics()
ALONG = [name for name in ALL if name.startswith(("channel_", "feature_"))]
"""Those that tell elements apart by their index on an axis."""
EDGES = [0.0, -0.0, 1e-45, -1e-45, 1.1754942e-38, 3.4028235e38, -3.4028235e38, np.inf, -np.inf, np.nan]
ELEMENTS = st.one_of(st.floats(width=32), st.sampled_from(EDGES))
SAMPLES = st.lists(st.lists(ELEMENTS, max_size=40), max_size=8)


def finite(samples):
    """The finite elements of each sample, as float64, which holds them all."""
    arrays = [np.array(sample, np.float32).astype(np.float64) for sample in samples]
    return [array[np.isfinite(array)] for array in arrays]


@given(SAMPLES, st.randoms(), st.integers(0, 8))
def test_order_split_and_merging_do_not_show(seen, samples, generator, at):
    whole = seen(samples, *ALL)
    shuffled = list(samples)
    generator.shuffle(shuffled)
    assert seen(shuffled, *reversed(ALL)).to_bytes() == whole.to_bytes()
    within = [generator.sample(sample, len(sample)) for sample in shuffled]
    without = [name for name in ALL if name not in ALONG]
    assert seen(within, *without).to_bytes() == seen(samples, *without).to_bytes()
    first, second = seen(shuffled[:at], *ALL), seen(shuffled[at:], *ALL)
    before = first.to_bytes()
    second.merge(first)
    assert second.to_bytes() == whole.to_bytes()
    assert first.to_bytes() == before
    again = Statistics.from_bytes(whole.to_bytes())
    assert again.to_bytes() == whole.to_bytes()
    assert [again.read("x", kind) for kind in ALL] == [whole.read("x", kind) for kind in ALL]


@given(SAMPLES)
def test_what_is_told_against_numpy_and_fractions(seen, samples):
    kept = seen(samples, "counts", "extremes", "sample_extremes")
    joined = np.array([x for sample in samples for x in sample], np.float32)
    assert kept.read("x", "counts") == {
        "elements": joined.size, "nans": np.isnan(joined).sum(), "infinities": np.isinf(joined).sum()
    }  # fmt: skip
    parts = [part for part in finite(samples) if part.size]
    if not parts:
        assert kept.read("x", "extremes") == {}
        assert kept.read("x", "sample_extremes") == {}
        return
    extremes = kept.read("x", "extremes")
    assert extremes == {"minimum": min(map(min, parts)), "maximum": max(map(max, parts))}
    assert not any(np.signbit(end) for end in extremes.values() if end == 0)
    means = kept.read("x", "sample_extremes")
    assert means["samples"] == len(parts)
    for name, extreme in (("mean_minimum", min), ("mean_maximum", max)):
        exact = sum(Fraction(extreme(part)) for part in parts) / len(parts)
        assert means[name] == float(exact)


@given(SAMPLES)
def test_the_histogram_against_numpy(seen, samples):
    """Bins begin where the lower half of the bits is 0, and reach to the next such number away from zero."""
    told = seen(samples, "histogram").read("x", "histogram")
    joined = np.array([x for sample in samples for x in sample], np.float32)
    joined = joined[np.isfinite(joined)] + np.float32(0)  # -0 is 0
    begin, counts = np.unique(joined.view(np.uint32) >> np.uint32(16), return_counts=True)
    wanted = []
    for bits, count in zip(begin.tolist(), counts.tolist(), strict=True):
        near, far = np.array([bits, bits + 1], np.uint32) << np.uint32(16)
        ends = [float(near.view(np.float32)), float(far.view(np.float32))]
        ends[1] = ends[1] if np.isfinite(ends[1]) else np.copysign(2.0**128, ends[1])
        wanted.append((*sorted(ends), count))
    assert list(zip(*told.values(), strict=True)) == sorted(wanted)
    assert told == {} or list(told) == ["low", "high", "count"]


def test_float_addition_would_show_the_order(seen):
    """The sums are exact where float64's are not."""
    samples = [[-1e30, 1e30], [-1e-30, 1e-30]] * 3 + [[-3e38, 3e38]]
    states = set()
    for seed in range(20):
        random.Random(seed).shuffle(samples)
        states.add(seen(samples, *ALL).to_bytes())
    assert len(states) == 1


def test_merging_with_itself_doubles(seen):
    kept = seen([[1.0, -2.0, np.nan]], *ALL)
    kept.merge(kept)
    assert kept.to_bytes() == seen([[1.0, -2.0, np.nan]] * 2, *ALL).to_bytes()


def test_others_are_not_merged(seen):
    kept = seen([[1.0]], "counts", "extremes")
    before = kept.to_bytes()
    for other, says in (
        (Statistics(["x"], ["extremes"]), r"\[counts, extremes\] and \[extremes\]"),
        (Statistics(["y"], ["counts", "extremes"]), "only one of the two has the value 'x'"),
        (Statistics(["x", "y"], ["counts", "extremes"]), "only one of the two has the value 'y'"),
    ):
        with pytest.raises(DataError, match=says):
            kept.merge(other)
    with pytest.raises(TypeError):
        kept.merge(before)
    assert kept.to_bytes() == before


def test_names_in_any_order_are_the_same(seen):
    one, other = (
        Statistics(["b", "a"], ["extremes", "counts"]),
        Statistics(("a", "b"), ("counts", "extremes")),
    )
    assert one.to_bytes() == other.to_bytes()
    assert one.values == ["a", "b"]
    assert one.statistics == ["counts", "extremes"]
    assert repr(one) == "Statistics(counts, extremes of 2 values)"


@pytest.mark.parametrize(
    ("values", "statistics", "says"),
    [
        (["x", "y", "x"], [], "the value 'x' is named twice"),
        (["x"], ["entropy"], "no statistic is called 'entropy'; there are counts, extremes, sample_extremes"),
    ],
)
def test_names_that_cannot_be(values, statistics, says):
    with pytest.raises(DataError, match=says):
        Statistics(values, statistics)


def test_what_was_not_asked_for_is_not_there(seen):
    kept = seen([[1.0]], "counts")
    with pytest.raises(DataError, match="'extremes' is not kept; kept are: counts"):
        kept.read("x", "extremes")
    with pytest.raises(DataError, match="nothing is kept of a value 'z'"):
        kept.read("z", "counts")


def with_checksum(body):
    return body + struct.pack("<I", zlib.crc32(body))


@given(SAMPLES, st.data())
def test_damaged_bytes(seen, samples, data):
    """Any change is found; behind a checksum that was made to fit, it is found or makes another state."""
    whole = seen(samples, *ALL).to_bytes()
    at = data.draw(st.integers(0, len(whole) - 1))
    changed = whole[:at] + bytes([whole[at] ^ data.draw(st.integers(1, 255))]) + whole[at + 1 :]
    for damaged in (changed, whole[:at], whole + b"\0", changed[at:]):
        with pytest.raises(DataError, match=r"damaged|version|not those of statistics"):
            Statistics.from_bytes(damaged)
    forged = with_checksum(changed[:-4])
    try:
        state = Statistics.from_bytes(forged)
    except DataError:
        return
    assert state.to_bytes() == forged
    with suppress(DataError):  # too many elements
        state.merge(state)
    for value in state.values:
        for kind in state.statistics:
            state.read(value, kind)


def test_what_are_no_bytes():
    for data in (b"", b"OCTSTATS", b"PK\3\4" * 9):
        with pytest.raises(DataError):
            Statistics.from_bytes(data)
    for data in (None, "text", 3):
        with pytest.raises(TypeError):
            Statistics.from_bytes(data)


def test_counts_that_no_merge_could_hold(seen):
    body = bytearray(seen([[1.0, 2.0]], "counts").to_bytes()[:-4])
    body[12:20] = struct.pack("<Q", 2**64 - 2)
    huge = Statistics.from_bytes(with_checksum(bytes(body)))
    with pytest.raises(DataError, match=r"2\^64"):
        huge.merge(seen([[1.0, 2.0]], "counts"))
    huge.merge(seen([[1.0]], "counts"))
    assert huge.read("x", "counts")["elements"] == 3


def test_a_run_that_fails_leaves_the_statistics_as_they_were():
    """The index is found to be outside when the value before it has been looked at."""
    values = {
        "x": Value("x", "f32", ("N",)), "i": Value("i", "i64", ("I",)),
        "m": Value("m", "f32", ("N",)), "y": Value("y", "f32", ("I",)),
    }  # fmt: skip
    nodes = [Node("Neg", "n", ("x",), ("m",)), Node("Gather", "g", ("m", "i"), ("y",), {"axis": 0})]
    session = octavo.Session(Program(["x", "i"], ["y"], values, {}, nodes), threads=1)
    kept = Statistics(["x", "m", "y"], ALL)
    x = np.array([1, 2, 3], np.float32)
    session.observe({"x": x, "i": np.array([0])}, kept)
    before = kept.to_bytes()
    with pytest.raises(RunError, match="Gather"):
        session.observe({"x": x * 9, "i": np.array([7])}, kept)
    assert kept.to_bytes() == before
    assert kept.read("m", "extremes") == {"minimum": -3, "maximum": -1}


def test_threads_may_share_statistics(seen):
    samples = [np.arange(n, dtype=np.float32) - 20 for n in range(1, 60)]
    kept = Statistics(["x"], ALL)
    session = octavo.Session(
        Program(
            ["x"], ["y"], {n: Value(n, "f32", ("N",)) for n in "xy"}, {}, [Node("Neg", "n", ("x",), ("y",))]
        ),
        threads=1,
    )
    with ThreadPoolExecutor(4) as pool:
        list(pool.map(lambda x: session.observe({"x": x}, kept), samples))
    assert kept.to_bytes() == seen(samples, *ALL).to_bytes()


def test_calibrations_stream_and_report():
    values = {n: Value(n, "f32", ("N",)) for n in "xyz"}
    values["c"] = Value("c", "f32", (1,))
    nodes = [Node("Add", "double", ("x", "x"), ("y",)), Node("Add", "add", ("y", "c"), ("z",))]
    program = Program(["x"], ["z"], values, {"c": np.ones(1, np.float32)}, nodes)
    alive, seen = [], []

    def feeds():
        for value in (1, -4, 2):
            alive.append(value)
            yield {"x": np.array([value], np.float32)}

    session = octavo.Session(program, threads=1)
    found, again = (Calibration.of(("y", "x", "c"), {"extremes", "counts"}) for _ in range(2))
    found.observe(session, feeds(), lambda count: seen.append((count, len(alive))))
    assert seen == [(1, 1), (2, 2), (3, 3)]
    again.observe(session, feeds())
    assert again.statistics.to_bytes() == found.statistics.to_bytes()  # and nobody is told
    again.observe(session, feeds(), lambda count: seen.append(count))
    assert seen[3:] == [4, 5, 6]
    assert (found.samples, again.samples) == (3, 6)
    assert found.names == ["c", "x", "y"]
    assert found.statistics.statistics == ["counts", "extremes"]
    told = {name: found.statistics.read(name, "extremes") for name in found.names}
    assert told == {"x": {"minimum": -4, "maximum": 2}, "y": {"minimum": -8, "maximum": 4}, "c": {}}
    assert found.statistics.read("c", "counts")["elements"] == 0  # a constant is made by no run


NCHW = ("x", (2, 3, 4, 5)), ("row", (2, 3)), ("one", (7,)), ("none", ())


@pytest.mark.parametrize("layout", ["a value of itself", "channels last"])
def test_axes_against_numpy_and_fractions(layout):
    """Elements by their index on axis 1 and on the last axis, whatever layout the plan gives a value."""
    rng = np.random.default_rng(5)
    values, nodes, shapes = {}, [], dict(NCHW)
    for name, shape in shapes.items():
        values |= {name: Value(name, "f32", shape), f"{name}.out": Value(f"{name}.out", "f32", shape)}
        nodes.append(Node("Identity", name, (name,), (f"{name}.out",)))
    if layout == "channels last":
        window = {"strides": [1, 1], "pads": [0] * 4, "dilations": [1, 1], "group": 1}
        values |= {"w": Value("w", "f32", (3, 3, 1, 1)), "x.out": Value("x.out", "f32", (2, 3, 4, 5))}
        nodes[0] = Node("Conv", "x", ("x", "w"), ("x.out",), window)
    constants = {"w": np.eye(3, dtype=np.float32)[:, :, None, None]} if layout == "channels last" else {}
    names = [f"{name}.out" for name in shapes]
    session = octavo.Session(Program(list(shapes), names, values, constants, nodes), threads=1)
    kept = Statistics(names, ALONG)
    feeds = [
        {name: rng.normal(size=shape).astype(np.float32) for name, shape in shapes.items()} for _ in range(3)
    ]
    if layout != "channels last":  # a product of 0 and infinity is NaN
        feeds[1]["x"][0, 1, 2, 3], feeds[1]["row"][1, 2] = np.inf, np.nan
    for sample in feeds:
        session.observe(sample, kept)
    for name, shape in NCHW:
        arrays = [sample[name] for sample in feeds]
        for axis, statistic in ((1, "channel_means"), (-1, "feature_means")):
            told = kept.read(f"{name}.out", statistic)
            if len(shape) < (2 if axis == 1 else 1):
                assert told == {}
                continue
            lists = [np.moveaxis(array, axis, 0).reshape(shape[axis], -1) for array in arrays]
            rows = [np.concatenate([array[i] for array in lists]) for i in range(shape[axis])]
            rows = [row[np.isfinite(row)] for row in rows]
            assert told["counts"] == [len(row) for row in rows]
            exact = [float(sum(map(Fraction, row.tolist())) / len(row)) for row in rows]
            np.testing.assert_allclose(told["means"], exact, atol=1e-7)
        for axis, statistic in ((1, "channel_extremes"), (-1, "feature_extremes")):
            told = kept.read(f"{name}.out", statistic)
            if len(shape) < (2 if axis == 1 else 1):
                assert told == {}
                continue
            lists = [np.moveaxis(array, axis, 0).reshape(shape[axis], -1) for array in arrays]
            finite_only = np.ma.masked_invalid(np.concatenate(lists, 1))
            assert told == {"minima": finite_only.min(1).tolist(), "maxima": finite_only.max(1).tolist()}
