"""Quantize to columns: of each row of the last axis, elements each by a scale and a zero point of its own."""

import numpy as np
import octavo
import pytest
from octavo.errors import ArtifactError, RunError

F = np.float32


def quantized(x, scale, zero_point, columns):
    """`clamp(rne(x[column] / scale + zero_point), 0, 255)` element by element, float32 at each step."""
    out = np.zeros((*x.shape[:-1], len(columns)), np.uint8)
    for at in np.ndindex(out.shape):
        s, z = scale[at[-1]], zero_point[at[-1]]
        with np.errstate(all="ignore"):
            place = F(x[(*at[:-1], columns[at[-1]])] / s) + z
        place = float(z) if np.isnan(place) else float(place)
        out[at] = round(min(max(place, 0.0), 255.0))
    return out


def columns_of(rng, width, count):
    """Those of the input in their order first, as far as they go, then any."""
    columns = rng.integers(0, width, count)
    columns[: min(width, count)] = np.arange(width)[:count]
    return columns


@pytest.mark.parametrize("extra", [-3, 0, 1, 63, 64, 200])
@pytest.mark.parametrize("shape", [(7,), (5, 64), (2, 3, 130), (2, 3, 4, 21)])
def test_columns_of_any_number(build, same, shape, extra):
    """Also of the first features alone, and of values that lie with their channels last."""
    rng = np.random.default_rng(shape[-1] + extra)
    count = shape[-1] + extra
    scale = rng.uniform(0.01, 0.2, count).astype(F)
    zero_point = rng.choice([0, 128, 255, -127, 382, -1000.5, 77.25], count).astype(F)
    columns = columns_of(rng, shape[-1], count)
    x = build.input(
        "x", "f32", (*("N" if axis == 0 < len(shape) - 1 else n for axis, n in enumerate(shape)),)
    )
    parts = [build.constant(name, part) for name, part in (("s", scale), ("z", zero_point), ("c", columns))]
    q = build.node("Quantize", [x, *parts])
    data = rng.normal(size=shape).astype(F) * 20
    data.flat[:5] = [np.nan, np.inf, -np.inf, 0.0, 1e30]
    [found] = same(build.program(q), {x: data}, batched=len(shape) > 1)
    np.testing.assert_array_equal(found, quantized(data, scale, zero_point, columns))


def test_columns_in_another_order(build, same):
    columns = np.array([2, 0, 1, 1])
    x = build.input("x", "f32", ("N", 3))
    parts = [build.constant("s", np.ones(4, F)), build.constant("z", np.arange(4, dtype=F))]
    q = build.node("Quantize", [x, *parts, build.constant("c", columns)])
    [found] = same(build.program(q), {x: np.array([[10, 20, 30]], F)})
    assert found.tolist() == [[30, 11, 22, 23]]


def test_no_rows(build, same):
    x = build.input("x", "f32", ("N", 3))
    parts = [build.constant("s", np.ones(4, F)), build.constant("z", np.zeros(4, F))]
    q = build.node("Quantize", [x, *parts, build.constant("c", np.array([0, 1, 2, 2]))])
    [found] = same(build.program(q), {x: np.zeros((0, 3), F)}, batched=False)
    assert found.shape == (0, 4)


@pytest.mark.parametrize("shape", [("N", 3), ()])
def test_places_that_the_input_does_not_have(build, shape):
    """Found with the Program, where its shapes say it."""
    x = build.input("x", "f32", shape)
    parts = [build.constant("s", np.ones(1, F)), build.constant("z", np.zeros(1, F))]
    program = build.program(build.node("Quantize", [x, *parts, build.constant("c", np.array([3]))]))
    text = "no axis to take columns from" if shape == () else "a place beyond the 3 of its input"
    with pytest.raises(ArtifactError, match=text):
        octavo.program.artifact.to_bytes(program)


@pytest.mark.parametrize("run", [octavo.reference.run, lambda p, feeds: octavo.Session(p).run(None, feeds)])
def test_places_that_a_run_does_not_have(build, run):
    x = build.input("x", "f32", ("N", "C"))
    parts = [build.constant("s", np.ones(1, F)), build.constant("z", np.zeros(1, F))]
    program = build.program(build.node("Quantize", [x, *parts, build.constant("c", np.array([3]))]))
    with pytest.raises(RunError, match="a column is taken from 3, of an axis of 2"):
        run(program, {x: np.zeros((1, 2), F)})
