"""The numbers that commands show and read, each on both sides of its borders."""

from types import SimpleNamespace

import numpy as np
import pytest
import typer
from octavo.cli import bench, console
from octavo.cli.data import Files
from octavo.cli.inspect import _quant, _shape, describe
from octavo.cli.options import pixels_of
from octavo.cli.pixels import Frame, Pixels, frame_of
from octavo.cli.places import Place, kept_files
from octavo.errors import DataError
from octavo.program import Node, Program, Quant, Value
from octavo.session import ProfileRow, ValueInfo

F = np.float32


@pytest.mark.parametrize(
    ("microseconds", "text"),
    [
        (0.0, "0.00"), (0.004, "0.00"), (9.5, "9.50"), (9.875, "9.88"), (10.0, "10.0"), (10.25, "10.2"),
        (99.5, "99.5"), (99.875, "99.9"), (100.0, "100"), (100.25, "100"), (1000.0, "1,000"),
        (1e6, "1,000,000"),
    ],
)  # fmt: skip
def test_times_have_three_digits_or_all_before_the_point(microseconds, text):
    assert console.format_time(microseconds / 1e6) == f"{text} µs"


@pytest.mark.parametrize(
    ("number", "text"), [(0, "0 nodes"), (1, "1 node"), (2, "2 nodes"), (11, "11 nodes")]
)
def test_counts(number, text):
    assert console.count(number, "node") == text
    assert console.format_machine("avx2", number) == f"avx2, {text.replace('node', 'thread')}"


def test_ops_are_counted_in_a_line(capsys):
    console.show_ops("in float", {})
    console.show_ops("in float", {"Add": 1})
    console.show_ops("in float", {"Add": 2, "Conv": 3})
    assert capsys.readouterr().out.splitlines() == [
        "0 nodes in float",
        "1 node in float: 1 Add",
        "5 nodes in float: 2 Add, 3 Conv",
    ]


class Clock:
    """perf_counter, by which the runs of a session take these times in turn, and once more the last."""

    def __init__(self, *times):
        self.now, self.times, self.runs = 0.0, list(times), 0

    def __call__(self):
        return self.now

    def run(self, names, feeds):
        taken = self.times.pop(0) if len(self.times) > 1 else self.times[0]
        self.now += taken
        self.runs += 1


@pytest.mark.parametrize(
    ("times", "duration", "want"),
    [
        # the first run, of 64, is not counted; then at least five
        (
            (64, 8, 1, 4, 2, 16),
            0.5,
            {"runs": 5, "median_seconds": 4, "min_seconds": 1, "spread": (8 - 2) / 4},
        ),
        ((64, 1, 1, 1, 1, 1), 8.0, {"runs": 8, "median_seconds": 1, "min_seconds": 1, "spread": 0.0}),
        ((64, 6, 5, 4, 3, 2, 1), 20.5, {"runs": 6, "median_seconds": 4, "min_seconds": 1, "spread": 3 / 4}),
    ],
)
def test_runs_are_timed(monkeypatch, times, duration, want):
    clock = Clock(*times)
    monkeypatch.setattr(bench.time, "perf_counter", clock)
    found = bench._time(clock, {}, duration)
    assert found == want
    assert clock.runs == want["runs"] + 1


def test_each_step_is_the_median_of_five_profiles():
    seconds = iter([(5, 10), (1, 50), (4, 20), (2, 40), (3, 30)])

    def profile(feeds):
        first, second = next(seconds)
        return [
            ProfileRow("a", "Conv", "k", "avx2", 7, first),
            ProfileRow("b", "Add", "l", "scalar", 0, second),
        ]

    rows = bench._profile(SimpleNamespace(profile=profile), {})
    assert [row["seconds"] for row in rows] == [3, 30]
    assert [row["share"] for row in rows] == [3 / 33, 30 / 33]
    assert [tuple(row.values())[:5] for row in rows] == [
        ("a", "Conv", "k", "avx2", 7),
        ("b", "Add", "l", "scalar", 0),
    ]


def test_a_model_twice_as_fast_as_the_first_is_2x(capsys):
    machine = {"isa": "avx2", "threads": 1, "runs": 9, "spread": 0.125}
    slow = {"model": "a", **machine, "median_seconds": 4e-4, "min_seconds": 3e-4}
    fast = {"model": "b", **machine, "median_seconds": 2e-4, "min_seconds": 1e-4}
    fast["profile"] = [
        {"name": "n", "op": "Conv", "kernel": "k", "macs": 1200, "seconds": 1.5e-4, "share": 0.75},
        {"name": "m", "op": "Add", "kernel": "l", "macs": 0, "seconds": 5e-5, "share": 0.25},
    ]
    bench._show([slow, fast])
    assert capsys.readouterr().out.splitlines() == [
        "avx2, 1 thread",
        "",
        "model  median     min  spread  runs  speed",
        "a      400 µs  300 µs   12.5%     9  1.00x",
        "b      200 µs  100 µs   12.5%     9  2.00x",
        "",
        "b: each step's median of 5 profiled runs",
        "name       op    kernel   macs     time   share",
        "n          Conv  k       1,200   150 µs   75.0%",
        "m          Add   l              50.0 µs   25.0%",
        "all steps                1,200   200 µs  100.0%",
    ]


@pytest.mark.parametrize(
    ("text", "shape"),
    [("x=1x3x9", ("x", (1, 3, 9))), ("x=7", ("x", (7,))), ("x=", ("x", ())), ("a=b=2x1", ("a=b", (2, 1)))],
)
def test_shapes_as_they_are_typed(text, shape):
    assert bench._shape(text) == shape
    for wrong in ("x", "=1", "x=1x", "x=x1", "x=-1", "x=1,2", "x=1.5", "x= 1"):
        with pytest.raises(typer.BadParameter, match="give NAME=1x3x224x224"):
            bench._shape(wrong)


@pytest.mark.parametrize(
    ("given", "found"),
    [
        ({}, None),
        ({"size": "7x9"}, Pixels(size=(7, 9))),
        ({"size": "8"}, Pixels(size=(8, 8))),
        ({"size": "1x1"}, Pixels(size=(1, 1))),
        ({"mean": "1,2,3"}, Pixels(mean=(1.0, 2.0, 3.0))),
        ({"std": "0.5"}, Pixels(std=(0.5,))),
        ({"std": "-1,2,3"}, Pixels(std=(-1.0, 2.0, 3.0))),
        ({"range_": "-1..2.5"}, Pixels(low=-1.0, high=2.5)),
        ({"layout": "nhwc"}, Pixels(layout="nhwc")),
    ],
)
def test_pixels_as_they_are_typed(given, found):
    assert (
        pixels_of(**{"size": None, "mean": None, "std": None, "layout": None, "range_": None} | given)
        == found
    )


@pytest.mark.parametrize(
    ("given", "says"),
    [
        ({"size": "0x9"}, "give HEIGHTxWIDTH in pixels"),
        ({"size": "9x0"}, "give HEIGHTxWIDTH in pixels"),
        ({"size": "0"}, "give HEIGHTxWIDTH in pixels"),
        ({"size": "-1x-1"}, "give HEIGHTxWIDTH in pixels"),
        ({"size": "infx9"}, "give HEIGHTxWIDTH in pixels"),
        ({"size": "9xnan"}, "give HEIGHTxWIDTH in pixels"),
        ({"size": "1x2x3"}, "give two numbers with 'x' between them"),
        ({"size": "axb"}, "give two numbers with 'x' between them"),
        ({"std": "0"}, "a division by zero"),
        ({"std": "0,1,1"}, "a division by zero"),
        ({"std": "1,0,1"}, "a division by zero"),
        ({"std": "1,1,-0.0"}, "a division by zero"),
        ({"std": "1,1"}, "give 1 number or 3"),
        ({"mean": "1,1,1,1"}, "give 1 number or 3"),
        ({"mean": ""}, "give a number, or one a channel"),
        ({"range_": "1"}, r"give two numbers with '\.\.' between them"),
    ],
)
def test_pixels_that_are_none(given, says):
    with pytest.raises(typer.BadParameter, match=says):
        pixels_of(**{"size": None, "mean": None, "std": None, "layout": None, "range_": None} | given)


@pytest.mark.parametrize("channels", [1, 3])
def test_frames(channels):
    """Of unequal sides, so that a mistaken axis shows."""
    first, last = ("N", channels, 20, 30), ("N", 20, 30, channels)
    assert frame_of("x", first, Pixels()) == Frame(channels, "nchw", (20, 30))
    assert frame_of("x", last, Pixels()) == Frame(channels, "nhwc", (20, 30))
    assert frame_of("x", ("N", channels, "H", "W"), Pixels(size=(7, 9))) == Frame(channels, "nchw", (7, 9))
    assert frame_of("x", ("N", channels, "H", 9), Pixels(size=(7, 9))).size == (7, 9)
    assert frame_of("x", ("N", 3, 20, 1), Pixels(layout="nchw")) == Frame(3, "nchw", (20, 1))
    assert frame_of("x", ("N", 3, 20, 1), Pixels(layout="nhwc")) == Frame(1, "nhwc", (3, 20))
    assert (Frame(3, "nchw", (1, 2)).channel_axis, Frame(3, "nhwc", (1, 2)).channel_axis) == (-3, -1)


@pytest.mark.parametrize(
    ("shape", "pixels", "says"),
    [
        (("N", 3, 9), Pixels(), "which is not a batch of pictures"),
        (("N", 3, 9, 9, 1), Pixels(), "which is not a batch of pictures"),
        (("N", 3, 9, 3), Pixels(), "say where its channels stand"),
        (("N", 2, 9, 9), Pixels(), "say where its channels stand"),
        (("N", 2, 9, 9), Pixels(layout="nchw"), "has 2 channels in shape"),
        (("N", 3, 9, 4), Pixels(layout="nhwc"), "has 4 channels in shape"),
        (("N", 3, "H", 9), Pixels(), "leaves the picture's size open"),
        (("N", 3, 9, "W"), Pixels(), "leaves the picture's size open"),
        (("N", 3, 8, 9), Pixels(size=(9, 9)), "--size asks for a height of 9, input 'x' has 8"),
        (("N", 3, 9, 8), Pixels(size=(9, 9)), "--size asks for a width of 9, input 'x' has 8"),
        (("N", 9, "W", 1), Pixels(size=(8, 9)), "--size asks for a height of 8, input 'x' has 9"),
    ],
)
def test_frames_that_are_none(shape, pixels, says):
    with pytest.raises(DataError, match=says):
        frame_of("x", shape, pixels)


@pytest.mark.parametrize("axis", [-1, -3])
@pytest.mark.parametrize("mean", [(0.25,), (0.25, 0.5, 0.75)])
@pytest.mark.parametrize("std", [(0.5,), (0.5, 2.0, 4.0)])
@pytest.mark.parametrize(("low", "high"), [(0.0, 1.0), (-1.0, 1.0), (0.0, 255.0), (3.0, 1.0)])
def test_pixels_become_numbers(axis, mean, std, low, high):
    """Every operation rounded once, in float32; three of every axis, so that a mistaken one shows."""
    pixels = np.arange(27, dtype=np.uint8).reshape(3, 3, 3) * np.uint8(9)
    found = Pixels(mean=mean, std=std, low=low, high=high).normalize(pixels, axis)
    assert found.dtype == F
    for place in np.ndindex(3, 3, 3):
        channel = place[axis]
        scaled = F(pixels[place]) / F(255) * (F(high) - F(low)) + F(low)
        assert found[place] == (scaled - F(mean[channel % len(mean)])) / F(std[channel % len(std)])


def test_a_sample_of_several_arrays_lacks_the_batch_axis_in_all_of_them(tmp_path):
    inputs = [ValueInfo("a", ["N", 2], "tensor(float)"), ValueInfo("b", ["N", 3], "tensor(float)")]

    def read(a, b):
        np.savez(tmp_path / "s.npz", a=a, b=b)
        return [
            {name: array.shape for name, array in feeds.items()}
            for feeds in Files([tmp_path / "s.npz"], inputs, Pixels())
        ]

    assert read(np.zeros(2, F), np.zeros(3, F)) == [{"a": (1, 2), "b": (1, 3)}]
    assert read(np.zeros((4, 2), F), np.zeros((4, 3), F)) == [{"a": (1, 2), "b": (1, 3)}] * 4
    for a, b in (((2,), (4, 3)), ((4, 2), (3,))):
        with pytest.raises(DataError, match=r"have the shape"):
            read(np.zeros(a, F), np.zeros(b, F))


@pytest.mark.parametrize(("limit", "arrays", "pictures"), [(None, None, 3), (2, 2, 2), (3, 3, 3), (9, 9, 3)])
def test_how_many_samples_are_known(tmp_path, limit, arrays, pictures):
    for suffix, known in ((".npy", arrays), (".npz", arrays), (".png", pictures), (".PNG", pictures)):
        paths = [tmp_path / f"{i}{suffix}" for i in range(3)]
        assert Files(paths, [], Pixels(), limit).count() == known


@pytest.mark.parametrize("limit", [1, 2, 3, 4, 5, 9, None])
def test_no_more_than_the_limit_is_read(tmp_path, limit):
    for name, start in (("a", 0), ("b", 2), ("c", 4)):
        np.save(tmp_path / f"{name}.npy", np.arange(start, start + 2, dtype=F)[:, None])
    files = Files(
        [tmp_path / f"{name}.npy" for name in "abc"],
        [ValueInfo("x", ["N", 1], "tensor(float)")],
        Pixels(),
        limit,
    )
    for _ in range(2):
        assert [feeds["x"].item() for feeds in files] == list(range(min(limit or 9, 6)))


def test_files_that_are_kept(tmp_path):
    for name in ("a.npy", "b.octavo", "c.txt"):
        (tmp_path / name).write_bytes(b"")
    assert [path.name for path in kept_files([Place(None, tmp_path)])] == ["a.npy", "c.txt"]
    assert kept_files([Place(None, tmp_path / "b.octavo")]) == [tmp_path / "b.octavo"]


def test_shapes_and_scales_of_values():
    assert [_shape({"shape": shape}) for shape in (None, [], ["N", 3], [7])] == ["?", "scalar", "Nx3", "7"]
    one = {"scale": [0.5], "zero_point": [3], "axis": None}
    assert _quant({"quant": None}) == ""
    assert _quant({"quant": one}) == "0.5, 3"
    assert _quant({"quant": one | {"scale": [0.5, 0.25], "axis": 1}}) == "2 scales along axis 1"


def test_what_a_program_holds():
    """Bytes by dtype, nodes that read and write floats, conversions that do one of both."""
    quant = Quant(np.array([0.5], F), np.array([3]))
    values = {name: Value(name, "f32", (2,)) for name in ("x", "y", "c")}
    values |= {name: Value(name, "u8", (2,), quant) for name in ("q", "r")} | {"s": Value("s", "i64", (1,))}
    values |= {"t": Value("t", "u8", (256,)), "d": Value("d", "f32", (2,))}
    edge = {"scale": F(0.5), "zero_point": 3}
    nodes = [
        Node("Add", "add", ("x", "c"), ("d",)),
        Node("Quantize", "in", ("d",), ("q",), edge),
        Node("Lookup", "table", ("q", "t"), ("r",)),
        Node("Dequantize", "out", ("r",), ("y",), edge),
        Node("Shape", "shape", ("y",), ("s",), {"start": 0}),
    ]
    constants = {"c": np.zeros(2, F), "t": np.zeros(256, np.uint8)}
    facts = describe(Program(["x"], ["y", "s"], values, constants, nodes))
    assert facts["constant_bytes"] == {"f32": 8, "u8": 256}
    assert facts["ops"] == {"Add": 1, "Dequantize": 1, "Lookup": 1, "Quantize": 1, "Shape": 1}
    assert (facts["integer_ops"], facts["float_ops"], facts["conversions"]) == ({"Lookup": 1}, {"Add": 1}, 2)
    assert facts["float_nodes"] == ["add"]
    assert [node["constant_bytes"] for node in facts["nodes"]] == [8, 0, 256, 0, 0]
    assert facts["nodes"][1]["outputs"][0]["quant"] == {"scale": [0.5], "zero_point": [3], "axis": None}
    assert [value["name"] for value in facts["inputs"]] == ["x"]
    assert [value["name"] for value in facts["outputs"]] == ["y", "s"]
