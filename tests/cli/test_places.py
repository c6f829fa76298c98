"""Which file, and which array in it, `--data` gives to which input."""

import numpy as np
import onnx
import pytest
from octavo import quantize
from octavo.cli.pixels import Pixels
from octavo.cli.places import kept_files, open_data, places
from octavo.errors import DataError
from octavo.session import ValueInfo
from onnx import TensorProto, helper
from PIL import Image

LEFT = ValueInfo("left:0", ["N", 2], "tensor(float)")
RIGHT = ValueInfo("right", ["N", 2], "tensor(int64)")
ONLY = ValueInfo("x", ["N", 3], "tensor(float)")
PIXELS = ValueInfo("image", ["N", 3, 4, 4], "tensor(float)")


@pytest.fixture(autouse=True)
def folder(tmp_path, monkeypatch):
    """With arrays whose numbers tell them apart, as the current folder."""
    monkeypatch.chdir(tmp_path)
    np.save("floats.npy", np.full((3, 2), 1, np.float32))
    np.savez("one.npz", any=np.full((3, 2), 2, np.int64))
    np.savez("many.npz", a=np.full((3, 2), 3, np.float32), b=np.full((3, 2), 4, np.int64))
    np.savez("named.npz", right=np.full((3, 2), 5, np.int64), **{"a:b=c": np.full((3, 2), 6, np.int64)})
    return tmp_path


def read(*texts, inputs=(LEFT, RIGHT), pixels=None, limit=None):
    return list(open_data(places(texts), inputs, pixels or Pixels(), limit))


@pytest.mark.parametrize(
    ("texts", "left", "right"),
    [
        (["left:0=floats.npy", "right=one.npz"], 1, 2),
        (["right=many.npz:b", "left:0=many.npz:a"], 3, 4),
        (["left:0=many.npz:a", "right=named.npz"], 3, 5),
        (["left:0=floats.npy", "right=many.npz:b"], 1, 4),
    ],
)
def test_each_input_has_the_array_that_is_named_for_it(texts, left, right):
    samples = read(*texts)
    assert [sample["left:0"].tolist() for sample in samples] == [[[left, left]]] * 3
    assert [sample["right"].tolist() for sample in samples] == [[[right, right]]] * 3
    assert len(read(*texts, limit=2)) == 2


def test_the_only_input_needs_no_name(folder):
    np.savez("x.npz", spare=np.zeros((2, 3), np.float32), wanted=np.ones((2, 3), np.float32))
    for text in ("x.npz:wanted", "x=x.npz:wanted"):
        assert [feeds["x"].tolist() for feeds in read(text, inputs=[ONLY])] == [[[1, 1, 1]]] * 2
    np.save("x=1.npz:a", np.ones((4, 3), np.float32))  # numpy adds .npy
    assert len(read("x=1.npz:a.npy", inputs=[ONLY])) == 4


def test_the_only_input_can_be_pictures_by_name(folder):
    (folder / "photos").mkdir()
    for index in range(3):
        Image.new("RGB", (4, 4)).save(folder / "photos" / f"{index}.png")
    found = open_data(places(["image=photos"]), [PIXELS], Pixels())
    assert found.count() == 3
    assert len(list(found)) == 3


def test_bytes_are_pixels_here_too(folder):
    np.savez("x.npz", a=np.full((2, 3, 4, 4), 255, np.uint8), b=1)
    (first, _) = read("x.npz:a", inputs=[PIXELS], pixels=Pixels(low=-1.0, high=3.0))
    assert (first["image"] == 3).all()


@pytest.mark.parametrize(
    ("texts", "said"),
    [
        (
            ["floats.npy", "right=one.npz"],
            "--data floats.npy must say which input it feeds: NAME=FILE, of left:0",
        ),
        (["left:0=floats.npy"], "--data says nothing of the input 'right': add --data right=FILE"),
        (
            ["left:0=floats.npy", "wrong=one.npz"],
            "'wrong', which is no input of the model: its inputs are left:0",
        ),
        (["left:0=floats.npy", "left:0=floats.npy"], "feeds the input 'left:0' twice"),
        (["left:0=none.npy", "right=one.npz"], "none.npy does not exist"),
        (["left:0=none.npz:a", "right=one.npz"], "none.npz does not exist"),
        (
            ["left:0=floats.npy", "right=many.npz"],
            "many.npz holds several, none of them 'right': name one with :KEY",
        ),
        (["left:0=floats.npy", "right=many.npz:c"], "many.npz has no array 'c': name one with :KEY, of a, b"),
        (["left:0=.", "right=many.npz:b"], "feeds the input 'left:0', which takes a .npy or .npz file"),
        (["left:0=floats.npy", "right=many.npz:a"], "'right' are float32, the model takes int64"),
    ],
)
def test_what_is_wrong_is_said(texts, said):
    with pytest.raises(DataError) as raised:
        read(*texts)
    assert said in str(raised.value)


def test_two_files_for_the_only_input():
    with pytest.raises(DataError, match="feeds the input 'x' twice"):
        read("floats.npy", "one.npz", inputs=[ONLY])


def test_files_that_are_read_are_kept(folder):
    (folder / "more").mkdir()
    np.save("more/a.npy", np.ones(3))
    (folder / "more" / "old.octavo").write_bytes(b"")
    found = kept_files(places(["left:0=many.npz:a", "more", "right=one.npz"]))
    assert [str(path) for path in found] == ["many.npz", "more/a.npy", "one.npz"]


def test_the_commands_take_arrays_by_name(octavo, folder):
    node = helper.make_node("MatMul", ["a", "w"], ["m"]), helper.make_node("Add", ["m", "b"], ["y"])
    ends = (
        [helper.make_tensor_value_info(n, TensorProto.FLOAT, ["N", 4]) for n in names]
        for names in ("ab", "y")
    )
    weights = np.random.default_rng(0).standard_normal((4, 4)).astype(np.float32)
    graph = helper.make_graph(node, "net", *ends, [onnx.numpy_helper.from_array(weights, "w")])
    onnx.save(
        helper.make_model(graph, opset_imports=[helper.make_opsetid("", 20)], ir_version=10), "net.onnx"
    )
    generator = np.random.default_rng(1)
    left, right = (generator.random((40, 4), np.float32) for _ in range(2))
    np.savez("calib.npz", left=left, right=right)
    quantize("net.onnx", {"a": left, "b": right}).save("wanted.octavo")
    named = ["--data", "b=calib.npz:right", "--data", "a=calib.npz:left"]
    ended = octavo("quantize", "net.onnx", *named, "-o", "made.octavo")
    assert ended.status == 0, ended.err
    assert (folder / "made.octavo").read_bytes() == (folder / "wanted.octavo").read_bytes()
    ended = octavo("compare", "net.onnx", "made.octavo", *named)
    assert ended.status == 0, ended.err
    before = (folder / "calib.npz").read_bytes()
    ended = octavo("quantize", "net.onnx", *named, "-o", "calib.npz")
    assert ended.status == 1
    assert "calib.npz" in ended.err
    assert (folder / "calib.npz").read_bytes() == before
