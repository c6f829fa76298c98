"""The artifact that the runtime's tests and bench run: it is what is written today, and it works."""

from pathlib import Path

import numpy as np
import octavo
import pytest

COMMITTED = Path(__file__).resolve().parents[2] / "rust/runtime/tests/data/small_network.octavo"


def test_the_bytes_are_those_of_the_committed_file(network_bytes):
    # After a change of the format: COMMITTED.write_bytes(network_bytes).
    assert network_bytes == COMMITTED.read_bytes()


@pytest.mark.parametrize("threads", [1, 2])
def test_it_runs_as_the_reference_does(network, images, threads):
    x = images(2, 16, 20)
    session = octavo.Session(COMMITTED, threads=threads)
    expected = octavo.reference.run(network, {"x": x})
    for e, given in zip(expected, session.run(None, {"x": x}), strict=True):
        assert e.tobytes() == given.tobytes()
    assert len(np.unique(expected[1])) > 100  # the codes have not all met the clamp
