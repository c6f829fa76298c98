"""Weights that make up for what products before them lost: against numpy, and in networks."""

from math import prod

import numpy as np
import octavo
import onnx
import onnx.parser
import pytest
from octavo import _core
from octavo.calibration import RULES, ranges
from octavo.lowering import Forms, Range, lower_to_integers
from octavo.program import artifact
from octavo.program.integers import UINT8
from octavo.quantization import stages, targets
from octavo.quantization import work as work_room
from octavo.quantization.columns import columns_of, columns_wanted
from octavo.quantization.matrices import Multiply
from octavo.quantization.products import products_of
from octavo.quantization.recipes import RECIPES
from octavo.quantization.rounding import round_weights
from octavo.quantization.stages import STAGES
from octavo.quantization.targets import Some, Targets, float_results
from octavo.quantization.work import Work

F = np.float32
RIDGES, MARGIN = (0.003, 0.03, 0.3, 3.0), 0.98


def moments_of(x, y):
    """Of columns x [n, K] and what is wanted of them [n, rows]."""
    x_means, y_means = x.mean(axis=0), y.mean(axis=0)
    centred = y - y_means
    return x_means, np.cov(x.T, bias=True), y_means, y.var(axis=0), centred.T @ (x - x_means) / len(x)


def ridge_regression(x, y, ridge):
    _, covariance, _, _, cross = moments_of(x, y)
    return cross @ np.linalg.inv(covariance + ridge * np.trace(covariance) / x.shape[1] * np.eye(x.shape[1]))


def cross_validated(halves):
    """Row by row, with the errors taken over the columns themselves."""
    (x0, y0), (x1, y1) = halves
    rows = y0.shape[1]
    errors, without = np.zeros((len(RIDGES), rows)), np.zeros(rows)
    for (x, y), (held_x, held_y) in (halves, halves[::-1]):
        without += np.square(held_y - y.mean(axis=0)).mean(axis=0)
        for index, ridge in enumerate(RIDGES):
            change = ridge_regression(x, y, ridge)
            bias = y.mean(axis=0) - x.mean(axis=0) @ change.T
            errors[index] += np.square(held_y - held_x @ change.T - bias).mean(axis=0)
    best = errors.argmin(axis=0)
    x, y = np.concatenate([x0, x1]), np.concatenate([y0, y1])
    changes = np.stack([ridge_regression(x, y, RIDGES[best[row]])[row] for row in range(rows)])
    return np.where((errors.min(axis=0) < MARGIN * without)[:, None], changes, 0.0)


@pytest.mark.parametrize(("groups", "rows", "k"), [(1, 5, 3), (1, 12, 40), (4, 2, 9)])
def test_the_solver_against_numpy(groups, rows, k):
    rng = np.random.default_rng(groups + k)
    halves = []
    wanted_change = rng.normal(size=(groups, rows, k))
    for count in (5 * k, 7 * k + 20):
        x = rng.normal(size=(groups, count, k)) @ rng.normal(size=(groups, k, k)) + rng.normal(size=k)
        strength = np.linspace(0, 2, rows)
        y = x @ (wanted_change * strength[:, None]).transpose(0, 2, 1)
        halves.append((x, y + 5 * rng.normal(size=(groups, count, rows))))
    given = []
    for x, y in halves:
        found = zip(*(moments_of(x[group], y[group]) for group in range(groups)), strict=True)
        given.append((x.shape[1], *(np.ascontiguousarray(np.stack(part)) for part in found)))
    changes = _core.fit_weights(tuple(given), 2)
    for group in range(groups):
        wanted = cross_validated([(x[group], y[group]) for x, y in halves])
        np.testing.assert_allclose(changes[group], wanted, rtol=1e-6, atol=1e-9)
    assert 0 < (changes != 0).any(axis=2).sum() < groups * rows or groups > 1


def test_moments_that_do_not_fit_are_an_error():
    good = (
        10,
        np.zeros((1, 3)),
        np.zeros((1, 3, 3)),
        np.zeros((1, 2)),
        np.zeros((1, 2)),
        np.zeros((1, 2, 3)),
    )
    assert _core.fit_weights((good, good), 1).tolist() == [[[0] * 3] * 2]
    for place, wrong in ((0, 0), (1, np.zeros((1, 2))), (2, np.zeros((1, 3, 2))), (5, np.zeros((2, 2, 3)))):
        with pytest.raises(octavo.RunError):
            _core.fit_weights((good, (*good[:place], wrong, *good[place + 1 :])), 1)


def test_products_of_integers_are_exact():
    rng = np.random.default_rng(1)
    left, right = rng.integers(-9, 9, (2, 3, 5)), rng.integers(-9, 9, (2, 5, 4))
    assert np.array_equal(Multiply(1)(left.astype(F), right.astype(F)), left @ right)


def network(text, rng, **shapes):
    proto = onnx.parser.parse_model(f'<ir_version: 10, opset_import: ["" : 21]> {text}')
    for name, shape in shapes.items():
        array = rng.normal(size=shape) / np.sqrt(np.prod(shape[1:]))
        proto.graph.initializer.append(onnx.numpy_helper.from_array(array.astype(F), name))
    return proto


@pytest.fixture
def rng():
    return np.random.default_rng(8)


@pytest.fixture
def pictures(rng):
    text = """g (float[N,3,12,12] x) => (float[N,6] y) {
        a = Conv<pads = [1,1,1,1]>(x, w1, b1) r = Relu(a)
        d = Conv<pads = [1,1,1,1], group = 8>(r, w2) e = Relu(d)
        c = Conv<strides = [2,2], pads = [0,0,1,1]>(e, w3) s = Add(c, c) t = Relu(s)
        p = GlobalAveragePool(t) f = Flatten(p) y = Gemm<transB = 1>(f, w4, b4) }"""
    proto = network(
        text, rng, w1=(8, 3, 3, 3), b1=(8,), w2=(8, 1, 3, 3), w3=(16, 8, 3, 3), w4=(6, 16), b4=(6,)
    )
    return proto, (rng.normal(size=(60, 3, 12, 12)).cumsum(axis=2).cumsum(axis=3) / 6).astype(F)


def lowered(proto, data):
    work = Work(proto, data, RECIPES["int8"], [RULES["minmax"]], threads=1)
    for name in ("load", "measure shapes", "calibrate", "lower"):
        STAGES[name](work)
    return work


def test_float_results_are_those_of_the_columns(pictures, monkeypatch):
    """Of each product, in the places that its columns are of, whatever is held at a time."""
    work = lowered(*pictures)
    feeds, program = work.calibration.kept.feeds, work.lowered.program
    products = products_of(work.floats, work.lowered)
    shapes = [program.constants[product.weight].shape for product in products]
    assert [product.node.op for product in products] == ["QConv", "QConv", "QConv", "QGemm"]
    some = [
        Some(
            product.before,
            1 if product.node.op == "QConv" else -1,
            columns_wanted(prod(shape[1:]) if product.node.op == "QConv" else shape[0], len(feeds)),
        )
        for product, shape in zip(products, shapes, strict=True)
    ]
    results = list(float_results(work.floats, some, feeds, 1))
    for product, shape, result in zip(products, shapes, results, strict=True):
        source = product.node.inputs[0]
        integers = [
            octavo.Session(stages.replace(program, outputs=[source]), 1).run(None, one)[0] for one in feeds
        ]
        columns = columns_of(product.node, integers, UINT8, len(feeds), shape)
        reals = work.lowered.weights[product.weight].astype(np.float64)
        rows = (
            reals.T[None]
            if product.node.op == "QGemm"
            else reals.reshape(columns.integers.shape[0], -1, columns.integers.shape[2])
        )
        x = columns.integers.astype(np.float64) - columns.zero_point
        made = (
            np.concatenate(list(x @ rows.transpose(0, 2, 1)), axis=1) * program.values[source].quant.scale[0]
        )
        made, wanted = made - made.mean(axis=0), result - result.mean(axis=0)
        assert np.square(made - wanted).sum() < 1e-2 * np.square(wanted).sum()
    for memory, threads in ((1, 1), (200_000, 2)):
        monkeypatch.setattr(targets, "_MEMORY", memory)
        again = list(float_results(work.floats, some, feeds, threads))
        assert [one.tobytes() for one in again] == [one.tobytes() for one in results]


def clipped(proto, data):
    """A network whose hidden values are cut off at half of what they reach to."""
    work = lowered(proto, data)
    seen = ranges(work.calibration.statistics, RULES["minmax"])
    forms = Forms(seen | {"r": Range(0.0, seen["r"].max / 2)})
    work.lowered = lower_to_integers(work.floats, forms)
    return work


def noise(program, proto, data):
    (made,), (wanted,) = (octavo.Session(of, threads=1).run(None, {"x": data}) for of in (program, proto))
    return np.square(made.astype(np.float64) - wanted).sum() / np.square(wanted.astype(np.float64)).sum()


@pytest.fixture
def hidden(rng):
    text = "g (float[N,8] x) => (float[N,4] y) { a = MatMul(x, w) r = Relu(a) y = MatMul(r, v) }"
    return network(text, rng, w=(8, 12), v=(12, 4)), rng.normal(size=(160, 8)).astype(F)


def test_weights_make_up_for_what_was_lost_before_them(hidden):
    proto, data = hidden
    work = clipped(proto, data[:96])
    feeds = work.calibration.kept.feeds
    own, changed = (round_weights(work.floats, work.lowered, feeds, 1, fit=fit) for fit in (False, True))
    assert noise(changed.program, proto, data[96:]) < 0.9 * noise(own.program, proto, data[96:])
    assert changed.program.nodes == own.program.nodes
    for name, array in changed.program.constants.items():
        assert (array.dtype, array.shape) == (
            own.program.constants[name].dtype,
            own.program.constants[name].shape,
        )


def rows_of(hidden, samples):
    """What the second product's weights are, and what they become."""
    work = clipped(hidden[0], hidden[1][:samples])
    feeds, program = work.calibration.kept.feeds, work.lowered.program
    products = products_of(work.floats, work.lowered)
    shapes = [program.constants[product.weight].shape for product in products]
    made = Targets(work.floats, products, shapes, feeds, 1)
    for product, shape in zip(products, shapes, strict=True):
        session = octavo.Session(stages.replace(program, outputs=[product.node.inputs[0]]), 1)
        columns = columns_of(
            product.node, [session.run(None, one)[0] for one in feeds], UINT8, len(feeds), shape
        )
        reals = work.lowered.weights[product.weight].astype(np.float64).T[None]
        found = made.next(product, program, reals, columns)
    return reals, found, columns


def test_rows_stay_where_each_sample_has_one_column_and_these_are_few(hidden, monkeypatch):
    for samples, changes in ((47, False), (48, True)):
        reals, found, _ = rows_of(hidden, samples)
        assert np.array_equal(reals, found) != changes
    monkeypatch.setattr(targets, "LONGEST", 11)
    reals, found, _ = rows_of(hidden, 64)
    assert np.array_equal(reals, found)


def test_blocks_are_added_up(hidden, monkeypatch):
    """Sums of few columns at a time are those of all at once, but for the rounding of float32."""
    reals, whole, _ = rows_of(hidden, 64)
    monkeypatch.setattr(targets, "BLOCK", 7 * 12)
    _, parts, columns = rows_of(hidden, 64)
    assert len(columns) == 64
    np.testing.assert_allclose(parts, whole, atol=1e-5)
    assert np.abs(whole - reals).max() > 1e-2


@pytest.mark.parametrize(
    ("seen", "back", "taken"), [(0.9, 0.9, True), (1.0, 0.9, False), (0.9, 1.0, False), (1.1, 1.1, False)]
)
def test_they_are_taken_where_the_network_errs_less_on_all_samples(hidden, monkeypatch, seen, back, taken):
    """On two thirds of them, which the weights are made for, and on the rest."""
    work, asked = clipped(hidden[0], hidden[1][:60]), []
    before, made = work.lowered, stages.replace(work.lowered)

    def rounded(floats, lowered, feeds, threads, *, storage, fit):
        asked.append((len(feeds), fit))
        return made

    class Judged:
        def __init__(self, floats, like, feeds, threads):
            self.share = {40: seen, 20: back}[len(feeds)]

        def error(self, lowered):
            return self.share if lowered is made else 1.0

    monkeypatch.setattr(work_room, "round_weights", rounded)
    monkeypatch.setattr(stages, "Judge", Judged)
    stages.fit_weights(work)
    assert asked == [(40, True)]
    assert work.lowered is (made if taken else before)
    assert work.is_fitted is taken


def test_few_samples_are_not_followed(hidden, monkeypatch):
    monkeypatch.setattr(work_room, "round_weights", None)
    work = clipped(hidden[0], hidden[1][: stages.FEWEST_KEPT - 1])
    stages.fit_weights(work)
    stages.search_ranges(work)
    assert not work.is_fitted
    work = clipped(hidden[0], hidden[1][: stages.FEWEST_KEPT])
    with pytest.raises(TypeError):
        stages.fit_weights(work)


def test_the_best_effort_gives_the_same_bytes_in_any_order_and_on_any_number_of_threads(pictures):
    proto, data = pictures
    results = {
        artifact.to_bytes(octavo.quantize(proto, order, effort="best", threads=threads).program)
        for order, threads in ((data, 1), (data[::-1], 2), (np.roll(data, 7, axis=0), 1))
    }
    assert len(results) == 1


def test_instruction_sets_do_not_show(pictures, monkeypatch):
    proto, data = pictures
    results = set()
    for isa in octavo.tiers():
        monkeypatch.setenv("OCTAVO_ISA", isa)
        results.add(artifact.to_bytes(octavo.quantize(proto, data, effort="best", threads=1).program))
    assert len(results) == 1


def test_the_report_says_what_the_best_effort_did(hidden):
    report = octavo.quantize(*hidden, effort="best").report
    assert report.stages == list(RECIPES["int8"].stages)
    assert ("weights make up for" in str(report)) == report.is_fitted
    assert ("ranges of their own" in str(report)) == bool(report.own_ranges)
    assert report.to_dict()["own_ranges"] == report.own_ranges
