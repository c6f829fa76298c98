"""Prepare, observe, merge, save, load, convert: the model that one call gives, byte for byte."""

import json
from concurrent.futures import ProcessPoolExecutor
from itertools import pairwise
from multiprocessing import get_context

import numpy as np
import octavo
import onnx
import onnx.parser
import pytest
from octavo.program import artifact
from safetensors.numpy import load, save

F = np.float32
TEXT = """<ir_version: 10, opset_import: ["" : 21]> g (float[N,6] x, float[N,6] z) => (float[N,3] y) {
    s = Add(x, z) h = MatMul(s, w) r = Relu(h) y = MatMul(r, v) }"""


@pytest.fixture
def proto():
    rng = np.random.default_rng(4)
    model = onnx.parser.parse_model(TEXT)
    for name, shape in (("w", (6, 12)), ("v", (12, 3))):
        array = rng.normal(size=shape).astype(F)
        model.graph.initializer.append(onnx.numpy_helper.from_array(array, name))
    return model


@pytest.fixture
def data():
    rng = np.random.default_rng(5)
    return {name: rng.normal(size=(80, 6)).astype(F) for name in "xz"}


def some(data, start, end):
    return {name: array[start:end] for name, array in data.items()}


def of(model):
    return artifact.to_bytes(model.program)


@pytest.mark.parametrize(
    "options", [{}, {"effort": "best"}, {"effort": "fast", "range_rule": "mean", "per_channel": False}]
)
def test_the_model_of_one_call(proto, data, options):
    wanted = octavo.quantize(proto, data, **options)
    calibrator = octavo.prepare(proto).observe(data)
    found = octavo.convert(calibrator, **options)
    assert of(found) == of(wanted)
    assert found.report.to_dict() == wanted.report.to_dict()
    assert of(octavo.convert(calibrator, **options)) == of(wanted)  # the calibrator stays as it is


def test_parts_in_any_order_merged_and_saved(proto, data, tmp_path):
    wanted = of(octavo.quantize(proto, data))
    cuts = (0, 7, 8, 50, 80)
    parts = []
    for index, (start, end) in enumerate(pairwise(cuts)):
        part = octavo.prepare(proto, threads=1 + index % 2).observe(some(data, start, end))
        part.save(tmp_path / f"{index}.calibration")
        parts.append(octavo.Calibrator.load(tmp_path / f"{index}.calibration"))
    for order in ((0, 1, 2, 3), (2, 0, 3, 1)):
        whole = octavo.prepare(proto)
        for index in order:
            assert whole.merge(parts[index]) is whole
        assert whole.samples == 80
        assert of(octavo.convert(whole)) == wanted
    one = octavo.prepare(proto)
    for index in range(0, 80, 20):
        assert one.observe(some(data, index, index + 20)) is one
    one.save(tmp_path / "one")
    whole.save(tmp_path / "whole")
    assert (tmp_path / "one").read_bytes() == (tmp_path / "whole").read_bytes()


def test_what_is_loaded_goes_on(proto, data, tmp_path):
    octavo.prepare(proto).observe(some(data, 0, 30)).save(tmp_path / "half")
    again = octavo.Calibrator.load(tmp_path / "half", threads=1)
    assert repr(again) == "Calibrator(int8, 30 samples)"
    seen = []
    again.observe(some(data, 30, 80), seen.append)
    assert seen == list(range(31, 81))
    assert of(octavo.convert(again)) == of(octavo.quantize(proto, data))


@pytest.mark.parametrize(
    "recipe", [octavo.Recipe("int8", symmetric=True), octavo.Recipe("weight-only", bits=4)]
)
def test_recipes_with_options(proto, data, tmp_path, recipe):
    """They are kept in the file, and give what `quantize` gives."""
    octavo.prepare(proto, recipe).observe(data).save(tmp_path / "saved")
    loaded = octavo.Calibrator.load(tmp_path / "saved")
    assert loaded.recipe == recipe
    assert of(octavo.convert(loaded)) == of(octavo.quantize(proto, data, recipe))
    assert of(octavo.convert(loaded)) != of(octavo.quantize(proto, data, recipe.name))
    with pytest.raises(octavo.DataError, match="of two recipes"):
        loaded.merge(octavo.prepare(proto, recipe.name))


def test_others_are_not_merged(proto, data):
    calibrator = octavo.prepare(proto).observe(some(data, 0, 20))
    other = onnx.ModelProto()
    other.CopyFrom(proto)
    array = onnx.numpy_helper.to_array(other.graph.initializer[0]).copy()
    array[0, 0] += 1
    other.graph.initializer[0].CopyFrom(onnx.numpy_helper.from_array(array, "w"))
    with pytest.raises(octavo.DataError, match="of two models"):
        calibrator.merge(octavo.prepare(other).observe(some(data, 0, 20)))
    with pytest.raises(TypeError, match="cannot be merged with an object of type dict"):
        calibrator.merge({})
    assert calibrator.samples == 20


def test_what_cannot_be_prepared_or_converted(proto, data):
    with pytest.raises(octavo.ModelError, match="no recipe is called"):
        octavo.prepare(proto, "int9")
    with pytest.raises(octavo.DataError, match="has observed nothing"):
        octavo.convert(octavo.prepare(proto))
    with pytest.raises(TypeError, match=r"give what octavo.prepare gave"):
        octavo.convert(proto)
    calibrator = octavo.prepare(proto).observe(data)
    with pytest.raises(octavo.ModelError, match="no node of the model is called"):
        octavo.convert(calibrator, exclude=["nobody"])
    with pytest.raises(TypeError, match="strict"):
        octavo.convert(calibrator, strict=1)
    kept = octavo.convert(calibrator, exclude=["*"])
    assert kept.report.integer_macs == 0


def test_shapes_that_inference_does_not_find():
    text = """<ir_version: 10, opset_import: ["" : 21]> g (float[N,4] x) => (float y)
        <int64[1] k = {2}> { s = Shape(x) t = Mul(s, k) d = Div(t, k) y = Reshape(x, d) }"""
    data = np.array([[9, -9, 0, 0], [1, 1, 1, 1], [2, 2, 2, 2]], F)
    proto = onnx.parser.parse_model(text)
    assert of(octavo.convert(octavo.prepare(proto).observe(data))) == of(octavo.quantize(proto, data))


def test_files_that_a_model_was_made_from_are_not_overwritten(proto, data, tmp_path):
    onnx.save(proto, tmp_path / "model.onnx")
    calibrator = octavo.prepare(tmp_path / "model.onnx").observe(data)
    with pytest.raises(octavo.ArtifactError, match="is not overwritten"):
        calibrator.save(tmp_path / "model.onnx")
    calibrator.save(tmp_path / "saved")
    again = octavo.Calibrator.load(tmp_path / "saved")
    with pytest.raises(octavo.ArtifactError, match="is not overwritten"):
        octavo.convert(again).save(tmp_path / "saved")


def test_calibrators_go_to_other_processes_and_back(proto, data):
    one, other = octavo.prepare(proto, threads=1), octavo.prepare(proto)
    one.observe(some(data, 0, 20))
    other.observe(some(data, 20, 80))
    with ProcessPoolExecutor(1, get_context("spawn")) as pool:
        whole = pool.submit(octavo.Calibrator.merge, one, other).result()
    assert (whole.samples, one.samples, whole.names, whole.files) == (80, 20, one.names, one.files)
    assert of(octavo.convert(whole)) == of(octavo.quantize(proto, data))


def test_damaged_files_are_an_error_that_names_them(proto, data, tmp_path):
    path = tmp_path / "saved"
    octavo.prepare(proto).observe(some(data, 0, 5)).save(path)
    whole = path.read_bytes()
    tensors = load(whole)

    def document(**changes):
        known = json.loads(tensors["document"].tobytes()) | changes
        return np.frombuffer(json.dumps(known).encode(), np.uint8)

    damaged = [
        b"",
        b"something else",
        whole[:-3],
        save({name: array for name, array in tensors.items() if name != "half 1"}),
        save(tensors | {"document": document(version=1)}),
        save(tensors | {"document": document(recipe={"name": "int9"})}),
        save(tensors | {"document": document(recipe="int8")}),
        save(tensors | {"document": document(recipe={"name": "dynamic", "bits": 4})}),
        save(tensors | {"document": document(recipe={"name": "int8", "bytes": 1})}),
        save(tensors | {"document": document(samples=4)}),
        save(tensors | {"document": document(samples="5")}),
        save(tensors | {"document": np.frombuffer(b"[]", np.uint8)}),
        save(tensors | {"program": tensors["program"][:-1].copy()}),
        save(tensors | {"half 0": tensors["half 0"][:-1].copy()}),
        save(tensors | {"sample 0000 x": np.zeros(6)}),
        save(tensors | {"sample 0000 q": np.zeros(6, F)}),
    ]
    for data_of in damaged:
        path.write_bytes(data_of)
        with pytest.raises(octavo.DataError, match="saved is no calibration that this octavo can read"):
            octavo.Calibrator.load(path)
    with pytest.raises(FileNotFoundError):
        octavo.Calibrator.load(tmp_path / "nothing")
