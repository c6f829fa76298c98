"""Calibration over a Dask cluster of this machine's: the artifact of one call, however it is spread."""

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import octavo
import pytest

ROOT = Path(__file__).resolve().parents[2]
MODEL = ROOT / "python" / "octavo" / "demo" / "mnist-cnn.onnx"

LOST = """
import os
import dask_calibration

plain = dask_calibration.observe

def observe(samples, model):
    try:
        os.close(os.open("lost", os.O_CREAT | os.O_EXCL))
    except FileExistsError:
        return plain(samples, model)
    os._exit(1)  # the first worker that gets here

dask_calibration.observe = observe
if __name__ == "__main__":  # and not in a worker
    dask_calibration.main()
"""


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """With calibration data, and the artifact that one call makes of them."""
    folder = tmp_path_factory.mktemp("dask")
    with np.load(MODEL.with_name("calibration.npz")) as arrays:
        images = arrays["images"][:60]
    data = images / np.float32(255)
    np.save(folder / "data.npy", data)
    octavo.quantize(MODEL, data).save(folder / "wanted.octavo")
    (folder / "lost.py").write_text(LOST)
    return folder


@pytest.mark.parametrize(("script", "partitions"), [("plain", 1), ("plain", 7), ("lost", 5)])
def test_a_cluster_makes_the_artifact_of_one_call(folder, script, partitions):
    example = ROOT / "examples" / "dask_calibration.py"
    command = [
        sys.executable, example if script == "plain" else folder / "lost.py",
        MODEL, folder / "data.npy", folder / "made.octavo", "--partitions", str(partitions),
    ]  # fmt: skip
    environment = os.environ | {"PYTHONPATH": str(example.parent), "OCTAVO_THREADS": "1"}
    done = subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr
    assert (folder / "made.octavo").read_bytes() == (folder / "wanted.octavo").read_bytes()
    assert (folder / "lost").exists() == (script == "lost")
