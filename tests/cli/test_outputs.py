"""Where the commands write: over nothing that they read, and through what is no file."""

import io
import os
import threading
from unittest import mock

import numpy as np
import onnx
import pytest
from octavo import Session
from onnx import TensorProto, helper


@pytest.fixture
def home(folder, tmp_path):
    """A folder of one's own: a model with external data, samples in a file and in a folder, a feed."""
    model = onnx.load(folder / "model.onnx")
    onnx.save(
        model, tmp_path / "model.onnx", save_as_external_data=True, location="weights", size_threshold=0
    )
    with np.load(folder / "calibration.npz") as file:
        images = file["images"]
    np.save(tmp_path / "calibration.npy", images)
    (tmp_path / "samples" / "deep").mkdir(parents=True)
    np.save(tmp_path / "samples" / "a.npy", images[:50])
    np.save(tmp_path / "samples" / "deep" / "b.npy", images[50:])
    (tmp_path / "samples" / "labels.txt").write_text("labels")
    (tmp_path / "image.npy").write_bytes((folder / "image.npy").read_bytes())
    (tmp_path / "model.octavo").write_bytes((folder / "model.octavo").read_bytes())
    return tmp_path


def contents(folder):
    return {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def refuses(octavo, home, *arguments):
    """The command ends in one line before it works, and every file stays as it is."""
    before = contents(home)
    ran = AssertionError("it has run")
    with mock.patch.multiple(Session, run=mock.Mock(side_effect=ran), observe=mock.Mock(side_effect=ran)):
        ended = octavo(*arguments, cwd=home)
    assert ended.status == 1, ended
    assert ended.err.count("\n") == 1, ended.err
    assert ended.err.startswith("octavo: error: ")
    assert "not overwritten" in ended.err
    assert contents(home) == before


@pytest.mark.parametrize("way", ["name", "symlink", "hard link"])
@pytest.mark.parametrize(
    ("data", "source"),
    [
        ("calibration.npy", "model.onnx"),
        ("calibration.npy", "weights"),
        ("calibration.npy", "calibration.npy"),
        ("samples", "samples/a.npy"),
        ("samples", "samples/deep/b.npy"),
        ("samples", "samples/labels.txt"),
    ],
)
def test_quantize_overwrites_nothing_that_it_reads(octavo, home, data, source, way):
    output = home / source
    if way != "name":
        output = home / "output"
        (os.symlink if way == "symlink" else os.link)(home / source, output)
    refuses(octavo, home, "quantize", "model.onnx", "--data", data, "-o", output)


@pytest.mark.parametrize("source", ["model.onnx", "weights"])
def test_illustrate_overwrites_nothing_that_it_reads(octavo, home, source):
    (home / "picture.svg").symlink_to(home / source)
    refuses(octavo, home, "illustrate", "model.onnx", "--tensor", "0.weight", "-o", "picture.svg")
    (home / "pictures").mkdir()
    (home / "pictures" / "weights-channels.svg").symlink_to(home / source)
    refuses(octavo, home, "illustrate", "model.onnx", "--tensor", "0.weight", "-o", "pictures")


def test_quantize_through_links_overwrites_nothing_that_they_lead_to(octavo, home):
    (home / "links").mkdir()
    for name in ("model.onnx", "weights", "samples"):
        (home / "links" / name).symlink_to(home / name)
    for output in ("model.onnx", "weights", "samples/a.npy"):
        refuses(octavo, home, "quantize", "links/model.onnx", "--data", "links/samples", "-o", output)
        refuses(octavo, home, "quantize", "model.onnx", "--data", "samples", "-o", f"links/{output}")


@pytest.mark.parametrize("output", ["model.octavo", "samples/model.octavo", "new"])
def test_quantize_overwrites_an_older_artifact(octavo, home, folder, output):
    (home / "samples" / "model.octavo").write_bytes(b"older")
    ended = octavo("quantize", "model.onnx", "--data", "samples", "-o", output, cwd=home)
    assert ended.status == 0, ended.err
    assert (home / output).read_bytes() == (folder / "model.octavo").read_bytes()


def test_quantize_counts_the_bytes_of_external_data(octavo, home):
    ended = octavo(
        "quantize", "model.onnx", "--data", "calibration.npy", "-o", "a.octavo", "--json", cwd=home
    )
    sizes = [(home / name).stat().st_size for name in ("model.onnx", "weights")]
    assert ended.json()["model_bytes"] == sum(sizes)


@pytest.mark.parametrize("mode", [0o444, 0o400])
def test_a_read_only_output_is_refused_before_the_work(octavo, home, mode):
    (home / "old").write_bytes(b"old")
    (home / "old").chmod(mode)
    before = contents(home)
    for arguments in (
        ("quantize", "model.onnx", "--data", "calibration.npy", "-o", "old"),
        ("run", "model.octavo", "--input", "image.npy", "--output", "logits=old"),
    ):
        with mock.patch.object(Session, "run", side_effect=AssertionError("it has run")):
            ended = octavo(*arguments, cwd=home)
        assert ended.status == 1
        assert ended.err.startswith("octavo: error: old: it is read-only")
        assert contents(home) == before


@pytest.mark.parametrize("way", ["name", "symlink", "hard link"])
@pytest.mark.parametrize(
    ("model", "source"),
    [
        ("model.onnx", "model.onnx"),
        ("model.onnx", "weights"),
        ("model.onnx", "image.npy"),
        ("model.octavo", "model.octavo"),
        ("model.octavo", "image.npy"),
    ],
)
def test_run_overwrites_nothing_that_it_reads(octavo, home, model, source, way):
    output = home / source
    if way != "name":
        output = home / "output"
        (os.symlink if way == "symlink" else os.link)(home / source, output)
    refuses(octavo, home, "run", model, "--input", "input=image.npy", "--output", f"logits={output}")


def test_run_overwrites_no_input_in_its_folder_of_outputs(octavo, home):
    (home / "answers").mkdir()
    (home / "image.npy").rename(home / "answers" / "logits.npy")
    refuses(octavo, home, "run", "model.octavo", "--input", "answers/logits.npy", "--output-dir", "answers")


def test_run_overwrites_older_answers(octavo, home):
    command = ("run", "model.octavo", "--input", "image.npy", "--output-dir", "answers")
    for _ in range(2):
        ended = octavo(*command, cwd=home)
        assert ended.status == 0, ended.err
    assert os.listdir(home / "answers") == ["logits.npy"]


def test_a_run_that_cannot_write_all_writes_nothing(octavo, tmp_path):
    graph = helper.make_graph(
        [helper.make_node("Relu", ["x"], ["a"]), helper.make_node("Neg", ["x"], ["b"])],
        "two",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, [2])],
        [helper.make_tensor_value_info(name, TensorProto.FLOAT, [2]) for name in "ab"],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    onnx.save(model, tmp_path / "two.onnx")
    np.save(tmp_path / "x.npy", np.zeros(2, np.float32))
    outputs = ("--output", "a=first.npy", "--output", "b=missing/second.npy")
    ended = octavo("run", "two.onnx", "--input", "x.npy", *outputs, cwd=tmp_path)
    assert ended.status == 1
    assert ended.err.startswith("octavo: error: missing/second.npy: ")
    assert sorted(os.listdir(tmp_path)) == ["two.onnx", "x.npy"]


QUANTIZE = ("quantize", "model.onnx", "--data", "calibration.npy", "-o")


@pytest.mark.parametrize("options", [(), ("--json",)])
def test_an_artifact_on_standard_output(octavo, home, folder, capfdbinary, options):
    ended = octavo(*QUANTIZE, "/dev/stdout", *options, cwd=home)
    assert capfdbinary.readouterr() == ((folder / "model.octavo").read_bytes(), b"")
    assert (ended.status, ended.out) == (0, "")
    assert '"samples": 100' in ended.err if options else "calibrated over 100 samples" in ended.err


def test_answers_on_standard_output(octavo, home, capfdbinary):
    ended = octavo("run", "model.octavo", "--input", "image.npy", "--output", "/dev/stdout", cwd=home)
    (expected,) = Session(home / "model.octavo").run(None, {"input": np.load(home / "image.npy")})
    assert np.array_equal(np.load(io.BytesIO(capfdbinary.readouterr().out)), expected)
    assert (ended.status, ended.out) == (0, "")
    assert "logits" in ended.err


def test_an_artifact_through_a_pipe(octavo, home, folder):
    os.mkfifo(home / "pipe")
    read = []
    reader = threading.Thread(target=lambda: read.append((home / "pipe").read_bytes()), daemon=True)
    reader.start()
    ended = octavo(*QUANTIZE, "pipe", cwd=home)
    reader.join(10)
    assert ended.status == 0, ended.err
    assert ended.out.endswith("-> pipe\n")
    assert read == [(folder / "model.octavo").read_bytes()]
    ended = octavo(*QUANTIZE, "/dev/null", "--json", cwd=home)
    assert ended.json()["artifact_bytes"] is None
