"""The artifacts that the runtime's tests and bench run: the small one is what is written today; all work."""

import zlib
from pathlib import Path

import mixed
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


DIGITS = (8, 1, 28, 28)


@pytest.mark.parametrize(
    ("name", "shape", "digest"),
    [
        ("digits_int8", DIGITS, 0xCCC9AAA9),
        ("digits_float", DIGITS, 0xADC2612A),
        ("mixed_int8", mixed.SHAPE, 0x2DE1A7B2),
    ],
)
def test_digests_of_the_runtime_are_the_reference_s(name, shape, digest):
    """The runtime's own test holds every architecture to these numbers, for the same pictures."""
    program = artifact.load(FOLDER / f"{name}.octavo")
    (spec,) = program.inputs
    (answers,) = octavo.reference.run(program, {spec: mixed.pictures(shape)})
    assert zlib.crc32(answers.tobytes()) == digest


def test_the_mixed_network_has_convolutions_of_every_kind():
    session = octavo.Session(FOLDER / "mixed_int8.octavo", isa=octavo.tiers()[-1])
    kernels = " ".join(row.kernel for row in session.profile({"image": mixed.pictures()}))
    kinds = ["gemm", "depthwise-3x3s1", "depthwise-5x5s2", "depthwise-row", "maxpool", "averagepool"]
    missing = [kind for kind in kinds if kind not in kernels]
    assert not missing or octavo.tiers() == ["scalar"]
