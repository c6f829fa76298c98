"""Weights of few bits in products of integers: multiples of a row's step, and whole networks of them."""

import itertools

import numpy as np
import octavo
import pytest
from octavo import _core
from octavo.program import artifact
from octavo.program.factors import factored
from octavo.quantization.multiples import most, nearest_multiples, products_of_multiples, rounded_multiples
from octavo.rewrites import Storage

FOUR = Storage(4, 32)


def test_the_greatest_factor_gives_int8():
    assert [most(Storage(bits)) for bits in (4, 3, 2)] == [18, 42, 127]


@pytest.mark.parametrize("bits", [4, 3, 2])
@pytest.mark.parametrize("group", [32, None])
def test_the_nearest_are_those_of_all(bits, group):
    """Of every factor and every integer, against plain Python."""
    rng = np.random.default_rng(bits)
    reals, steps = rng.normal(size=(2, 3, 70)), rng.uniform(0.01, 0.03, (2, 3))
    importance, storage = rng.uniform(0.1, 3, (2, 70)), Storage(bits, group)
    high = (1 << (bits - 1)) - 1
    integers, factors = nearest_multiples(reals, steps, storage, importance)
    products = products_of_multiples(integers, factors, storage)
    size = group or 70
    for g, row, first in itertools.product(range(2), range(3), range(0, 70, size)):
        part = slice(first, first + size)
        weights, step = reals[g, row, part], steps[g, row]
        tried = []
        for factor in range(1, 127 // high + 1):
            q = [max(-high, min(high, round(w / (step * factor)))) for w in weights]
            error = sum(
                ((step * factor * a - w) ** 2) * i
                for a, w, i in zip(q, weights, importance[g, part], strict=True)
            )
            tried.append((error, factor, q))
        _, factor, q = min(tried, key=lambda of: of[0])
        assert factors[g, row, first // size] == factor
        assert products[g, row, part].tolist() == [factor * a for a in q]


def test_rounded_ones_err_less_than_the_nearest_and_are_multiples():
    rng = np.random.default_rng(5)
    mixed = rng.normal(size=(300, 80)) @ rng.normal(size=(80, 80))
    covariance = np.cov(mixed.T, bias=True)[None]
    reals = rng.normal(size=(1, 12, 80))
    steps = np.abs(reals).max(axis=2) / 127

    def error(weights):
        e = weights * steps[:, :, None] - reals
        return float(np.einsum("grk,gkl,grl->", e, covariance, e))

    nearest = products_of_multiples(*nearest_multiples(reals, steps, FOUR), FOUR)
    made = rounded_multiples(reals, steps, covariance, FOUR, 1)
    assert error(made) < 0.5 * error(nearest)
    form = factored(made[0], "i8")
    assert (form.bits, form.group) == (4, 32)
    assert np.array_equal(made, rounded_multiples(reals, steps, covariance, FOUR, 2))


def test_fitted_scales_are_multiples_of_their_rows_step():
    rng = np.random.default_rng(6)
    covariances = np.cov(rng.normal(size=(90, 40)).T, bias=True)[None]
    weights, steps = rng.normal(size=(1, 5, 40)), rng.uniform(0.01, 0.02, (1, 5))
    scales = 9 * steps[:, :, None].repeat(3, 2)
    arguments = [weights, steps, scales, covariances, 16, (-7, 7), 18, 1]
    integers, fitted = _core.round_in_multiples(*arguments)
    factors = fitted / steps[:, :, None]
    assert np.allclose(factors, np.rint(factors), rtol=0, atol=1e-12)
    factors = np.rint(factors)
    assert factors.min() >= 1
    assert factors.max() <= 18
    assert len(np.unique(factors)) > 3
    assert np.abs(integers).max() == 7
    for place, wrong in ((1, np.ones((1, 4))), (1, np.zeros((1, 5))), (6, 0.5), (6, np.inf)):
        changed = [*arguments[:place], wrong, *arguments[place + 1 :]]
        with pytest.raises(octavo.RunError, match="is not a positive number a row"):
            _core.round_in_multiples(*changed)


@pytest.mark.parametrize("name", ["int8", "int8-strict"])
@pytest.mark.parametrize("effort", ["fast", "default"])
def test_a_network(model, digits, name, effort):
    made = octavo.quantize(model, digits[:60], octavo.Recipe(name, 4, 32), effort=effort)
    whole = octavo.quantize(model, digits[:60], name, effort=effort)
    assert made.report.recipe == f"{name} bits=4 group_size=32"
    told = [warning for warning in made.report.warnings if "rounded to nearest" in warning]
    assert len(told) == (effort == "fast")
    long = [
        made.program.constants[node.inputs[1]]
        for node in made.program.nodes
        if node.op == "QGemm" and made.program.constants[node.inputs[1]].shape[0] >= 32
    ]
    assert long
    for weights in long:
        form = factored(weights, "i8")
        assert (form.bits, form.axis) == (4, 1)
    sizes = [len(artifact.to_bytes(one.program)) for one in (made, whole)]
    assert sizes[0] < 0.65 * sizes[1]
    feeds = {octavo.Session(made).get_inputs()[0].name: digits[60:64]}
    wanted = octavo.reference.run(made.program, feeds)
    for isa in octavo.tiers():
        for expected, found in zip(
            wanted, octavo.Session(made.to_bytes(), isa=isa).run(None, feeds), strict=True
        ):
            assert np.array_equal(expected, found)
