"""Statistics of samples that a test makes up, through a session that passes them on."""

import numpy as np
import octavo
import pytest
from octavo.calibration import Statistics
from octavo.program import Node, Program, Value


@pytest.fixture(scope="session")
def seen():
    """The statistics of these samples of one value, x."""
    values = {name: Value(name, "f32", ("N",)) for name in "xy"}
    session = octavo.Session(
        Program(["x"], ["y"], values, {}, [Node("Identity", "passed on", ("x",), ("y",))]), threads=1
    )

    def of(samples, *statistics):
        kept = Statistics(["x"], statistics)
        for sample in samples:
            session.observe({"x": np.asarray(sample, np.float32)}, kept)
        return kept

    return of
