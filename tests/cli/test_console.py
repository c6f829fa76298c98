"""What is shown: tables, numbers, names and JSON, to the character."""

import io
import json
import sys

import numpy as np
import pytest
from octavo.cli import console
from octavo.cli.feeds import made_up_feeds, output_paths, read_feeds, write_array
from octavo.cli.pixels import Pixels
from octavo.errors import DataError
from octavo.session import ValueInfo

ONE = [ValueInfo("x", ["N", 3, "L"], "tensor(float)")]
TWO = [*ONE, ValueInfo("i", [2, "M"], "tensor(int64)"), ValueInfo("d", [], "tensor(double)")]


def test_a_table_is_aligned_numbers_to_the_right(capsys):
    console.show_table(["name", "macs", "time"], [["conv", "5", "1.0 ms"], ["x", "1234", "-"], ["", "", "7"]])
    assert capsys.readouterr().out.splitlines() == [
        "name  macs    time",
        "conv     5  1.0 ms",
        "x     1234       -",
        "                 7",
    ]


@pytest.mark.parametrize(
    ("value", "text"),
    [(None, "-"), (1.23456789, "1.23457"), (0.0, "0"), (1e9, "1e+09"), (12, "12"), ("a", "a"), ([1], "[1]")],
)
def test_a_cell(value, text):
    assert console.cell(value) == text


@pytest.mark.parametrize(
    ("name", "width", "text"),
    [
        ("a" * 40, 40, "a" * 40),
        ("a" * 21 + "b" * 20, 40, "a" * 20 + "…" + "b" * 19),
        ("abcdefgh", 8, "abcdefgh"),
        ("abcdefghi", 8, "abcd…ghi"),
        ("abcdefghi", 7, "abc…ghi"),
    ],
)
def test_a_long_name_keeps_both_ends(name, width, text):
    assert console.shorten(name, width) == text
    assert len(text) <= width


def test_sizes_and_times():
    assert [console.format_size(n) for n in (0, 49, 50, 1000, 999949, 999950, 1234567890)] == [
        "0.0 kB",
        "0.0 kB",
        "0.1 kB",
        "1.0 kB",
        "999.9 kB",
        "1.0 MB",
        "1,234.6 MB",
    ]
    assert [console.format_time(s) for s in (0.0, 0.0012345, 2.0)] == ["0.00 µs", "1,234 µs", "2,000,000 µs"]


def test_json_has_no_number_that_is_none(capsys):
    given = {"a": float("nan"), 1: [float("inf"), -float("inf"), 1.5], "t": (1, float("nan")), "n": None}
    console.show_json(given)
    out = capsys.readouterr().out
    assert json.loads(out) == {"a": None, "1": [None, None, 1.5], "t": [1, None], "n": None}
    assert out.startswith('{\n  "a": null')


def test_there_is_no_bar_but_on_a_terminal(monkeypatch):
    error = io.StringIO()
    monkeypatch.setattr(sys, "stderr", error)
    assert list(console.progress(range(3), "counting")) == [0, 1, 2]
    assert error.getvalue() == ""
    error.isatty = lambda: True
    assert list(console.progress(range(3), "counting", 3)) == [0, 1, 2]
    assert "counting" in error.getvalue()


def test_feeds_by_name(tmp_path):
    np.save(tmp_path / "a=b.npy", np.ones((1, 3, 2), np.float32))
    np.save(tmp_path / "i.npy", np.array([[1], [2]]))
    path = tmp_path / "i.npy"
    assert read_feeds([f"i={path}"], TWO, Pixels())["i"].tolist() == [[1], [2]]
    assert read_feeds([str(path)], ONE, Pixels()).keys() == {"x"}
    # the last sign of equality ends the name
    named = [ValueInfo("x=y", [2, 1], "tensor(int64)")]
    assert read_feeds([f"x=y={path}"], named, Pixels()).keys() == {"x=y"}


@pytest.mark.parametrize(
    ("assignments", "inputs", "says"),
    [
        (["{i}"], TWO, "must name its input: one of x, i, d"),
        (["z={i}"], TWO, "no input 'z', its inputs are x, i, d"),
        (["i={i}", "i={i}"], TWO, "input 'i' is given twice"),
        (["x={two}"], TWO, r"holds 2 arrays \(a, b\), an input takes one"),
        (["x={none}"], TWO, "holds 0 arrays"),
    ],
)
def test_feeds_that_do_not_fit(tmp_path, assignments, inputs, says):
    np.save(tmp_path / "i.npy", np.array([1]))
    np.savez(tmp_path / "two.npz", a=1, b=2)
    np.savez(tmp_path / "none.npz")
    files = {"i": tmp_path / "i.npy", "two": tmp_path / "two.npz", "none": tmp_path / "none.npz"}
    with pytest.raises(DataError, match=says):
        read_feeds([text.format(**files) for text in assignments], inputs, Pixels())


def test_where_outputs_are_written(tmp_path):
    assert output_paths(["y", "z"], None, []) == {}
    assert output_paths(["y", "z"], None, ["z=a.npy"]).keys() == {"z"}
    assert output_paths(["y"], None, ["a.npy"])["y"].name == "a.npy"
    found = output_paths(["a/b:0", "..up", "z"], tmp_path, ["z=other.npy"])
    assert {name: path.name for name, path in found.items()} == {
        "a/b:0": "a_b_0.npy",
        "..up": "up.npy",
        "z": "other.npy",
    }
    assert found["a/b:0"].parent == tmp_path
    assert str(found["z"]) == "other.npy"
    for names, assignments in ((["y", "z"], ["a.npy"]), (["y"], ["z=a.npy"])):
        with pytest.raises(DataError, match="give NAME=FILE, where NAME is one of"):
            output_paths(names, None, assignments)
    with pytest.raises(DataError, match="two outputs would be written to one file"):
        output_paths(["a/b", "a:b"], tmp_path, [])
    (tmp_path / "link.npy").symlink_to("y.npy")
    with pytest.raises(DataError, match="two outputs would be written to one file"):
        output_paths(["y", "z"], tmp_path, [f"z={tmp_path}/link.npy"])


def test_an_array_is_written_whole_or_not_at_all(tmp_path):
    path = tmp_path / "y.npy"
    path.write_bytes(b"old")
    with pytest.raises(ValueError, match="Object arrays"):
        write_array(path, np.array([{}], object))
    assert path.read_bytes() == b"old"
    write_array(path, np.arange(3))
    assert np.load(path).tolist() == [0, 1, 2]
    assert [file.name for file in tmp_path.iterdir()] == ["y.npy"]


def test_inputs_made_up_for_timing():
    feeds = made_up_feeds(TWO, {}, 5)
    assert {name: (array.shape, array.dtype) for name, array in feeds.items()} == {
        "x": ((5, 3, 1), np.float32),
        "i": ((2, 1), np.int64),
        "d": ((), np.float64),
    }
    assert made_up_feeds(TWO, {"x": (2, 3, 9)}, 5)["x"].shape == (2, 3, 9)
    wide = made_up_feeds([ValueInfo("i", [1000], "tensor(int64)")], {}, 1)["i"]
    assert set(wide.tolist()) == {0, 1}
    assert np.array_equal(made_up_feeds(ONE, {}, 5)["x"], feeds["x"])
    assert feeds["x"].std() > 0.3


def test_what_stays_is_a_table_with_its_title(capsys):
    stays = [
        {"op": "Elu", "name": "n" * 200, "reason": "for a reason"},
        {"op": "Softmax", "name": "last", "reason": "it is last"},
    ]
    console.show_stays("stay float", [])
    assert capsys.readouterr().out == ""
    console.show_stays("stay float", stays)
    empty, title, head, *rows = capsys.readouterr().out.splitlines()
    assert (empty, title, head.split()) == ("", "stay float:", ["op", "name", "why"])
    assert [row.split(maxsplit=2) for row in rows] == [
        ["Elu", console.shorten("n" * 200), "for a reason"], ["Softmax", "last", "it is last"],
    ]  # fmt: skip


def test_operators_are_counted_in_a_line(capsys):
    console.show_ops("run in integers", {"QConv": 2, "QGemm": 1})
    console.show_ops("run in float", {"Elu": 1})
    console.show_ops("run in float", {})
    assert capsys.readouterr().out.splitlines() == [
        "3 nodes run in integers: 2 QConv, 1 QGemm",
        "1 node run in float: 1 Elu",
        "0 nodes run in float",
    ]
