"""Models and what was seen of them, for the tests of comparisons."""

from pathlib import Path

import numpy as np
import octavo
import pytest
from browsers import browser
from injections import subject
from small import branches, pictures, rows

DEMO = Path(octavo.__file__).parent / "demo"


@pytest.fixture(scope="session")
def digits():
    with np.load(DEMO / "calibration.npz") as file:
        return file["images"].reshape(-1, 1, 28, 28).astype(np.float32) / np.float32(255)


@pytest.fixture(scope="session")
def subjects(digits):
    """Three networks: one that was trained, one of convolutions, one of matrix products."""
    rng = np.random.default_rng(11)
    normal = rng.normal(size=(80, 24)).astype(np.float32)
    photos = pictures(rng, 120)
    return {
        "digits": subject(DEMO / "mnist-cnn.onnx", digits[:60], digits[60:80]),
        "branches": subject(branches(rng), photos[:100], photos[100:]),
        "rows": subject(rows(rng), normal[:60], normal[60:]),
    }


def pytest_terminal_summary(terminalreporter):
    path = browser()
    how = "read as text alone: no Chromium is installed" if path is None else f"shown by {path}"
    terminalreporter.write_line(f"pages of comparisons: {how}")
