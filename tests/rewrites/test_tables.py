"""Tables that rows are picked from, in integers: which, and what the rows become."""

from fractions import Fraction

import numpy as np
import octavo
import pytest
from octavo import reference
from octavo.program.artifact import to_bytes
from octavo.program.integers import INT8
from octavo.program.validate import validate
from octavo.rewrites import stored_tables

TEXT = "g (int64[N,L] ids) => (float y) { y = Gather<axis=0>(t, ids) }"


def table(rng, shape=(600, 8)):
    """Rows of very unlike sizes, one of them all zeros."""
    made = rng.normal(size=shape) * 10.0 ** rng.uniform(-6, 4, size=(shape[0], *[1] * (len(shape) - 1)))
    made[3] = 0
    return made.astype("f4")


@pytest.mark.parametrize("shape", [(600, 8), (300, 2, 7), (512, 3, 2, 2)])
@pytest.mark.parametrize("axis", ["0", "-rank"])
def test_a_row_is_its_integers_times_its_scale(floats, rng, shape, axis):
    rows = table(rng, shape)
    text = TEXT.replace("axis=0", f"axis={0 if axis == '0' else -len(shape)}")
    program = stored_tables(floats(text, t=rows), INT8)
    validate(program)
    ids = rng.integers(-len(rows), len(rows), (5, 9))
    [picked] = reference.run(program, {"ids": ids})
    for index, row in zip(ids.ravel(), picked.reshape(-1, *shape[1:]), strict=True):
        real = rows[index].ravel()
        scale = max(np.float32(np.abs(real).max() / np.float32(127)), np.float32(2.0**-126))
        integers = [round(Fraction(float(x)) / Fraction(float(scale))) for x in real]
        assert row.ravel().tolist() == [np.float32(max(-127, min(127, q))) * scale for q in integers]
    assert sum(array.nbytes for array in program.constants.values()) == rows.size + 4 * len(rows)
    session = octavo.Session(program, threads=2)
    assert session.run(None, {"ids": ids})[0].tobytes() == picked.tobytes()


@pytest.mark.parametrize(
    ("text", "shape"),
    [
        (TEXT.replace("axis=0", "axis=1"), (600, 8)),
        (TEXT, (600,)),
        (TEXT, (511, 8)),  # small
        (TEXT, (5000, 7)),  # of short rows
        ("g (int64[N] i) => (float y, float z) { y = Gather(t, i) z = MatMul(t, t) }", (64, 64)),
        (
            "g (int64[N] i) => (float y, float z) { y = Gather(t, i) z = Gather<axis=1>(t, i) }",
            (64, 64),
        ),
        ("g (int64[N] i) => (float y, float t) { y = Gather(t, i) }", (64, 64)),
        ("g (float[3] x) => (float y) { y = Add(x, t) }", (64, 3, 64, 3)),
    ],
)
def test_what_is_no_table_stays(floats, rng, text, shape):
    program = floats(text, t=rng.normal(size=shape).astype("f4"))
    assert to_bytes(stored_tables(program, INT8)) == to_bytes(program)


def test_what_is_excluded_or_not_finite_stays(floats, rng):
    rows = table(rng)
    program = floats(TEXT, t=rows)
    kept = frozenset({program.nodes[0].name})
    assert to_bytes(stored_tables(program, INT8, kept)) == to_bytes(program)
    for wrong in (np.nan, np.inf):
        rows[5, 5] = wrong
        program = floats(TEXT, t=rows)
        assert to_bytes(stored_tables(program, INT8)) == to_bytes(program)


def test_two_readers_share_a_table(floats, rng):
    program = floats(
        """g (int64[N] a, int64[M] b) => (float y, float z) { y = Gather(t, a) z = Gather(t, b) }""",
        t=table(rng),
    )
    made = stored_tables(program, INT8)
    assert sorted(array.dtype.str for array in made.constants.values()) == ["<f4", "|i1"]
    feeds = {"a": np.array([1, 599]), "b": np.array([599, 0, 7])}
    y, z = reference.run(made, feeds)
    assert y[1].tolist() == z[0].tolist()


def test_an_embedding_is_stored_by_every_recipe_and_shapes_are_kept():
    import onnx
    import onnx.parser

    rng = np.random.default_rng(2)
    proto = onnx.parser.parse_model(
        """<ir_version: 10, opset_import: ["" : 21]> g (int64[N,L] ids) => (float[N,L,8] y) {
        e = Gather(t, ids) y = MatMul(e, w) }"""
    )
    proto.graph.node[0].name = "embedding"
    arrays = {"t": rng.normal(size=(1000, 8)).astype("f4"), "w": rng.normal(size=(8, 8)).astype("f4")}
    for name, array in arrays.items():
        proto.graph.initializer.append(onnx.numpy_helper.from_array(array, name))
    feeds = [{"ids": rng.integers(0, 1000, (1, 16))} for _ in range(40)]
    [float_answer] = octavo.Session(proto).run(None, feeds[0])
    for model in (octavo.quantize(proto, feeds), octavo.quantize(proto, recipe="weight-only")):
        assert "store tables" in model.report.stages
        assert model.report.integer_bytes < 1000 * 8 + 4 * 1000 + 600 < model.report.float_bytes
        assert model.program.values["e"].shape == ("N", "L", 8)
        [answer] = octavo.Session(model).run(None, feeds[0])
        assert 0 < np.square(answer - float_answer).sum() < 1e-3 * np.square(float_answer).sum()
    kept = octavo.quantize(proto, feeds, exclude=["embedding"])
    assert kept.report.integer_bytes > 4 * 1000 * 8
