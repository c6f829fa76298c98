"""The package where numpy alone is installed beside it."""

import re
import subprocess
import sys
from importlib.metadata import requires

import numpy as np
import octavo
import pytest

HEAVY = ("onnx", "onnx_ir", "onnxscript", "safetensors", "typer", "rich")
BLOCK = f"""
import sys

class Absent:
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] in {HEAVY}:
            raise ModuleNotFoundError(f"No module named {{name!r}}", name=name)

sys.meta_path.insert(0, Absent())
import numpy as np, octavo
"""


def test_numpy_is_all_that_is_required():
    """What a plain install brings; each other library belongs to an extra."""
    required = [re.match(r"[\w-]+", line)[0] for line in requires("octavo") if "extra ==" not in line]
    assert required == ["numpy"]
    extras = {re.match(r"[\w-]+", line)[0] for line in requires("octavo") if "extra == 'quantize'" in line}
    assert {name.replace("-", "_") for name in extras} == set(HEAVY) - {"rich"}  # which typer brings


@pytest.fixture
def without(network_bytes, images, tmp_path):
    """Runs code in an interpreter that cannot import the heavy libraries."""
    (tmp_path / "network.octavo").write_bytes(network_bytes)
    (tmp_path / "model.onnx").write_bytes(b"\x08\x08\x12\x04test")
    np.save(tmp_path / "x.npy", images(1, 16, 16))

    def run(code):
        command = [sys.executable, "-c", BLOCK + code]
        return subprocess.run(command, cwd=tmp_path, capture_output=True, text=True)

    return run


def test_an_artifact_runs(without, network_bytes, images, tmp_path):
    done = without(
        "scores, codes = octavo.Session('network.octavo').run(None, {'x': np.load('x.npy')});"
        "np.savez('answers.npz', scores=scores, codes=codes)"
    )
    assert (done.returncode, done.stderr) == (0, "")
    expected = octavo.Session(network_bytes).run(["scores", "codes"], {"x": images(1, 16, 16)})
    with np.load(tmp_path / "answers.npz") as answers:
        assert answers["scores"].tobytes() == expected[0].tobytes()
        assert answers["codes"].tobytes() == expected[1].tobytes()


def test_the_reference_runs(without):
    done = without(
        "from octavo.session import load_program\n"
        "program, feeds = load_program('network.octavo'), {'x': np.load('x.npy')}\n"
        "[expected, _] = octavo.reference.run(program, feeds)\n"
        "[given, _] = octavo.Session('network.octavo').run(None, feeds)\n"
        "assert expected.tobytes() == given.tobytes()"
    )
    assert (done.returncode, done.stderr) == (0, "")


@pytest.mark.parametrize(
    ("code", "what"),
    [
        ("octavo.quantize", "octavo.quantize"),
        ("octavo.QuantizedModel", "octavo.QuantizedModel"),
        ("octavo.Session('model.onnx')", "running an ONNX model"),
        (
            "from octavo.session import load_program\noctavo.Session(load_program('network.octavo'))",
            "an artifact",
        ),
    ],
)
def test_what_needs_more_says_how_to_get_it(without, code, what):
    done = without(
        f"try:\n    {code.replace(chr(10), chr(10) + '    ')}\nexcept ImportError as error: print(error)"
    )
    assert done.returncode == 0, done.stderr
    [line] = done.stdout.splitlines()
    assert what in line
    assert line.endswith(": pip install 'octavo[quantize]'")
    assert any(f" needs {name}:" in line for name in HEAVY)


def test_the_command_line_says_how_to_get_it(without):
    done = without("from octavo.__main__ import main; main()")
    assert done.returncode == 1
    assert done.stderr == "octavo: error: the command line needs typer: pip install 'octavo[quantize]'\n"
