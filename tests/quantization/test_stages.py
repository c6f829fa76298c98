"""The stages of `quantize`, each by itself, and the recipes that name them."""

from dataclasses import replace

import numpy as np
import octavo
import onnx
import onnx.parser
import pytest
from octavo.calibration import RULES
from octavo.lowering import Lowered, Stay
from octavo.program import Node, Program, Value, artifact
from octavo.program.integers import INT8, UINT8, unpack
from octavo.quantization import stages
from octavo.quantization.recipes import RECIPES, Recipe
from octavo.quantization.stages import LEFT_OUT, OF_DATA, STAGES
from octavo.quantization.work import Work

TEXT = """<ir_version: 10, opset_import: ["" : 21]> g (float[N,4] x) => (float[N,3] y) {
    h = MatMul(x, w) r = Relu(h) y = MatMul(r, v) }"""


@pytest.fixture
def proto(rng):
    model = onnx.parser.parse_model(TEXT)
    for name, shape in (("w", (4, 6)), ("v", (6, 3))):
        array = rng.normal(size=shape).astype(np.float32)
        model.graph.initializer.append(onnx.numpy_helper.from_array(array, name))
    for node, name in zip(model.graph.node, ("first", "relu", "last"), strict=True):
        node.name = name
    return model


@pytest.fixture
def rng():
    return np.random.default_rng(3)


@pytest.fixture
def data(rng):
    return rng.normal(size=(20, 4)).astype(np.float32)


@pytest.fixture
def work(proto, data):
    return Work(proto, data, RECIPES["int8"], [RULES["minmax"]])


def upto(work, last):
    for name in work.recipe.stages:
        STAGES[name](work)
        if name == last:
            return


def test_every_recipe_names_stages_that_there_are_and_ends_with_its_report():
    for recipe in RECIPES.values():
        assert set(recipe.stages) <= STAGES.keys()
        assert (recipe.stages[0], recipe.stages[-1]) == ("load", "report")
        assert recipe.needs_data == bool(recipe.range_rules)
        assert recipe.activations is not None or not recipe.needs_data
        assert len(set(recipe.stages)) == len(recipe.stages)


@pytest.mark.parametrize("effort", LEFT_OUT)
@pytest.mark.parametrize("name", RECIPES)
def test_the_report_says_which_stages_ran(proto, data, name, effort):
    report = octavo.quantize(proto, data, name, effort=effort).report
    assert report.stages == [stage for stage in RECIPES[name].stages if stage not in LEFT_OUT[effort]]
    assert report.to_dict()["stages"] == report.stages
    if not RECIPES[name].needs_data:
        alone = octavo.quantize(proto, recipe=name, effort=effort).report
        assert alone.stages == [stage for stage in report.stages if stage not in OF_DATA]


def test_each_effort_leaves_out_what_the_next_one_adds():
    assert list(LEFT_OUT) == ["fast", "default", "best"]
    assert LEFT_OUT["fast"] > LEFT_OUT["default"] > LEFT_OUT["best"] == frozenset()
    assert LEFT_OUT["fast"] <= set(RECIPES["int8"].stages)


def test_load(work, proto):
    stages.load(work)
    assert [node.name for node in work.floats.nodes] == ["first", "relu", "last"]
    assert work.files == ()
    assert len(list(work.feeds)) == 20
    with pytest.raises(octavo.ModelError, match="no node of the model is called 'second'"):
        stages.load(Work(proto, None, RECIPES["weight-only"], exclude=["second"]))


def test_load_of_a_recipe_without_data_asks_for_none(proto):
    work = Work(proto, None, RECIPES["weight-only"])
    stages.load(work)
    assert not hasattr(work, "feeds")
    with pytest.raises(octavo.DataError, match="the recipe 'int8' needs data"):
        stages.load(Work(proto, None, RECIPES["int8"], [RULES["minmax"]]))


def test_measure_shapes_leaves_every_sample_to_calibration(work):
    stages.load(work)
    values = {name: replace(value, shape=None) for name, value in work.floats.values.items() if name == "h"}
    work.floats = replace(work.floats, values=work.floats.values | values)
    stages.measure_shapes(work)
    assert work.floats.values["h"].shape == ("h.0", 6)
    assert len(list(work.feeds)) == 20


def test_calibrate_keeps_what_the_rule_needs(work, data):
    upto(work, "calibrate")
    assert work.calibration.samples == 20
    seen = work.calibration.statistics.read("x", "extremes")
    assert (seen["minimum"], seen["maximum"]) == (data.min(), data.max())
    assert set(work.calibration.names) == {"x", "h", "r", "y"}


def test_lower_follows_the_recipe(work, monkeypatch):
    upto(work, "calibrate")
    stages.lower_by_ranges(work)
    dtypes = {value.dtype for value in work.lowered.program.values.values() if value.quant is not None}
    assert dtypes == {UINT8.dtype, INT8.dtype}
    many = work.lowered
    work.per_channel = False
    work.made.clear()
    stages.lower_by_ranges(work)
    scales = [value.quant.scale for value in work.lowered.program.values.values() if value.dtype == "i8"]
    assert scales
    assert all(len(set(scale)) == 1 for scale in scales)
    assert artifact.to_bytes(many.program) != artifact.to_bytes(work.lowered.program)
    coarse = replace(INT8, low=-7, high=7)
    monkeypatch.setattr(Recipe, "weights", coarse)
    work.made.clear()
    stages.lower_by_ranges(work)
    integers = [work.lowered.program.constants[f"{name}_quantized"] for name in ("w", "v")]
    assert {int(np.abs(array).max()) for array in integers} == {7}


def test_check_objects_to_what_stays_unasked_alone(work, proto, data):
    upto(work, "lower")
    work.strict = True
    stages.check(work)
    asked = Work(proto, data, RECIPES["int8"], [RULES["minmax"]], exclude=["first"], strict=True)
    upto(asked, "check")
    assert [stay.reason for stay in asked.lowered.stays if stay.name == "first"] == ["excluded by choice"]


def test_doubt_warns_of_few_samples(work, data, caplog):
    work.data = data[:2]
    upto(work, "doubt")
    assert len(work.warnings) == 1
    assert "2 samples only" in work.warnings[0]
    assert [record.message for record in caplog.records] == [f"calibration data: {work.warnings[0]}"]


def test_weight_only(proto, data):
    """Weights within half a step of the float ones, everything else as it was; no data."""
    model = octavo.quantize(proto, recipe="weight-only")
    program = model.program
    stored = {name: value for name, value in program.values.items() if name.endswith("_stored")}
    assert {value.dtype for value in stored.values()} == {"i8"}
    assert len(stored) == 2
    assert model.report.integer_macs == 0
    assert model.report.integer_ops == {}
    assert {stay.name for stay in model.report.stays} == {"first", "relu", "last"}
    assert "made without data" in str(model.report)
    assert "samples" not in model.report.summary()
    (found,) = octavo.Session(model).run(None, {"x": data})
    (expected,) = octavo.Session(proto).run(None, {"x": data})
    error = np.square(found - expected).mean() / np.square(expected).mean()
    assert 0 < error < 1e-4
    kept = octavo.quantize(proto, recipe="weight-only", exclude=["last"]).program
    assert sum(name.endswith("_stored") for name in kept.values) == 1


@pytest.mark.parametrize("dtype", ["float16", "float", "double"])
def test_weight_only_tells_of_every_float(dtype):
    """What computes no floats, such as a comparison or a shape, does not stay in them."""
    text = f"""<ir_version: 10, opset_import: ["" : 21]>
        g ({dtype}[N,4] x) => ({dtype}[4,N] t, bool[N,4] b, int64[2] s) {{
        [neg] y = Neg(x) [turn] t = Transpose(y) [equal] b = Equal(y, x) [shape] s = Shape(y) }}"""
    report = octavo.quantize(onnx.parser.parse_model(text), recipe="weight-only").report
    assert [stay.name for stay in report.stays if stay.op != "Cast"] == ["neg", "turn"]


def test_a_rule_for_what_calibrates_nothing(proto):
    with pytest.raises(octavo.DataError, match="range_rule is 'mean', but the recipe 'weight-only'"):
        octavo.quantize(proto, recipe="weight-only", range_rule="mean")


def test_unpacked_integers_are_those_that_were_stored():
    data = np.array([0b00_11_10_01], np.uint8)
    assert unpack(data, "i2", (4,)).tolist() == [1, -2, -1, 0]
    assert unpack(data, "u2", (2, 2)).tolist() == [[1, 2], [3, 0]]


def test_what_calibration_observes():
    """Inputs and outputs of nodes in float32, in their order; neither constants nor what is left out."""
    dtypes = {"x": "f32", "i": "i64", "a": "f32", "b": "f16", "c": "f64", "d": "bool", "w": "f32", "y": "f32"}
    values = {name: Value(name, dtype, ()) for name, dtype in dtypes.items()}
    nodes = [Node("Odd", "n", ("x", "w"), ("y", "", "b")), Node("Odd", "m", ("i",), ("c", "d", "", "a"))]
    program = Program(["i", "x"], ["y"], values, {"w": np.ones((), np.float32)}, nodes)
    assert stages.observable(program) == ["x", "y", "a"]


def test_strict_tells_each_that_stays_and_why(work):
    stays = [
        Stay("n1", "Elu", "for a reason", False), Stay("n2", "Softmax", "it is last", True),
        Stay("n3", "Pow", "for another", False),
    ]  # fmt: skip
    work.lowered = Lowered(Program([], [], {}, {}, []), stays)
    stages.check(work)
    work.strict = True
    with pytest.raises(octavo.ModelError) as raised:
        stages.check(work)
    assert str(raised.value) == (
        "strict: 2 ops stay float (Elu 'n1': for a reason; Pow 'n3': for another); change them, or name them "
        "in exclude"
    )
