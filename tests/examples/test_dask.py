"""Calibration over a Dask cluster of this machine's: the artifact of one call, however it is spread."""

import sys

import pytest
from scored import EXAMPLES, make_data, page_commands, run

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
    make_data(folder)
    (folder / "lost.py").write_text(LOST)
    return folder


@pytest.mark.parametrize(("script", "partitions"), [("plain", 1), ("plain", 7), ("lost", 5)])
def test_a_cluster_makes_the_artifact_of_one_call(folder, script, partitions):
    path = EXAMPLES / "dask_calibration.py" if script == "plain" else folder / "lost.py"
    ((arguments,),) = (param.values for param in page_commands("dask_calibration.py"))
    run(sys.executable, path, *arguments, "--partitions", partitions, folder=folder, OCTAVO_THREADS="1")
    assert (folder / arguments[2]).read_bytes() == (folder / "model.octavo").read_bytes()
    assert (folder / "lost").exists() == (script == "lost")
