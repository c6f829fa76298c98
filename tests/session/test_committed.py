"""The artifacts that the runtime's tests and bench run: the small one is what is written today; all work."""

import zlib
from pathlib import Path

import numpy as np
import octavo
import pytest
from octavo.program import artifact

FOLDER = Path(__file__).resolve().parents[2] / "rust/runtime/tests/data"
COMMITTED = FOLDER / "small_network.octavo"


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


@pytest.mark.parametrize(("name", "digest"), [("digits_int8", 0xCCC9AAA9), ("digits_float", 0xADC2612A)])
def test_digests_of_the_runtime_are_the_reference_s(name, digest):
    """The runtime's own test holds every architecture to these numbers, for the same pictures."""
    program = artifact.load(FOLDER / f"{name}.octavo")
    pictures = (np.arange(8 * 28 * 28) * 40503 % 65536 / 65536).astype(np.float32).reshape(8, 1, 28, 28)
    (logits,) = octavo.reference.run(program, {"input": pictures})
    assert zlib.crc32(logits.tobytes()) == digest
