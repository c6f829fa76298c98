"""A model and data that ship with the package."""

from pathlib import Path

import numpy as np
import octavo
import pytest

DEMO = Path(octavo.__file__).parent / "demo"


@pytest.fixture(scope="session")
def model():
    return DEMO / "mnist-cnn.onnx"


@pytest.fixture(scope="session")
def digits():
    with np.load(DEMO / "calibration.npz") as file:
        return file["images"].reshape(-1, 1, 28, 28).astype(np.float32) / np.float32(255)


@pytest.fixture(scope="session")
def quantized(model, digits):
    return octavo.quantize(model, digits)
