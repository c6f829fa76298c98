"""Statistics of samples that a test makes up, through a session that passes them on."""

import numpy as np
import octavo
import pytest
from octavo.calibration import Statistics
from octavo.program import Node, Program, Value


def passing(*names):
    """A session whose inputs of these names are one-dimensional float32; it gives them back."""
    values = {
        f"{name}{end}": Value(f"{name}{end}", "f32", (f"{name}#",)) for name in names for end in ("", "'")
    }
    nodes = [Node("Identity", name, (name,), (f"{name}'",)) for name in names]
    program = Program(list(names), [f"{name}'" for name in names], values, {}, nodes)
    return octavo.Session(program, threads=1)


@pytest.fixture(scope="session")
def seen():
    """The statistics of these samples of one value, x."""
    session = passing("x")

    def of(samples, *statistics):
        kept = Statistics(["x"], statistics)
        for sample in samples:
            session.observe({"x": np.asarray(sample, np.float32)}, kept)
        return kept

    return of
