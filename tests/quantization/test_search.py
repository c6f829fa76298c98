"""The search for ranges of their own: what is tried, in what network, and what is taken."""

from dataclasses import replace

import numpy as np
import octavo
import onnx
import onnx.parser
import pytest
from octavo.calibration import RULES, ranges
from octavo.lowering import Forms, Range, lower_to_integers
from octavo.program import artifact
from octavo.program.integers import UINT8
from octavo.quantization import search, stages
from octavo.quantization.judge import Judge
from octavo.quantization.recipes import RECIPES
from octavo.quantization.search import Search, first_difference, sites
from octavo.quantization.stages import STAGES
from octavo.quantization.walk import Walk
from octavo.quantization.work import Work

F = np.float32
TEXT = """<ir_version: 10, opset_import: ["" : 21]>
    g (float[N,4,8,8] x) => (float[N,5] y, float[N,3,8,8] early) {
    a = Conv<pads = [1,1,1,1]>(x, w1) r = Relu(a) early = Conv(r, w2)
    b = Conv<pads = [1,1,1,1]>(r, w3) c = Conv(r, w4) s = Concat<axis = 1>(b, c)
    m = MaxPool<kernel_shape = [2,2]>(s) t = Tanh(m) d = Conv(t, w5)
    p = GlobalAveragePool(d) f = Flatten(p) y = Gemm(f, w6) }"""
SHAPES = {
    "w1": (8, 4, 3, 3),
    "w2": (3, 8, 1, 1),
    "w3": (8, 8, 3, 3),
    "w4": (8, 8, 1, 1),
    "w5": (12, 16, 1, 1),
    "w6": (12, 5),
}


@pytest.fixture
def work():
    rng = np.random.default_rng(4)
    proto = onnx.parser.parse_model(TEXT)
    for name, shape in SHAPES.items():
        array = rng.normal(size=shape) / np.sqrt(np.prod(shape[1:]))
        proto.graph.initializer.append(onnx.numpy_helper.from_array(array.astype(F), name))
    made = Work(proto, rng.normal(size=(60, 4, 8, 8)).astype(F), RECIPES["int8"], threads=1)
    made.rules = [RULES[name] for name in RECIPES["int8"].range_rules]
    for name in ("load", "measure shapes", "calibrate", "lower"):
        STAGES[name](made)
    return made


def lower_by(work):
    seen = ranges(work.calibration.statistics, RULES["minmax"])
    return lambda own: lower_to_integers(work.floats, Forms(seen | dict(own)))


def test_tensors_with_a_range_of_their_own(work):
    """Not what only moves or joins others, or is in float."""
    found = [name for _, name in sites(work.lowered)]
    assert {"x", "r", "b", "c", "d"} <= set(found)
    assert not {"s", "m", "y", "early"} & set(found)
    for place, name in sites(work.lowered):
        assert work.lowered.values[work.lowered.program.nodes[place].outputs[0]] == name


def test_networks_differ_from_the_first_node_whose_results_do(work):
    lower, nodes = lower_by(work), work.lowered.program.nodes
    places = {name: place for place, name in sites(work.lowered)}
    plain = lower({})
    assert first_difference(plain.program, lower({}).program) is None
    for name in ("r", "d"):
        assert first_difference(plain.program, lower({name: Range(0.0, 99.0)}).program) == places[name]
    wide = lower({"c": Range(-9.0, 9.0)})  # which shares its form with what it is joined to
    assert first_difference(plain.program, wide.program) == min(places["b"], places["c"])
    shorter = replace(plain.program, nodes=nodes[:-1])
    assert first_difference(plain.program, shorter) is None


def test_errors_from_any_place_on_are_those_of_the_whole(work):
    """Of answers before it as well."""
    feeds = work.calibration.kept.feeds
    judge = Judge(work.floats, work.lowered, feeds, 1)
    assert judge.names_in(work.lowered) == ["y", "early"]
    whole = judge.error(work.lowered)
    for place in range(len(work.lowered.program.nodes) + 1):
        walk = Walk(work.lowered.program, feeds, 1, judge.names_in(work.lowered))
        walk.run_before(place)
        assert judge.error(work.lowered, walk) == whole


@pytest.mark.parametrize("spoilt", [["r"], ["d"], ["c"], ["r", "c", "d"]])
def test_ranges_that_do_better_are_found(work, spoilt):
    """Of tensors that were given ranges far too wide; the network is then that of these ranges."""
    seen = ranges(work.calibration.statistics, RULES["minmax"])
    own = seen | {name: Range(8 * seen[name].min, 8 * seen[name].max) for name in spoilt}
    made = lower_to_integers(work.floats, Forms(own))

    def lower(changed):
        return lower_to_integers(work.floats, Forms(own | dict(changed)))

    feeds = work.calibration.kept.feeds
    searched = Search(work.floats, made, lower, feeds, 1)
    searched.run(own, [seen])
    assert set(searched.ranges) == set(spoilt)
    assert all(searched.ranges[name] == seen[name] for name in spoilt)
    assert artifact.to_bytes(searched.lowered.program) == artifact.to_bytes(lower(searched.ranges).program)
    assert searched._error == Judge(work.floats, made, feeds, 1).error(searched.lowered)


def test_ranges_that_do_worse_are_not_taken(work):
    seen = ranges(work.calibration.statistics, RULES["minmax"])
    worse = {name: Range(4 * of.min, 4 * of.max) for name, of in seen.items()}
    searched = Search(work.floats, work.lowered, lower_by(work), work.calibration.kept.feeds, 1)
    searched.run(seen, [worse, seen])
    assert searched.ranges == {}
    assert searched.lowered is work.lowered


@pytest.mark.parametrize(("error", "taken"), [(0.996, False), (0.994, True)])
def test_nothing_is_taken_that_hardly_gains(work, monkeypatch, error, taken):
    """Half a per cent of the error."""
    monkeypatch.setattr(Judge, "error", lambda _, lowered, begun=None: 1.0 if begun is None else error)
    searched = Search(work.floats, work.lowered, lower_by(work), work.calibration.kept.feeds, 1)
    own, wide = {"d": Range(-1.0, 1.0)}, {"d": Range(-9.0, 9.0)}
    searched.run(own, [wide])
    assert searched.ranges == (wide if taken else {})


def test_what_was_run_is_run_anew_where_an_earlier_node_changes(work):
    """The first of two options changes more than the tensor itself, and is the better one."""
    places, lower = {name: place for place, name in sites(work.lowered)}, lower_by(work)
    seen = ranges(work.calibration.statistics, RULES["minmax"])
    wide, far = {"r": Range(0.0, 9 * seen["r"].max)}, Range(0.0, 1e6)
    spoilt = lower(wide)
    options = {seen["r"]: lower({}), far: lower(wide | {"d": far})}
    searched = Search(work.floats, spoilt, lambda own: options[own["d"]], work.calibration.kept.feeds, 1)
    judge = Judge(work.floats, spoilt, work.calibration.kept.feeds, 1)
    searched._try(places["d"], "d", list(options))
    assert searched.ranges == {"d": seen["r"]}
    for place in (places["d"], places["r"], places["d"]):
        assert searched._error_from(place, searched.lowered) == judge.error(searched.lowered)


def test_each_form_is_tried_once():
    """Of ranges that are not the tensor's own."""
    own, wide, same = Range(0.0, 1.0), Range(-1.0, 1.0), Range(0.25, 1.0)
    assert search._distinct(own, [same, wide, own, wide], UINT8) == [wide]


@pytest.mark.parametrize(("gain", "again"), [(1.06, 0.5), (1.08, 2.0), (1.08, 0.5)])
def test_ranges_are_taken_where_samples_held_back_gain(work, monkeypatch, gain, again):
    """0.3 dB, a factor of 1.07, on the third of the samples with the greatest hashes; then weights are made
    again, and taken if these samples gain by it."""
    seen, judged = ranges(work.calibration.statistics, RULES["minmax"]), []
    stages.choose_forms(work)
    before, better = work.lowered, lower_by(work)({"r": Range(0.0, seen["r"].max * 0.9)})

    class Found:
        def __init__(self, floats, made, lower, feeds, threads):
            judged.append(len(feeds))
            self.lowered, self.ranges = better, {"r": Range(0.0, 1.0)}

        def run(self, own, others):
            judged.append(len(others))

    class Held:
        def __init__(self, floats, like, feeds, threads):
            judged.append(len(feeds))

        def error(self, lowered):
            return {id(before): gain, id(better): 1.0}.get(id(lowered), again)

    monkeypatch.setattr(stages, "Search", Found)
    monkeypatch.setattr(stages, "Judge", Held)
    stages.search_ranges(work)
    assert judged == [40, 4, 20]
    assert (work.lowered is before) == (gain == 1.06)
    assert (work.lowered is better) == (gain == 1.08 and again == 2.0)
    assert work.own_ranges == ({} if gain == 1.06 else {"r": Range(0.0, 1.0)})


def test_nothing_is_searched_on_few_samples_or_for_a_rule_that_was_asked_for(work, monkeypatch):
    stages.choose_forms(work)
    monkeypatch.setattr(stages, "Search", None)
    work.rules = work.rules[:1]
    stages.search_ranges(work)
    work.rules = [RULES[name] for name in RECIPES["int8"].range_rules]
    with pytest.raises(TypeError):
        stages.search_ranges(work)
    monkeypatch.setattr(stages, "FEWEST_KEPT", 61)
    stages.search_ranges(work)


def test_weights_are_made_once_for_many_ranges(work):
    """What is handed on changes nothing but the time."""
    seen, made = ranges(work.calibration.statistics, RULES["minmax"]), {}
    for factor in (1.0, 2.0, 1.0):
        forms = Forms(seen | {"r": Range(0.0, factor)})
        plain, quick = lower_to_integers(work.floats, forms), lower_to_integers(work.floats, forms, made=made)
        assert artifact.to_bytes(plain.program) == artifact.to_bytes(quick.program)
        assert {name: array.tobytes() for name, array in plain.weights.items()} == {
            name: array.tobytes() for name, array in quick.weights.items()
        }
    assert len(made) == len(SHAPES)


def test_the_best_model_is_not_below_the_default(work):
    efforts = {
        name: octavo.quantize(work.model, work.data, effort=name, threads=1) for name in ("default", "best")
    }
    fresh = np.random.default_rng(5).normal(size=(100, 4, 8, 8)).astype(F)
    wanted = octavo.Session(work.model, threads=1).run(None, {"x": fresh})
    noises = {}
    for name, model in efforts.items():
        made = octavo.Session(model, threads=1).run(None, {"x": fresh})
        noises[name] = sum(
            np.square(one - other).sum() / np.square(one).sum()
            for one, other in zip(wanted, made, strict=True)
        )
    assert noises["best"] < noises["default"] * 10**0.03
