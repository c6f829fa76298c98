"""The choice among range rules: by error on samples that ranges are not of, where it is clear."""

from dataclasses import replace
from functools import partial

import numpy as np
import octavo
import onnx
import onnx.parser
import pytest
from octavo.calibration import RULES
from octavo.lowering import Lowered
from octavo.program import artifact
from octavo.quantization import choice, judge, stages, walk
from octavo.quantization import work as work_room
from octavo.quantization.choice import Candidate, choose, with_weights
from octavo.quantization.judge import Judge
from octavo.quantization.recipes import RECIPES
from octavo.quantization.rounding import fair_weights, round_weights
from octavo.quantization.stages import STAGES
from octavo.quantization.work import KEPT, Work, lowered_for

F = np.float32
TEXT = """<ir_version: 10, opset_import: ["" : 21]> g (float[N,32] x) => (float[N,8] y, int64[N] k) {
    a = MatMul(x, w) r = Relu(a) y = MatMul(r, v) k = ArgMax<axis = 1, keepdims = 0>(y) }"""


@pytest.fixture
def proto():
    rng = np.random.default_rng(6)
    model = onnx.parser.parse_model(TEXT)
    for name, shape in (("w", (32, 24)), ("v", (24, 8))):
        array = rng.normal(size=shape).astype(F)
        model.graph.initializer.append(onnx.numpy_helper.from_array(array, name))
    return model


def data(count, outlier):
    """One element in 5,000 is `outlier` times as large as the rest: at most one in a sample."""
    rng = np.random.default_rng(9)
    samples = rng.normal(size=(count, 32))
    samples[:: 5000 // 32, 3] *= outlier
    return samples.astype(F)


def work_of(proto, samples, *rules):
    work = Work(proto, samples, RECIPES["int8"], [RULES[name] for name in rules], threads=1)
    for name in ("load", "measure shapes", "calibrate", "lower"):
        STAGES[name](work)
    return work


def chosen(work, alphas=()):
    def lower_by(statistics, candidate):
        return with_weights(work.floats, work.lowered, lowered_for(work, statistics, candidate))

    return choose(
        work.calibration.halves,
        stages._judges(work),
        Candidate(work.rules[0]),
        [partial(choice.with_rules, work.rules[1:]), partial(choice.with_alphas, alphas)],
        lower_by,
    )


@pytest.mark.parametrize(("outlier", "rule"), [(1, "minmax"), (300, "p99.99")])
def test_the_rule_that_does_best_on_held_back_samples(proto, outlier, rule):
    """To clip what is far out costs a few samples more than a fine scale gains the rest, or less."""
    work = work_of(proto, data(600, outlier), "minmax", "p99.999", "p99.99")
    found = chosen(work)
    assert list(found.errors) == ["minmax", "p99.999", "p99.99"]
    least = min(found.errors, key=found.errors.get)
    clear = found.errors[least] * choice.GAIN < found.errors["minmax"]
    assert found.taken.name == (least if clear else "minmax")
    if outlier == 1:
        assert found.taken.name == rule


def test_no_rule_is_tried_on_few_samples_or_where_there_is_one(proto):
    few = work_of(proto, data(2 * choice.FEWEST - 2, 1), "minmax", "p99.99")
    one = work_of(proto, data(100, 1), "p99.99")
    for work, rule in ((few, "minmax"), (one, "p99.99")):
        stages.choose_forms(work)
        assert (work.choice.taken.name, work.choice.errors) == (rule, {})
    enough = work_of(proto, data(100, 1), "minmax", "p99.99")
    stages.choose_forms(enough)
    assert list(enough.choice.errors) == ["minmax", "p99.99"]


def test_the_candidates_are_tried_with_weights_for_a_few_samples(proto, monkeypatch):
    """Which are not those that the network gets."""
    work, seen = work_of(proto, data(100, 1), "minmax", "p99.99"), []

    def recorded(make):
        def made(floats, lowered, feeds, threads, **options):
            seen.append((make, len(feeds)))
            return make(floats, lowered, feeds, threads, **options)

        return made

    monkeypatch.setattr(stages, "fair_weights", recorded(fair_weights))
    monkeypatch.setattr(work_room, "round_weights", recorded(round_weights))
    plain = work.lowered
    stages.choose_forms(work)
    assert seen == [(fair_weights, choice.ROUGHLY)]
    assert work.lowered is plain or work.choice.taken.name != "minmax"
    stages.make_weights(work)
    assert seen[1:] == [(round_weights, walk.MOST)]


def test_a_small_gain_is_none(proto, monkeypatch):
    work = work_of(proto, data(100, 1), "mean", "minmax")
    monkeypatch.setattr(Judge, "error", lambda judge, lowered: next(errors))
    for first, second, rule in ((1.0, 0.9, "mean"), (1.0, 0.88, "minmax"), (0.9, 1.0, "mean")):
        errors = iter([first / 2, first / 2, second / 2, second / 2])
        assert chosen(work).taken.name == rule


def test_channel_scales_are_tried_with_the_rule_that_was_taken(proto, monkeypatch):
    work = work_of(proto, data(100, 1), "mean", "minmax")
    monkeypatch.setattr(Judge, "error", lambda judge, lowered: next(errors) / 2)
    for pairs, taken in (
        ((1.0, 0.5, 0.46, 0.3), Candidate(RULES["minmax"], 0.75)),
        ((1.0, 0.5, 0.3, 0.3), Candidate(RULES["minmax"], 0.5)),
        ((1.0, 0.5, 0.46, 0.46), Candidate(RULES["minmax"])),
        ((1.0, 1.2, 0.8, 0.9), Candidate(RULES["mean"], 0.5)),
    ):
        errors = iter([error for error in pairs for _ in range(2)])
        found = chosen(work, (0.5, 0.75))
        assert found.taken == taken
        assert list(found.errors.values()) == list(pairs)
        names = [f"{taken.rule.name} with channel scales ({alpha})" for alpha in (0.5, 0.75)]
        assert list(found.errors) == ["mean", "minmax", *names]
        assert found.ratios()["mean"] == 0
    assert 10 * np.log10(choice.GAIN) == pytest.approx(0.5)


def test_effort_best_tries_every_pair_on_more_samples(proto, monkeypatch):
    work = work_of(proto, data(400, 1), "minmax", "p99.99")
    work.effort = "best"
    taken = {}

    def recorded(halves, judges, start, steps, lower_by):
        [step] = steps
        taken.update(pairs=[(one.rule.name, one.alpha) for one in step(start)])
        return choice.Choice(start)

    monkeypatch.setattr(stages, "choose", recorded)
    monkeypatch.setattr(stages, "candidates", lambda lowered: ["a depthwise one"])
    stages.choose_forms(work)
    alphas = [None, *stages.ALPHAS]
    assert taken["pairs"] == [(rule, alpha) for rule in ("minmax", "p99.99") for alpha in alphas]
    assert KEPT["best"] > KEPT["default"]


def test_each_half_is_judged_by_the_other(proto):
    work = work_of(proto, data(100, 1), "minmax", "mean")
    asked, judged = [], []

    def lower_by(statistics, candidate):
        asked.append((candidate.name, work.calibration.halves.index(statistics)))
        return len(asked)

    class Recorder:
        def __init__(self, feeds):
            self.half = [len(half) for half in work.calibration.kept.halves].index(len(feeds))
            self.samples = len(feeds)

        def error(self, lowered):
            judged.append((self.half, lowered))
            return 1.0

    sizes = [len(half) for half in work.calibration.kept.halves]
    assert sizes[0] != sizes[1]
    halves, judges = work.calibration.halves, [Recorder(half) for half in work.calibration.kept.halves]
    step = partial(choice.with_rules, work.rules[1:])
    choose(halves, judges, Candidate(work.rules[0]), [step], lower_by)
    assert asked == [("minmax", 0), ("minmax", 1), ("mean", 0), ("mean", 1)]
    # The second Program, from the second half's ranges, is judged on the first half, and the reverse.
    assert judged == [(0, 2), (1, 1), (0, 4), (1, 3)]


def test_the_error_is_over_the_signal_of_each_output(proto):
    work = work_of(proto, data(40, 1), "minmax")
    feeds = work.calibration.kept.feeds
    session, other = octavo.Session(work.floats, threads=1), octavo.Session(work.lowered.program, threads=1)
    pairs = [(session.run(["y"], one)[0], other.run(["y"], one)[0]) for one in feeds]
    wanted, made = (np.concatenate(side).astype(np.float64) for side in zip(*pairs, strict=True))
    one = Judge(work.floats, work.lowered, feeds, 1)
    assert one.samples == len(feeds)
    assert one.error(work.lowered) == pytest.approx(
        np.square(wanted - made).sum() / np.square(wanted).sum(), rel=1e-9
    )
    assert one.error(Lowered(work.floats, values={name: name for name in work.floats.values})) == 0


def test_answers_are_held_in_bounded_memory(proto, monkeypatch):
    work = work_of(proto, data(40, 1), "minmax")
    monkeypatch.setattr(judge, "_MEMORY", 5 * 8 * 4)
    assert len(Judge(work.floats, work.lowered, work.calibration.kept.feeds, 1)._feeds) == 5
    monkeypatch.setattr(judge, "_MEMORY", 1)
    assert len(Judge(work.floats, work.lowered, work.calibration.kept.feeds, 1)._feeds) == 1


def test_weights_go_over_to_other_ranges(proto):
    """The same integers; the biases in units of the other scale; all else as the ranges have it."""
    work = work_of(proto, data(200, 1), "minmax")
    other = work_of(proto, data(200, 1), "mean")
    moved = with_weights(work.floats, work.lowered, other.lowered)
    plain = Work(proto, data(200, 1), RECIPES["int8"], [RULES["mean"]], threads=1)
    for name in ("load", "calibrate", "lower"):
        STAGES[name](plain)
    assert moved.program.nodes == plain.lowered.program.nodes
    for node in moved.program.nodes:
        if node.op == "QGemm":
            ours, theirs = (of.program.constants[node.inputs[1]] for of in (moved, work.lowered))
            assert np.array_equal(ours, theirs)
    again = with_weights(work.floats, work.lowered, work.lowered)
    assert artifact.to_bytes(again.program) == artifact.to_bytes(work.lowered.program)


def test_weights_of_another_scale_stay(proto):
    work = work_of(proto, data(100, 1), "minmax")
    coarse = Work(proto, data(100, 1), RECIPES["int8"], [RULES["minmax"]], per_channel=False, threads=1)
    for name in ("load", "calibrate", "lower"):
        STAGES[name](coarse)
    moved = with_weights(work.floats, work.lowered, coarse.lowered)
    assert artifact.to_bytes(moved.program) == artifact.to_bytes(coarse.lowered.program)


def test_what_is_chosen_is_what_is_made(proto):
    """As if the rule had been asked for by its name."""
    samples = data(600, 300)
    free = octavo.quantize(proto, samples, threads=1)
    rules = {
        name: octavo.quantize(proto, samples, range_rule=name, threads=1)
        for name in RECIPES["int8"].range_rules
    }
    same = [
        model.report.range_rule
        for model in rules.values()
        if artifact.to_bytes(model.program) == artifact.to_bytes(free.program)
    ]
    assert same == [free.report.range_rule]


def test_weights_that_the_network_errs_more_with_are_not_taken(proto, monkeypatch):
    work = work_of(proto, data(60, 1), "minmax")
    plain = Work(proto, data(60, 1), RECIPES["int8"], [RULES["minmax"]], threads=1)
    for name in ("load", "calibrate", "lower"):
        STAGES[name](plain)
    before = plain.lowered
    for worse in (True, False):
        made = work.lowered
        if worse:
            zeros = {
                name: np.zeros_like(array)
                for name, array in made.program.constants.items()
                if array.dtype == np.int8
            }
            made = replace(made, program=replace(made.program, constants=made.program.constants | zeros))
        monkeypatch.setattr(work_room, "round_weights", lambda *_, made=made, **__: made)
        stages.make_weights(plain)
        assert plain.lowered is (before if worse else made)


def test_a_network_that_ends_in_a_softmax_is_judged_by_what_goes_into_it():
    rng = np.random.default_rng(2)
    text = """<ir_version: 10, opset_import: ["" : 21]>
        g (float[N,6] x) => (float[N,4] p, float[N,4] s, float[N,4] t) {
        h = MatMul(x, w) p = Softmax(h) k = MatMul(x, v) s = Sigmoid(k) t = Tanh(k) }"""
    model = onnx.parser.parse_model(text)
    for name in ("w", "v"):
        array = rng.normal(size=(6, 4)).astype(F)
        model.graph.initializer.append(onnx.numpy_helper.from_array(array, name))
    work = work_of(model, rng.normal(size=(40, 6)).astype(F), "minmax")
    found = judge.answers_of(work.floats, work.lowered)
    there = judge.floats_of(work.lowered)
    assert found == ["h" if "h" in there else "p", "k" if "k" in there else "s", "t"]
    assert "h" in found
    bare = replace(work.lowered, values={"p": "p", "t": "t"})
    assert judge.answers_of(work.floats, bare) == ["p", "t"]


def test_a_network_without_float_outputs_has_weights_made_for_it():
    """There is nothing to judge it by."""
    rng = np.random.default_rng(3)
    text = """<ir_version: 10, opset_import: ["" : 21]> g (float[N,8] x) => (int64[N] k) {
        h = MatMul(x, w) r = Relu(h) y = MatMul(r, v) k = ArgMax<axis = 1, keepdims = 0>(y) }"""
    model = onnx.parser.parse_model(text)
    for name, shape in (("w", (8, 16)), ("v", (16, 5))):
        array = rng.normal(size=shape).astype(F)
        model.graph.initializer.append(onnx.numpy_helper.from_array(array, name))
    samples = (rng.normal(size=(60, 3)) @ rng.normal(size=(3, 8))).astype(F)
    made, nearest = (octavo.quantize(model, samples, effort=effort).program for effort in ("default", "fast"))
    assert made.nodes == nearest.nodes
    assert artifact.to_bytes(made) != artifact.to_bytes(nearest)
