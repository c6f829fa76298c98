"""The solver with a scale and a zero point for each block of a row, against plain numpy."""

import numpy as np
import octavo
import pytest
from octavo import _core


def by_hand(weights, scales, zeros, covariance, block, bounds, precision):
    """GPTQ, descent, and scales fitted in turn, in plain numpy; one row."""
    size = len(weights)
    h = covariance + 0.01 * np.trace(covariance) / size * np.eye(size)
    order = np.argsort(-np.diag(covariance), kind="stable")
    s, z = (of.astype("f8").repeat(block)[:size].copy() for of in (scales, zeros))

    def nearest(k, wanted):
        return np.clip(np.rint(wanted / s[k]), bounds[0] - z[k], bounds[1] - z[k])

    def descended(q):
        for _ in range(3):
            for k in order:
                q[k] = nearest(k, s[k] * q[k] - (s * q - weights) @ h[k] / h[k, k])
        return q

    def error(q):
        return (s * q - weights) @ h @ (s * q - weights)

    upper = np.linalg.cholesky(np.linalg.inv(h[np.ix_(order, order)])).T
    w, q = weights[order].copy(), np.zeros(size)
    for place, k in enumerate(order):
        q[k] = nearest(k, w[place])
        w[place + 1 :] -= (w[place] - s[k] * q[k]) / upper[place, place] * upper[place, place + 1 :]
    starts = [descended(q)]
    if size <= 64:
        starts.append(descended(np.array([nearest(k, weights[k]) for k in range(size)])))
    q = min(starts, key=error)
    for _ in range(2):
        for first in range(0, size, block):
            part = slice(first, first + block)
            slope = ((s * q - weights) @ h)[part] @ q[part]
            curvature = q[part] @ h[part, part] @ q[part]
            if curvature > 0:
                s[part] = precision(s[first] - slope / curvature).astype("f8")
        q = descended(q)
    return q + z, s[::block]


@pytest.mark.parametrize("in_half", [False, True])
@pytest.mark.parametrize(("groups", "k", "block"), [(1, 40, 16), (1, 100, 32), (3, 9, 4), (2, 12, 12)])
def test_the_solver_by_hand(groups, k, block, in_half):
    rng = np.random.default_rng(k)
    mixed = rng.normal(size=(groups, 3 * k, k)) @ rng.normal(size=(groups, k, k))
    covariances = np.stack([np.cov(one.T, bias=True) for one in mixed])
    weights, blocks, bounds = rng.normal(size=(groups, 4, k)), -(-k // block), (0, 15)
    scales = rng.uniform(0.2, 0.3, (groups, 4, blocks))
    zeros = rng.integers(5, 10, (groups, 4, blocks)).astype("f8")
    found = _core.round_in_blocks(weights, scales, zeros, covariances, block, bounds, in_half, 2)
    precision = np.float16 if in_half else np.float32
    for group in range(groups):
        for row in range(4):
            integers, fitted = by_hand(
                weights[group, row], scales[group, row], zeros[group, row], covariances[group], block, bounds,
                precision,
            )  # fmt: skip
            assert found[0][group, row].tolist() == integers.tolist()
            assert found[1][group, row].tolist() == fitted.tolist()


def test_arguments_that_do_not_fit_are_an_error():
    good = [
        np.zeros((1, 2, 8)),
        np.ones((1, 2, 2)),
        np.zeros((1, 2, 2)),
        np.zeros((1, 8, 8)),
        4,
        (-7, 7),
        True,
        1,
    ]
    integers, scales = _core.round_in_blocks(*good)
    assert not integers.any()
    assert (scales == 1).all()
    for place, wrong, says in (
        (1, np.ones((1, 2, 3)), "do not fit together"),
        (2, np.zeros((1, 2, 1)), "do not fit together"),
        (2, np.full((1, 2, 2), 8.0), "a zero point of weights is outside -7..7"),
        (1, np.zeros((1, 2, 2)), "not a positive number"),
        (4, 0, "do not fit together"),
        (4, 3, "do not fit together"),
    ):
        with pytest.raises(octavo.RunError, match=says):
            _core.round_in_blocks(*good[:place], wrong, *good[place + 1 :])
