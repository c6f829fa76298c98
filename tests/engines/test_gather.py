"""Gather by indices that are fed or computed, on every engine; and what a wrong index is answered with."""

import numpy as np
import octavo
import pytest
from octavo.errors import RunError


def gathered(build, indices, axis, shape=("N", 5, 6, 7), dtype="f32", index="i64"):
    x = build.input("x", dtype, shape)
    i = build.input("i", index, ("I",) * np.ndim(indices))
    return build.program(build.node("Gather", [x, i], dtype, axis=axis))


@pytest.mark.parametrize("axis", [0, 1, 2, 3, -1])
@pytest.mark.parametrize("index", ["i32", "i64"])
@pytest.mark.parametrize("indices", [1, -2, [0, -1, 1, 1, -2], [[1, 0], [-1, -2]], np.zeros((0, 0))])
def test_gather_by_fed_indices(build, same, axis, index, indices):
    indices = np.array(indices, {"i32": np.int32, "i64": np.int64}[index])
    x = np.random.default_rng(0).standard_normal((2, 5, 6, 7)).astype(np.float32)
    same(gathered(build, indices, axis, index=index), {"x": x, "i": indices}, batched=False)


def test_a_table_of_rows(build, same):
    # As a language model looks words up; enough rows that threads share them.
    rng = np.random.default_rng(1)
    table = build.constant("table", rng.standard_normal((300, 48)).astype(np.float32))
    tokens = build.input("tokens", "i64", ("N", "L"))
    program = build.program(build.node("Gather", [table, tokens], "f32", axis=0))
    same(program, {"tokens": rng.integers(-300, 300, (3, 200))})


@pytest.mark.parametrize("bad", [5, -6, 2**62, -(2**63)])
@pytest.mark.parametrize("threads", [1, 2])
def test_an_index_outside_is_an_error_that_names_it(build, bad, threads):
    program = gathered(build, [0], 1)
    x = np.arange(2 * 5 * 6 * 7, dtype=np.float32).reshape(2, 5, 6, 7)
    good = np.array([0, -5, 4])
    wrong = {"x": x, "i": np.array([0, 4, bad, bad])}
    with pytest.raises(RunError):
        octavo.reference.run(program, wrong)
    session = octavo.Session(program, threads=threads)
    for _ in range(2):
        with pytest.raises(RunError, match=rf"Gather node .n0.: index {bad} .element 2. .* 5 .* axis 1"):
            session.run(None, wrong)
        with pytest.raises(RunError, match="index"):
            session.profile(wrong)
        # The session goes on.
        np.testing.assert_array_equal(session.run(None, {"x": x, "i": good})[0], np.take(x, good, axis=1))


def test_no_index_fits_an_empty_axis(build, same):
    program = gathered(build, [0], 1, shape=("N", "M"))
    x = np.zeros((2, 0), np.float32)
    same(program, {"x": x, "i": np.zeros(0, np.int64)}, batched=False)
    with pytest.raises(RunError, match="outside the 0 elements"):
        octavo.Session(program).run(None, {"x": x, "i": np.zeros(1, np.int64)})
