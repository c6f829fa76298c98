"""Models that frameworks export, by what docs/exporting.md has them do, and what becomes of them."""

import re
import subprocess
from pathlib import Path

import numpy as np
import octavo

ROOT = Path(__file__).resolve().parents[2]


def page_blocks(section, language):
    """The blocks of code in a section of the page."""
    page = (ROOT / "docs" / "exporting.md").read_text()
    (text,) = re.findall(rf"^## {section}\n(.*?)^## ", page, re.M | re.S)
    return re.findall(rf"^```{language}\n(.*?)^```", text, re.M | re.S)


def run(environment, arguments, folder):
    python = ROOT / ".outside" / environment / "bin" / "python"
    done = subprocess.run([python, *arguments], cwd=folder, capture_output=True, text=True, timeout=600)
    assert done.returncode == 0, done.stderr


def assert_quantizes(folder, samples="samples.npy", answers="answers.npy"):
    """octavo's float answers are the framework's up to rounding, and the integer ones are near."""
    samples, wanted = np.load(folder / samples), np.load(folder / answers)
    session = octavo.Session(folder / "model.onnx")
    (info,) = session.get_inputs()
    assert isinstance(info.shape[0], str)
    (floats,) = session.run(None, {info.name: samples})
    np.testing.assert_allclose(floats, wanted, rtol=1e-4, atol=1e-5)
    model = octavo.quantize(folder / "model.onnx", samples)
    (integers,) = octavo.Session(model).run(None, {info.name: samples})
    noise = np.square(integers.astype(float) - wanted).sum()
    assert 10 * np.log10(np.square(wanted.astype(float)).sum() / noise) > 30
    return model
