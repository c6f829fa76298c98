"""Doubtful calibration data are told in the report and logged: too few, constant, all the same."""

import logging

import numpy as np
import octavo
import pytest


def warnings(model, data):
    return octavo.quantize(model, data).report.warnings


def test_a_hundred_samples_raise_no_doubt(quantized):
    assert quantized.report.warnings == []
    assert "warning" not in str(quantized.report)
    assert "warning" not in repr(quantized)


@pytest.mark.parametrize(("count", "says"), [(1, "one sample only"), (9, "9 samples only"), (10, None)])
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
    proto.graph.input[0].type.tensor_type.shape.dim[0].dim_value = 5
    proto.graph.output[0].type.tensor_type.shape.dim[0].dim_value = 5
    assert warnings(proto, digits[:10]) == []
    assert warnings(proto, digits[:5])[0].startswith("one sample only")


def test_the_largest_fixed_batch_counts():
    """An input of one row for all samples, such as a table, makes none of a batch beside it."""
    import onnx.parser

    rng = np.random.default_rng(0)
    for declared in ("float[5,4] x, float[1,4] table", "float[1,4] table, float[5,4] x"):
        text = f'<ir_version: 10, opset_import: ["" : 21]> g ({declared}) => (float[5,3] y) '
        proto = onnx.parser.parse_model(text + "{ s = Add(x, table) y = MatMul(s, w) }")
        proto.graph.initializer.append(onnx.numpy_helper.from_array(np.ones((4, 3), np.float32), "w"))
        shapes = {"x": (5, 4), "table": (1, 4)}
        data = [
            {name: rng.normal(size=shape).astype(np.float32) for name, shape in shapes.items()}
            for _ in range(2)
        ]
        assert warnings(proto, data) == []
        assert warnings(proto, data[:1])[0].startswith("one sample only")


def test_constant_input(model):
    (warning,) = warnings(model, np.full((20, 1, 28, 28), 0.5, np.float32))
    assert "'input' is 0.5 throughout" in warning


def test_samples_that_are_all_the_same(model, digits):
    (warning,) = warnings(model, np.repeat(digits[:1], 20, axis=0))
    assert "all the same" in warning
