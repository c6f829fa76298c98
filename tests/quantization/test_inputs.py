"""Doubtful calibration data are told in the report and logged: too few, constant, all the same."""

import logging

import numpy as np
import octavo
import pytest
from octavo.quantization import inputs


def warnings(model, data):
    return octavo.quantize(model, data).report.warnings


def test_a_hundred_samples_raise_no_doubt(quantized):
    assert quantized.report.warnings == []
    assert "warning" not in str(quantized.report)
    assert "warning" not in repr(quantized)


@pytest.mark.parametrize(("count", "says"), [(1, "one sample only"), (31, "31 samples only"), (32, None)])
def test_few_samples(model, digits, count, says, caplog):
    report = octavo.quantize(model, digits[:count]).report
    if says is None:
        assert (report.warnings, caplog.records) == ([], [])
        return
    (warning,) = report.warnings
    assert warning.startswith(says)
    assert f"warning: {says}" in str(report)
    assert report.to_dict()["warnings"] == [warning]
    (record,) = caplog.records
    assert (record.name, record.levelno) == ("octavo", logging.WARNING)
    assert warning in record.getMessage()


def test_samples_of_a_fixed_batch_count(model, digits):
    import onnx

    proto = onnx.load(model)
    proto.graph.input[0].type.tensor_type.shape.dim[0].dim_value = 16
    proto.graph.output[0].type.tensor_type.shape.dim[0].dim_value = 16
    assert warnings(proto, digits[:32]) == []
    assert warnings(proto, digits[:16])[0].startswith("one sample only")


def test_the_largest_fixed_batch_counts():
    """An input of one row for all samples, such as a table, makes none of a batch beside it."""
    import onnx.parser

    rng = np.random.default_rng(0)
    for declared in ("float[16,4] x, float[1,4] table", "float[1,4] table, float[16,4] x"):
        text = f'<ir_version: 10, opset_import: ["" : 21]> g ({declared}) => (float[16,3] y) '
        proto = onnx.parser.parse_model(text + "{ s = Add(x, table) y = MatMul(s, w) }")
        proto.graph.initializer.append(onnx.numpy_helper.from_array(np.ones((4, 3), np.float32), "w"))
        shapes = {"x": (16, 4), "table": (1, 4)}
        data = [
            {name: rng.normal(size=shape).astype(np.float32) for name, shape in shapes.items()}
            for _ in range(2)
        ]
        assert warnings(proto, data) == []
        assert warnings(proto, data[:1])[0].startswith("one sample only")


def test_constant_input(model):
    (warning,) = warnings(model, np.full((40, 1, 28, 28), 0.5, np.float32))
    assert "'input' is 0.5 throughout" in warning


def test_samples_that_are_all_the_same(model, digits):
    (warning,) = warnings(model, np.repeat(digits[:1], 40, axis=0))
    assert "all the same" in warning


@pytest.mark.parametrize("error", [octavo.RunError("no"), MemoryError()])
def test_a_look_at_the_model_that_fails_keeps_nothing_from_being_quantized(monkeypatch, model, digits, error):
    """The other doubts are told; without it, so are those of preprocessing."""

    def look(program, feeds, threads):
        asked.append((len(feeds), threads))
        if len(asked) > 1:
            raise error
        return ["preprocessing"]

    asked = []
    monkeypatch.setattr(inputs, "unlike_training", look)
    few, preprocessing = octavo.quantize(model, digits[:3], threads=2).report.warnings
    assert few.startswith("3 samples only")
    assert preprocessing == "preprocessing"
    assert octavo.quantize(model, digits[:3], threads=2).report.warnings == [few]
    assert asked == [(3, 2)] * 2
    octavo.quantize(model, np.repeat(digits[:1], 3, 0))  # of samples that are all the same, nothing is asked
    assert len(asked) == 2


def test_another_error_is_none_of_the_model_s(monkeypatch, model, digits):
    def look(program, feeds, threads):
        raise ZeroDivisionError

    monkeypatch.setattr(inputs, "unlike_training", look)
    with pytest.raises(ZeroDivisionError):
        octavo.quantize(model, digits[:3])
