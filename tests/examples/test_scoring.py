"""Scoring rows, alone and over a Dask cluster: the bits of a session, and an error for a bad row."""

import io
import json
import os
import subprocess
import sys
import types

import numpy as np
import octavo
import pyarrow as pa
import pytest
import scoring
from octavo.cli.pixels import Pixels, frame_of, read_picture
from onnx import TensorProto, helper
from PIL import Image
from scored import ERRORS, EXAMPLES, ROWS, assert_scored, make_data, page_commands, run
from serving import model_of, wait_for

LOST = """
import os
import dask_scoring

plain = dask_scoring.score

def score(part, target, scorer):
    try:
        os.close(os.open("lost", os.O_CREAT | os.O_EXCL))
    except FileExistsError:
        return plain(part, target, scorer)
    os._exit(1)  # the first worker that gets here

dask_scoring.score = score
if __name__ == "__main__":  # and not in a worker
    dask_scoring.main()
"""


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    folder = tmp_path_factory.mktemp("scoring")
    return folder, make_data(folder)


@pytest.mark.parametrize("arguments", page_commands("dask_scoring.py"))
@pytest.mark.parametrize("lost", [False, True], ids=["", "a worker is lost"])
def test_dask_scores_each_row_once(made, tmp_path, arguments, lost):
    folder, wanted = made
    model, data, output, *_ = arguments
    (tmp_path / "lost.py").write_text(LOST)
    for name in (model, data.rstrip("/")):
        (tmp_path / name).symlink_to(folder / name)
    script = tmp_path / "lost.py" if lost else EXAMPLES / "dask_scoring.py"
    shown, told = run(sys.executable, script, *arguments, folder=tmp_path)
    assert_scored(tmp_path, data, output, wanted)
    bad = len(ERRORS[data])
    assert "100% Completed" in shown
    assert f"{output}: {ROWS - bad} of {ROWS} rows scored" in shown
    assert f"{bad} with an error, such as:" in told
    for index, error in ERRORS[data].items():
        (line,) = (line for line in told.splitlines() if error in line)
        assert str(index) in line.partition(":")[0]
    assert (tmp_path / "lost").exists() == lost


@pytest.fixture
def cluster(tmp_path):
    """The address of a scheduler with two workers that know nothing of the examples."""
    place = tmp_path / "cluster"
    place.mkdir()
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
    file, started = place / "here.json", []

    def start(*command):
        started.append(
            subprocess.Popen(
                [sys.executable, "-m", "dask", *command, "--scheduler-file", file],
                cwd=place, env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
            )
        )  # fmt: skip

    try:
        start("scheduler", "--port", "0", "--dashboard-address", ":0")
        wait_for(lambda: file.exists() and is_json(file.read_text()))
        start("worker", "--nworkers", "2", "--nthreads", "1")
        yield json.loads(file.read_text())["address"]
    finally:
        for process in reversed(started):
            process.terminate()
            process.wait(60)


def is_json(text):
    """Whether a file was written to its end."""
    try:
        json.loads(text)
    except ValueError:
        return False
    return True


def test_workers_elsewhere_are_sent_what_they_need(made, tmp_path, cluster):
    folder, wanted = made
    arguments = ("model.octavo", "samples.parquet", tmp_path / "scores", "--scheduler", cluster)
    run(sys.executable, EXAMPLES / "dask_scoring.py", *arguments, folder=folder)
    assert_scored(tmp_path, "samples.parquet", "scores", wanted)
    arguments = ("model.onnx", "calibration.npy", tmp_path / "made.octavo", "--scheduler", cluster)
    run(sys.executable, EXAMPLES / "dask_calibration.py", *arguments, folder=folder)
    assert (tmp_path / "made.octavo").read_bytes() == (folder / "model.octavo").read_bytes()


def artifact(folder, nodes, inputs, outputs):
    path = folder / "net.octavo"
    program = octavo.session.load_program(model_of(nodes, inputs, outputs))
    octavo.program.artifact.save(program, path)
    return str(path)


@pytest.mark.parametrize("layout", ["nchw", "nhwc"])
@pytest.mark.parametrize("channels", [1, 3])
def test_pictures_become_what_calibration_read(tmp_path, layout, channels):
    shape = ("N", channels, 24, 32) if layout == "nchw" else ("N", 24, 32, channels)
    ends = ([(name, TensorProto.FLOAT, shape)] for name in "xy")
    model = artifact(tmp_path, [helper.make_node("Identity", ["x"], ["y"])], *ends)
    pixels = np.random.default_rng(0).integers(0, 256, (50, 40, 3), np.uint8)
    exif = Image.Exif()
    exif[0x0112] = 6  # turned by a quarter
    Image.fromarray(pixels).save(tmp_path / "turned.png", exif=exif)
    mean, std = ((0.485, 0.456, 0.406), (0.229, 0.224, 0.225)) if channels == 3 else ((0.5,), (0.25,))
    scorer = scoring.Scorer(model, (-1.0, 1.0), mean, std)
    rows = pa.table({"path": ["turned.png"], "content": [(tmp_path / "turned.png").read_bytes()]})
    read = Pixels(mean=mean, std=std, layout=layout, low=-1.0)
    wanted = read_picture(tmp_path / "turned.png", frame_of("x", shape, read), read)
    scored = scorer(rows)
    assert scored.column_names == ["path", "y", "error"]
    assert np.array(scored["y"][0].as_py(), np.float32).tobytes() == wanted.tobytes()


def test_rows_of_several_inputs(tmp_path):
    nodes = [
        helper.make_node("Gather", ["x", "at"], ["y"], axis=1),
        helper.make_node("Identity", ["at"], ["z"]),
    ]
    inputs = [("x", TensorProto.DOUBLE, ("N", "M", 2)), ("at", TensorProto.INT64, ())]
    outputs = [("y", TensorProto.DOUBLE, ("N", 2)), ("z", TensorProto.INT64, ())]
    scorer = scoring.Scorer(artifact(tmp_path, nodes, inputs, outputs))
    nested = [[[1.0, 2.0], [3.0, 4.0]], [[5.0, 6.0]], [[7.0, None]], [[8.0, 9.0]]]
    rows = pa.table({"x": nested, "name": list("abcd"), "at": [1, 0, 0, 1]})
    scored = scorer(rows)
    assert scored.schema == scorer.schema(rows.schema)
    assert scored.drop_columns("error").to_pylist() == [
        {"name": "a", "y": [3.0, 4.0], "z": [1]},
        {"name": "b", "y": [5.0, 6.0], "z": [0]},
        {"name": "c", "y": None, "z": None},
        {"name": "d", "y": None, "z": None},
    ]
    first, second, null, outside = scored["error"].to_pylist()
    assert (first, second, null) == (None, None, "column 'x' holds a null")
    assert "axis 1" in outside
    left_out = scorer(rows.slice(0, 2).drop_columns("at"))
    assert left_out["error"].to_pylist() == ["there is no column 'at', only x, name"] * 2
    floats = rows.slice(0, 1).set_column(0, "x", pa.array([[[1.0, 2.0]]], pa.list_(pa.list_(pa.float32()))))
    text = "column 'x' holds float32, the model takes float64: cast it first"
    assert scorer(floats)["error"].to_pylist() == [text]


def test_a_picture_for_a_model_that_takes_none(tmp_path):
    ends = ([(name, TensorProto.FLOAT, ("N", 3))] for name in "xy")
    scorer = scoring.Scorer(artifact(tmp_path, [helper.make_node("Identity", ["x"], ["y"])], *ends))
    file = io.BytesIO()
    Image.new("L", (4, 4)).save(file, "PNG")
    scored = scorer(pa.table({"path": ["a.png"], "content": [file.getvalue()]}))
    assert scored["error"].to_pylist() == ["the model takes [1, 3], which is no picture: give a Parquet file"]


def test_a_model_that_cannot_be_read_ends_the_script(tmp_path):
    (tmp_path / "bad.octavo").write_bytes(b"nothing")
    for name, text in (("bad.octavo", "is not an artifact"), ("none.octavo", "No such file")):
        arguments = types.SimpleNamespace(model=tmp_path / name, range="0..1", mean="0", std="1")
        with pytest.raises(SystemExit, match=text):
            scoring.scorer_of(arguments)
