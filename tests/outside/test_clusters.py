"""Ray and Spark clusters of this machine's: what they score and calibrate is what one process does."""

import shutil
from pathlib import Path

import pytest
from scored import EXAMPLES, ROWS, assert_scored, make_data, page_commands, run

pytestmark = pytest.mark.outside

ROOT = Path(__file__).resolve().parents[2]
PYTHON = ROOT / ".outside" / "clusters" / "bin" / "python"


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    assert shutil.which("java"), "Spark needs a Java machine: on Debian, apt-get install default-jre-headless"
    folder = tmp_path_factory.mktemp("clusters")
    return folder, make_data(folder)


@pytest.fixture
def copied(made, tmp_path):
    """A folder with the same files, in which a command of the page can run."""
    return shutil.copytree(made[0], tmp_path / "run")


@pytest.mark.parametrize("script", ["ray_scoring.py", "spark_scoring.py"])
@pytest.mark.parametrize("at", [0, 1], ids=["pictures", "Parquet"])
def test_each_row_is_scored_once(made, copied, script, at):
    arguments = page_commands(script)[at].values[0]
    shown, _ = run(PYTHON, EXAMPLES / script, *arguments, folder=copied)
    _, data, output, *_ = arguments
    assert_scored(copied, data, output, made[1])
    assert f"of {ROWS} rows scored" in shown


@pytest.mark.parametrize("script", ["ray_calibration.py", "spark_calibration.py"])
def test_calibrating_makes_the_artifact_of_one_call(copied, script):
    ((arguments,),) = (param.values for param in page_commands(script))
    run(PYTHON, EXAMPLES / script, *arguments, folder=copied, OCTAVO_THREADS="1")
    assert (copied / arguments[2]).read_bytes() == (copied / "model.octavo").read_bytes()
