"""Float ops spelled out in ops that have integer forms."""

import numpy as np
import pytest
from octavo import reference
from octavo.rewrites import spelled_out


def test_the_same_function(floats, rng):
    text = """g (float[N,6,H,W] x) => (float[N,6,H,W] y) {
        [p] a = PRelu(x, slope) [n] y = BatchNormalization<epsilon = 0.01>(a, scale, bias, mean, var) }"""
    given = {name: rng.normal(size=6).astype("f4") for name in ("scale", "bias", "mean")}
    given |= {"var": rng.uniform(0.1, 2, 6).astype("f4"), "slope": rng.normal(size=(6, 1, 1)).astype("f4")}
    program = floats(text, **given)
    made = spelled_out(program)
    assert [node.op for node in made.nodes] == ["Max", "Min", "Mul", "Add", "Mul", "Add"]
    assert [node.name for node in made.nodes if node.name in "pn"] == ["p", "n"]
    feeds = {"x": rng.normal(size=(2, 6, 3, 5)).astype("f4") * 5}
    for one, other in zip(reference.run(program, feeds), reference.run(made, feeds), strict=True):
        np.testing.assert_allclose(one, other, rtol=2e-6, atol=2e-6)


@pytest.mark.parametrize("slope", [np.array([0.1], "f4"), np.array(0.1, "f4")])
def test_a_table_serves_one_slope(floats, slope):
    program = floats("g (float[N,6] x) => (float[N,6] y) { y = PRelu(x, slope) }", slope=slope)
    assert spelled_out(program).nodes == program.nodes


def test_what_is_not_known_stays(floats):
    text = "g (float[N,6,4] x, float[6,1] slope) => (float[N,6,4] y) { y = PRelu(x, slope) }"
    program = floats(text)
    assert spelled_out(program).nodes == program.nodes
