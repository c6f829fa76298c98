"""What is scored in tests of the examples, and what is to come out."""

import os
import re
import shutil
import subprocess
from pathlib import Path

import numpy as np
import octavo
import pyarrow as pa
import pyarrow.dataset
import pyarrow.parquet
import pytest
from PIL import Image

ROOT = Path(__file__).resolve().parents[2]
EXAMPLES = ROOT / "examples"
MODEL = ROOT / "python" / "octavo" / "demo" / "mnist-cnn.onnx"
ROWS = 150


def page_commands(script):
    """The arguments of each command of docs/clusters.md that runs this script."""
    page = (ROOT / "docs" / "clusters.md").read_text()
    found = re.findall(rf"^\$ python {script} (.*)$", page, re.M)
    assert found
    return [pytest.param(line.split(), id=line) for line in found]


def make_data(folder):
    """The files that the page names, with the same samples as pictures and as Parquet; what is to come out.

    Of the samples, three are bad: picture 40 is none; rows 5 and 7 are null and too short.
    """
    with np.load(MODEL.with_name("images.npz")) as arrays:
        images = arrays["images"][:ROWS]
    with np.load(MODEL.with_name("calibration.npz")) as arrays:
        data = arrays["images"][:60] / np.float32(255)
    shutil.copy(MODEL, folder / "model.onnx")
    np.save(folder / "calibration.npy", data)
    octavo.quantize(MODEL, data).save(folder / "model.octavo")
    (folder / "photos" / "more").mkdir(parents=True)
    for index, image in enumerate(images):
        where = folder / "photos" / ("more" if index % 2 else "")
        Image.fromarray(image[0]).save(where / f"{index:03}.png")
    (folder / "photos" / "040.png").write_bytes(b"no picture")
    rows = [sample.ravel() for sample in images / np.float32(255)]
    rows[5], rows[7] = None, rows[7][:5]
    table = pa.table({"id": np.arange(ROWS), "input": pa.array(rows, pa.list_(pa.float32()))})
    pyarrow.parquet.write_table(table, folder / "samples.parquet", row_group_size=40)
    session = octavo.Session(folder / "model.octavo")
    return [session.run(None, {"input": image[None] / np.float32(255)})[0] for image in images]


ERRORS = {
    "photos/": {40: "this is not a picture that pillow can read (UnidentifiedImageError)"},
    "samples.parquet": {
        5: "column 'input' is null",
        7: "column 'input' holds 5 numbers, the model takes [1, 1, 28, 28]",
    },
}


def run(python, script, *arguments, folder, **environment):
    """What a script of the examples wrote, on standard output and error."""
    found = os.environ | {"PYTHONPATH": os.pathsep.join([str(EXAMPLES), str(ROOT / "python")])} | environment
    command = [python, script, *map(str, arguments)]
    done = subprocess.run(command, cwd=folder, env=found, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr
    return done.stdout, done.stderr


def assert_scored(folder, data, output, wanted):
    """The output holds each row once: with the bits of a session alone, or with its error."""
    table = pyarrow.dataset.dataset(folder / output, format="parquet").to_table()
    assert table.column_names == ["path" if data == "photos/" else "id", "logits", "error"]
    found = {}
    for row in table.to_pylist():
        index = int(Path(row["path"]).stem) if data == "photos/" else row["id"]
        assert index not in found
        found[index] = (row["logits"], row["error"])
    assert sorted(found) == list(range(ROWS))
    errors = {index: error for index, (_, error) in found.items() if error is not None}
    assert errors == ERRORS[data]
    for index, (logits, _) in found.items():
        if index in errors:
            assert logits is None
        else:
            assert np.array(logits, np.float32).tobytes() == wanted[index].tobytes()
