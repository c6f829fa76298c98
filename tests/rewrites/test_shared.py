"""Weights that share a codebook: k-means, pruning, and what the Program makes of them."""

import numpy as np
import octavo
import pytest
from octavo.program import Node, Program, Value
from octavo.rewrites import Storage, stored_weights
from octavo.rewrites.shared import shared_rows


def reals(rows=24, length=80):
    rng = np.random.default_rng(5)
    return (rng.standard_t(4, (rows, length)) * rng.uniform(0.01, 3, (rows, 1))).astype(np.float32)


@pytest.mark.parametrize("bits", [2, 3, 4, 8])
@pytest.mark.parametrize("pruned", [0.0, 0.3, 0.75])
def test_levels_are_the_means_of_what_is_nearest_to_them(bits, pruned):
    weights = reals()
    rows = shared_rows(weights, Storage(bits, shared=True, pruned=pruned))
    assert len(rows.codebook) <= 1 << bits
    assert np.all(np.diff(rows.codebook) > 0)
    count = int(80 * pruned)
    levels = rows.codebook.astype(np.float64)
    for row, real, places in zip(rows.scales, weights, rows.places, strict=True):
        least = np.sort(np.abs(real))[:count]
        dropped = np.isin(np.abs(real), least)
        assert dropped.sum() == count
        assert not levels[places[dropped]].any()
        times = real[~dropped].astype(np.float64) / row
        errors = np.abs(times[:, None] - levels)
        assert np.allclose(errors[np.arange(len(times)), places[~dropped]], errors.min(1), rtol=0, atol=1e-12)
    if bits <= 4:  # k-means of so few levels has come to rest
        times, weighed = weights / rows.scales.astype(np.float64), np.square(rows.scales.astype(np.float64))
        kept = np.ones(weights.shape, bool)
        np.put_along_axis(
            kept, np.argsort(np.abs(weights), 1, kind="stable")[:, :count], values=False, axis=1
        )
        for place, level in enumerate(levels):
            own = (rows.places == place) & kept
            if own.any() and level:
                mean = np.average(times[own], weights=np.broadcast_to(weighed, own.shape)[own])
                assert abs(mean - level) < 0.03 * (levels[-1] - levels[0])


def test_clusters_err_less_than_even_levels():
    weights = reals()
    rows = shared_rows(weights, Storage(4, shared=True))
    times = weights / rows.scales
    even = np.linspace(times.min(), times.max(), 16)
    nearest = even[np.abs(times[..., None] - even).argmin(-1)] * rows.scales
    assert np.square(rows.dequantize() - weights).sum() < 0.6 * np.square(nearest - weights).sum()


def test_columns_that_weigh_more_are_kept():
    weights = np.tile(np.array([[1, -1.5, 2, 0.5]], np.float32), (3, 10))
    importance = np.where(np.arange(40) % 4 == 3, 100.0, 1.0)[None]
    plain = shared_rows(weights, Storage(4, shared=True, pruned=0.5)).dequantize() != 0
    weighed = shared_rows(weights, Storage(4, shared=True, pruned=0.5), importance).dequantize() != 0
    assert plain[:, :4].tolist() == [[False, True, True, False]] * 3
    assert weighed[:, :4].tolist() == [[False, False, True, True]] * 3


@pytest.mark.parametrize("weights", [np.zeros((3, 40)), np.full((3, 40), 1e-30), np.ones((2, 33))])
def test_rows_of_one_value(weights):
    for pruned in (0.0, 0.5):
        rows = shared_rows(weights.astype(np.float32), Storage(4, shared=True, pruned=pruned))
        made = rows.dequantize()
        kept = made[:, int(weights.shape[1] * pruned) :]
        assert np.allclose(kept, weights[:, int(weights.shape[1] * pruned) :], rtol=1e-3, atol=0)
        assert not made[:, : int(weights.shape[1] * pruned)].any()


def test_no_rows():
    assert shared_rows(np.zeros((0, 40), np.float32), Storage(4, shared=True)).dequantize().shape == (0, 40)


def network():
    rng = np.random.default_rng(1)
    constants = {
        "conv": rng.normal(size=(8, 4, 3, 3)).astype(np.float32),
        "wide": rng.normal(size=(8, 4, 3, 3)).astype(np.float32),
    }
    window = {"strides": [1, 1], "pads": [1, 1, 1, 1], "dilations": [1, 1], "group": 1}
    values = {name: Value(name, "f32", array.shape) for name, array in constants.items()}
    values |= {name: Value(name, "f32", None) for name in ("y", "z")}
    values["x"] = Value("x", "f32", ("N", 4, 6, 6))
    nodes = [
        Node("Conv", "first", ("x", "conv"), ("y",), window),
        Node("ConvTranspose", "second", ("y", "wide"), ("z",), window | {"output_padding": [0, 0]}),
    ]
    return Program(["x"], ["z"], values, constants, nodes)


@pytest.mark.parametrize("bits", [2, 4, 8])
def test_a_program_computes_with_the_levels(bits):
    floats = network()
    program = stored_weights(floats, Storage(bits, shared=True, pruned=0.25))
    assert sum(node.op == "Gather" for node in program.nodes) == 2
    x = np.random.default_rng(2).normal(size=(2, 4, 6, 6)).astype(np.float32)
    (wanted,) = octavo.reference.run(program, {"x": x})
    for isa in octavo.tiers():
        assert octavo.Session(program, isa=isa).run(None, {"x": x})[0].tobytes() == wanted.tobytes()
    rows = shared_rows(floats.constants["conv"].reshape(8, 36), Storage(bits, shared=True, pruned=0.25))
    plain = Program(
        ["x"], ["z"], floats.values,
        {"conv": rows.dequantize().reshape(8, 4, 3, 3), "wide": floats.constants["wide"]}, floats.nodes,
    )  # fmt: skip
    only = stored_weights(floats, Storage(bits, shared=True, pruned=0.25), frozenset({"second"}))
    (one,) = octavo.Session(plain, threads=1).run(None, {"x": x})
    (other,) = octavo.Session(only, threads=1).run(None, {"x": x})
    assert one.tobytes() == other.tobytes()
    assert octavo.program.tensors.tensors(program) == {}
