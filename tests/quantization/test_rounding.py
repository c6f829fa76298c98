"""Weights made for their columns, against GPTQ as its paper has it, in numpy; and whole networks."""

from dataclasses import replace

import numpy as np
import octavo
import onnx
import onnx.parser
import pytest
from octavo import _core
from octavo.calibration import RULES
from octavo.program import artifact
from octavo.quantization import rounding
from octavo.quantization import work as work_room
from octavo.quantization.columns import Columns
from octavo.quantization.recipes import RECIPES
from octavo.quantization.rounding import Rows, error_over, fair_weights, round_weights
from octavo.quantization.stages import STAGES
from octavo.quantization.work import Work

F = np.float32


def by_the_paper(weights, scale, covariance, low, high, sweeps=3):
    """GPTQ with the inverse's factor (Frantar and others, 2022), then coordinate descent; one row."""
    size = len(weights)
    damped = covariance + 0.01 * np.trace(covariance) / size * np.eye(size)
    order = np.argsort(-np.diag(covariance), kind="stable")
    h, w = damped[np.ix_(order, order)], weights[order].copy()
    upper = np.linalg.cholesky(np.linalg.inv(h)).T
    integers = np.zeros(size)
    for k in range(size):
        integers[k] = np.clip(np.rint(w[k] / scale), low, high)
        w[k + 1 :] -= (w[k] - scale * integers[k]) / upper[k, k] * upper[k, k + 1 :]
    starts = [integers, np.clip(np.rint(weights[order] / scale), low, high)][: 2 if size <= 64 else 1]
    best = None
    for q in starts:
        for _ in range(sweeps):
            for k in range(size):
                error = scale * q - weights[order]
                q[k] = np.clip(np.rint(q[k] - error @ h[k] / h[k, k] / scale), low, high)
        error = scale * q - weights[order]
        total = error @ h @ error
        if best is None or total < best[0]:
            best = total, q
    found = np.zeros(size)
    found[order] = best[1]
    return found


@pytest.mark.parametrize(("groups", "rows", "k"), [(1, 5, 3), (1, 7, 27), (1, 2, 100), (6, 2, 9)])
def test_the_solver_against_the_paper(groups, rows, k):
    rng = np.random.default_rng(groups + k)
    mixed = rng.normal(size=(groups, 3 * k, k)) @ rng.normal(size=(groups, k, k))
    covariances = np.stack([np.cov(one.T, bias=True) for one in mixed])
    weights = rng.normal(size=(groups, rows, k))
    scales = np.abs(weights).max(axis=2) / rng.uniform(100, 127, (groups, rows))
    found = _core.round_weights(weights, scales, covariances, (-127, 127), 2)
    for group in range(groups):
        for row in range(rows):
            wanted = by_the_paper(weights[group, row], scales[group, row], covariances[group], -127, 127)
            assert found[group, row].tolist() == wanted.tolist()


def test_arguments_that_do_not_fit_are_an_error():
    good = [np.zeros((1, 2, 3)), np.ones((1, 2)), np.zeros((1, 3, 3)), (-127, 127), 1]
    assert _core.round_weights(*good).tolist() == [[[0] * 3] * 2]
    for place, wrong in (
        (0, np.zeros((1, 3, 2))),
        (1, np.zeros((1, 2))),
        (2, np.zeros((1, 2, 3))),
        (3, (0, 128)),
    ):
        with pytest.raises(octavo.RunError):
            _core.round_weights(*good[:place], wrong, *good[place + 1 :])


def test_errors_over_columns_against_integers():
    rng = np.random.default_rng(2)
    columns = Columns(rng.integers(0, 256, (2, 40, 5), np.uint8), 9)
    errors = rng.integers(-3, 4, (2, 3, 5)).astype(F)
    made = errors.astype(np.int64) @ (columns.integers.astype(np.int64) - 9).transpose(0, 2, 1)
    wanted = ((made - made.mean(axis=-1, keepdims=True)) ** 2).sum()
    assert error_over(errors, columns, 1) == pytest.approx(wanted, rel=1e-12)


def network(rng, text, **weights):
    proto = onnx.parser.parse_model(f'<ir_version: 10, opset_import: ["" : 21]> {text}')
    for name, array in weights.items():
        proto.graph.initializer.append(onnx.numpy_helper.from_array(np.asarray(array, F), name))
    return proto


@pytest.fixture
def rng():
    return np.random.default_rng(17)


@pytest.fixture
def smooth(rng):
    """Pictures whose neighbouring pixels are alike, and a network of every kind of convolution."""
    text = """g (float[N,3,12,12] x) => (float[N,10] y) {
        a = Conv<pads = [1,1,1,1]>(x, w1, b1) r = Relu(a)
        d = Conv<pads = [1,1,1,1], group = 16>(r, w2, b2) e = Clip(d, zero, six)
        c = Conv<strides = [2,2], pads = [0,0,1,1]>(e, w3) s = Relu(c)
        p = GlobalAveragePool(s) f = Flatten(p) y = Gemm<transB = 1>(f, w4, b4) }"""
    proto = network(
        rng,
        text,
        w1=rng.normal(size=(16, 3, 3, 3)) / 4,
        b1=rng.normal(size=16) / 4,
        w2=rng.normal(size=(16, 1, 3, 3)) / 2,
        b2=rng.normal(size=16),
        w3=rng.normal(size=(24, 16, 3, 3)) / 4,
        w4=rng.normal(size=(10, 24)),
        b4=rng.normal(size=10),
        zero=0.0,
        six=6.0,
    )
    steps = rng.normal(size=(60, 3, 12, 12)).cumsum(axis=2).cumsum(axis=3)
    return proto, (steps / 6).astype(F)


def noise(model, proto, data):
    (made,), (wanted,) = (octavo.Session(of, threads=1).run(None, {"x": data}) for of in (model, proto))
    return np.square(made.astype(np.float64) - wanted).sum() / np.square(wanted.astype(np.float64)).sum()


def lowered(proto, data):
    work = Work(proto, data, RECIPES["int8"], [RULES["minmax"]], threads=1)
    for name in ("load", "measure shapes", "calibrate", "lower"):
        STAGES[name](work)
    return work


def test_a_network_errs_less_on_samples_that_its_weights_were_not_made_for(smooth):
    proto, data = smooth
    work = lowered(proto, data[:40])
    made = round_weights(work.floats, work.lowered, work.calibration.kept.feeds, 1)
    assert noise(made.program, proto, data[40:]) < 0.6 * noise(work.lowered.program, proto, data[40:])
    assert noise(made.program, proto, data[:40]) < 0.5 * noise(work.lowered.program, proto, data[:40])


def test_only_the_elements_of_weights_and_biases_change(smooth):
    proto, data = smooth
    work = lowered(proto, data[:40])
    before = artifact.to_bytes(work.lowered.program)
    made = round_weights(work.floats, work.lowered, work.calibration.kept.feeds, 1)
    assert artifact.to_bytes(work.lowered.program) == before
    old, new = work.lowered.program, made.program
    assert replace(made, program=old) == work.lowered
    assert (new.nodes, new.values, new.inputs, new.outputs) == (
        old.nodes,
        old.values,
        old.inputs,
        old.outputs,
    )
    changed = set()
    for name, array in new.constants.items():
        assert (array.dtype, array.shape) == (old.constants[name].dtype, old.constants[name].shape)
        if array.tobytes() != old.constants[name].tobytes():
            changed.add(name)
            if array.dtype == np.int8:  # made up for by neighbours, so never far from nearest
                assert np.abs(array.astype(int) - old.constants[name]).max() <= 6
    products = [node for node in old.nodes if node.op in ("QConv", "QGemm")]
    assert len(products) == 4
    assert changed == {name for node in products for name in node.inputs[1:3]}


def test_the_same_weights_in_any_order_of_samples_and_on_any_number_of_threads(smooth):
    proto, data = smooth
    results = set()
    for order, threads in ((data[:40], 1), (data[:40][::-1], 2), (np.roll(data[:40], 7, axis=0), 1)):
        results.add(artifact.to_bytes(octavo.quantize(proto, order, threads=threads).program))
    assert len(results) == 1


def test_few_columns_leave_weights_as_they_are(rng):
    """A Gemm has a column a sample."""
    proto = network(rng, "g (float[N,8] x) => (float[N,4] y) { y = MatMul(x, w) }", w=rng.normal(size=(8, 4)))
    base = rng.normal(size=(80, 3)) @ rng.normal(size=(3, 8))
    for count, changes in ((rounding.FEWEST_COLUMNS - 1, False), (rounding.FEWEST_COLUMNS, True)):
        work = lowered(proto, base[:count].astype(F))
        made = round_weights(work.floats, work.lowered, work.calibration.kept.feeds, 1).program
        (weight,) = (node.inputs[1] for node in made.nodes if node.op == "QGemm")
        assert (
            made.constants[weight].tobytes() != work.lowered.program.constants[weight].tobytes()
        ) == changes


def test_weights_that_would_only_fit_their_own_columns_are_refused(rng):
    """More weights a row than columns, and columns that have nothing in common."""
    wide = 300
    proto = network(
        rng, f"g (float[N,{wide}] x) => (float[N,4] y) {{ y = MatMul(x, w) }}", w=rng.normal(size=(wide, 4))
    )
    alone = rng.normal(size=(40, wide)).astype(F)
    alike = (rng.normal(size=(40, 2)) @ rng.normal(size=(2, wide))).astype(F)
    for data, changes in ((alone, False), (alike, True)):
        work = lowered(proto, data)
        made = round_weights(work.floats, work.lowered, work.calibration.kept.feeds, 1).program
        (weight,) = (node.inputs[1] for node in made.nodes if node.op == "QGemm")
        assert (
            made.constants[weight].tobytes() != work.lowered.program.constants[weight].tobytes()
        ) == changes


def test_weights_that_two_products_share_stay(rng):
    text = "g (float[N,8] x) => (float[N,8] y) { a = MatMul(x, w) r = Relu(a) y = MatMul(r, w) }"
    proto = network(rng, text, w=rng.normal(size=(8, 8)))
    work = lowered(proto, rng.normal(size=(60, 8)).astype(F))
    readers = [node.inputs[1] for node in work.lowered.program.nodes if node.op == "QGemm"]
    made = round_weights(work.floats, work.lowered, work.calibration.kept.feeds, 1).program
    if len(set(readers)) == 1:
        assert made.constants[readers[0]].tobytes() == work.lowered.program.constants[readers[0]].tobytes()
    assert noise(made, proto, rng.normal(size=(60, 8)).astype(F)) < 1e-3


def test_rows_of_every_product(rng):
    """What is arranged is what was taken apart."""
    reals = rng.normal(size=(6, 2, 3, 3))
    rows = Rows(reals.reshape(3, 2, 18), np.full((3, 2), 0.5), rounding.WEIGHTS["i8"], reals.shape)
    nearest = rows.arranged(rows.nearest())
    assert np.array_equal(nearest, np.rint(reals / 0.5).astype(np.int8))
    made = rows.errors(rows.nearest())
    np.testing.assert_allclose(made.reshape(reals.shape), nearest * 0.5 - reals, atol=1e-7)
    assert rows.some().reals.shape == (3, 2, 18)
    many = Rows(rng.normal(size=(1, 200, 4)), np.ones((1, 200)), rounding.WEIGHTS["i8"], None)
    assert many.some().reals.shape == (1, 50, 4)
    assert many.arranged(many.nearest()).shape == (4, 200)


def test_fast_leaves_out_what_looks_at_samples_again(smooth, monkeypatch):
    proto, data = smooth
    monkeypatch.setattr(work_room, "round_weights", None)
    model = octavo.quantize(proto, data, effort="fast")
    assert "round weights" not in model.report.stages
    assert model.report.stages[-1] == "report"
    with pytest.raises(octavo.ModelError, match="no effort is called 'most'; there are fast, default, best"):
        octavo.quantize(proto, data, effort="most")
    with pytest.raises(octavo.ModelError, match="no effort is called"):
        octavo.quantize(proto, data, effort=["fast"])


def test_the_fair_network_has_the_same_weights_and_biases_of_no_range(smooth):
    """What its biases make up for is known of the weights' errors alone: E[(s q - w) x] over the columns."""
    proto, data = smooth
    work = lowered(proto, data[:40])
    feeds = work.calibration.kept.feeds
    fair = fair_weights(work.floats, work.lowered, feeds, 1).program
    program = round_weights(work.floats, work.lowered, feeds, 1).program
    first = next(node for node in fair.nodes if node.op == "QConv")
    assert np.array_equal(fair.constants[first.inputs[1]], program.constants[first.inputs[1]])
    made = {name for node in fair.nodes if node.op in ("QConv", "QGemm") for name in node.inputs[1:3]}
    for name, array in fair.constants.items():
        assert array.tobytes() == work.lowered.program.constants[name].tobytes() or name in made
    x, weight = first.inputs[:2]
    scale = fair.values[weight].quant.scale.astype(np.float64)[:, None, None, None]
    error = scale * fair.constants[weight] - work.floats.constants["w1"]
    session = octavo.Session(rounding.replace(program, outputs=[x]), threads=1)
    zero = first.attributes["x_zero_point"]
    images = [session.run([x], sample)[0].astype(np.float64) - zero for sample in work.calibration.kept.feeds]
    padded = np.pad(np.concatenate(images), ((0, 0), (0, 0), (1, 1), (1, 1)))
    windows = np.lib.stride_tricks.sliding_window_view(padded, (3, 3), axis=(2, 3))
    mean = windows.mean(axis=(0, 2, 3)) * fair.values[x].quant.scale[0]
    wanted = (error * mean).sum(axis=(1, 2, 3))
    unit = fair.values[x].quant.scale[0] * fair.values[weight].quant.scale
    found = (work.lowered.program.constants[first.inputs[2]] - fair.constants[first.inputs[2]]) * unit
    np.testing.assert_allclose(found, wanted, atol=0.03 * np.abs(wanted).max() + unit.max())


@pytest.mark.parametrize("effort", ["default", "best"])
@pytest.mark.parametrize(
    ("body", "samples"),
    [
        ("y = Identity(x)", np.ones((40, 4))),
        ("y = Relu(x)", np.ones((40, 4))),
        ("y = MatMul(x, w)", np.ones((1, 4))),
        ("y = MatMul(x, w)", np.zeros((40, 4))),
        ("y = MatMul(x, zeros)", np.ones((40, 4))),
        ("h = MatMul(x, w) y = Log(h)", np.linspace(-1, 1, 160).reshape(40, 4)),
        ("h = MatMul(x, huge) r = Relu(h) y = MatMul(r, w)", np.linspace(-1e20, 1e20, 160).reshape(40, 4)),
    ],
)
def test_what_there_is_little_to_make_of(body, samples, effort):
    """No products, no columns that move, answers that are not finite: it is quantized nevertheless."""
    weights = {"w": np.eye(4), "zeros": np.zeros((4, 4)), "huge": np.eye(4) * 1e15}
    used = {
        name: array
        for name, array in weights.items()
        if name in body.replace("(", " ").replace(")", " ").split()
    }
    proto = network(None, f"g (float[N,4] x) => (float[N,4] y) {{ {body} }}", **used)
    model = octavo.quantize(proto, samples.astype(F), effort=effort)
    assert model.report.stages[-1] == "report"
    assert len(octavo.Session(model).run(None, {"x": samples[:1].astype(F)})) == 1
