"""Float Programs from text, and random numbers."""

import numpy as np
import pytest
from graphs import graph


@pytest.fixture
def floats():
    return graph


@pytest.fixture
def rng():
    return np.random.default_rng(14)
