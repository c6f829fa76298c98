"""quantize(): end to end, its options, its errors, the file that it saves, and the same bytes every time."""

import hashlib
import json
import os
import subprocess
import sys

import numpy as np
import octavo
import onnx
import pytest
from octavo.program import artifact
from octavo.quantization import RECIPES


def ops(quantized):
    return [node.op for node in quantized.program.nodes]


def test_from_model_to_answers(model, digits, quantized, tmp_path):
    quantized.save(tmp_path / "model.octavo")
    answers = octavo.Session(tmp_path / "model.octavo").run(None, {"input": digits})
    assert np.array_equal(answers, octavo.Session(quantized).run(None, {"input": digits}))
    assert np.array_equal(answers, octavo.reference.run(quantized.program, {"input": digits}))
    (want,) = octavo.Session(model).run(None, {"input": digits})
    error = np.square(want - answers[0]).sum()
    assert 10 * np.log10(np.square(want).sum() / error) > 37
    assert ops(quantized) == ["Quantize", "QConv", "MaxPool", "Flatten", "QGemm"]


def test_sources_of_the_model(model, digits, quantized):
    proto = onnx.load(model)
    for source in (str(model), proto, proto.SerializeToString()):
        assert artifact.to_bytes(octavo.quantize(source, digits).program) == artifact.to_bytes(
            quantized.program
        )


def test_data_order_and_form_do_not_show(model, digits, quantized):
    want = artifact.to_bytes(quantized.program)
    for data in (digits[::-1], list(digits), [digits[:7], digits[7:]], lambda: iter(digits)):
        assert artifact.to_bytes(octavo.quantize(model, data).program) == want


@pytest.mark.parametrize("seed", ["0", "12345"])
def test_bytes_are_the_same_in_another_process(model, digits, quantized, tmp_path, seed):
    np.save(tmp_path / "data.npy", digits)
    code = (
        "import sys, hashlib, numpy, octavo\n"
        "model = octavo.quantize(sys.argv[1], numpy.load(sys.argv[2]), threads=1)\n"
        "model.save(sys.argv[3])\n"
    )
    target = tmp_path / "other.octavo"
    environment = {**os.environ, "PYTHONHASHSEED": seed, "OCTAVO_ISA": "scalar"}
    arguments = [sys.executable, "-c", code, str(model), str(tmp_path / "data.npy"), str(target)]
    subprocess.run(arguments, check=True, env=environment)
    want = hashlib.sha256(artifact.to_bytes(quantized.program)).hexdigest()
    assert hashlib.sha256(target.read_bytes()).hexdigest() == want


def test_exclude(model, digits):
    names = [node.op for node in octavo.quantize(model, digits, exclude=["*Conv*"]).program.nodes]
    assert names == ["Conv", "Relu", "Quantize", "MaxPool", "Flatten", "QGemm"]
    with pytest.raises(
        octavo.ModelError, match="no node of the model is called '/0/Cnov'; close to it are '/0/C"
    ):
        octavo.quantize(model, digits, exclude=["/0/Cnov"])


def test_one_scale_a_tensor(model, digits, quantized):
    whole = octavo.quantize(model, digits, per_channel=False).program
    weights = [value for value in whole.values.values() if value.dtype == "i8"]
    assert all(len(set(value.quant.scale.tolist())) == 1 for value in weights)
    assert artifact.to_bytes(whole) != artifact.to_bytes(quantized.program)


def test_range_rules(model, digits, quantized):
    """Each narrows the range of a tensor whose extremes are rare, and the report tells the extremes still."""
    widest = quantized.program.nodes[1].outputs[0]
    scales = [quantized.program.values[widest].quant.scale[0]]
    for rule in ("p99.999", "p99.99", "mean"):
        other = octavo.quantize(model, digits, range_rule=rule)
        scales.append(other.program.values[widest].quant.scale[0])
        assert other.report.inputs == quantized.report.inputs
    assert scales == sorted(set(scales), reverse=True)
    with pytest.raises(octavo.DataError, match="no range rule is called 'kl'"):
        octavo.quantize(model, digits, range_rule="kl")


def test_unknown_recipe(model, digits):
    with pytest.raises(
        octavo.ModelError, match=f"no recipe is called 'int3'; there are {', '.join(RECIPES)}"
    ):
        octavo.quantize(model, digits, "int3")


def test_progress(model, digits):
    seen = []
    octavo.quantize(model, digits[:5], progress=seen.append)
    assert seen == [1, 2, 3, 4, 5]


def tail(op):
    """A model whose product is followed by `op` and another product."""
    text = f"""<ir_version: 10, opset_import: ["" : 21]> g (float[N,4] x) => (float[N,4] y)
        <float[4,4] w = {{{", ".join(["1"] * 16)}}}> {{ a = MatMul(x, w) b = {op}(a) y = MatMul(b, w) }}"""
    proto = onnx.parser.parse_model(text)
    for node in proto.graph.node:
        node.name = f"the_{node.op_type}_{node.output[0]}"
    return proto


def test_strict_names_what_stays():
    data = np.ones((2, 4), np.float32)
    assert octavo.quantize(tail("Relu"), data, strict=True).report.stays == []
    with pytest.raises(
        octavo.ModelError, match=r"1 ops stay float .LogSoftmax 'the_LogSoftmax_b': LogSoftmax has no"
    ):
        octavo.quantize(tail("LogSoftmax"), data, strict=True)
    octavo.quantize(tail("LogSoftmax"), data, strict=True, exclude=["the_LogSoftmax_b"])


@pytest.mark.parametrize("op", ["Softmax", "LogSoftmax"])
def test_strict_expects_the_last_op_in_float(op):
    text = f"""<ir_version: 10, opset_import: ["" : 21]> g (float[N,4] x) => (float[N,4] y)
        <float[4,4] w = {{{", ".join(["1"] * 16)}}}> {{ a = MatMul(x, w) y = {op}(a) }}"""
    proto = onnx.parser.parse_model(text)
    (stay,) = octavo.quantize(proto, np.ones((2, 4), np.float32), strict=True).report.stays
    assert (stay.op, stay.expected) == (op, True)


def test_report(model, digits, quantized):
    report = octavo.quantize(tail("LogSoftmax"), np.ones((2, 4), np.float32)).report
    assert report.integer_ops == {"QGemm": 2}
    assert report.float_ops == {"LogSoftmax": 1}
    assert report.conversions == 2
    assert (report.macs, report.integer_macs) == (32, 32)
    text = str(report)
    for part in (
        "LogSoftmax the_LogSoftmax_b",
        "LogSoftmax has no integer form",
        "values from 1 to 1",
        "2 samples",
    ):
        assert part in text
    assert json.loads(json.dumps(report.to_dict()))["stays"][0]["name"] == "the_LogSoftmax_b"
    assert quantized.report.macs == 12 * 9 * 26 * 26 + 2028 * 10
    assert "no op of the model stays float" in str(quantized.report)


def test_report_counts_what_is_not_finite():
    report = octavo.quantize(tail("Log"), np.array([[0, 0, 0, 0], [1, 1, 1, 1]], np.float32)).report
    (seen,) = [seen for seen in report.not_finite if seen.name == "b"]
    assert (seen.infinities, seen.nans) == (4, 0)
    assert "b: 0 NaN and 4 infinite values" in str(report)


def test_saving_is_whole_or_not_at_all(quantized, tmp_path, monkeypatch):
    target = tmp_path / "model.octavo"
    target.write_bytes(b"old")
    with monkeypatch.context() as patch:
        patch.setattr(os, "replace", _full_disk)
        with pytest.raises(OSError, match="disk"):
            quantized.save(target)
    assert target.read_bytes() == b"old"
    assert os.listdir(tmp_path) == ["model.octavo"]
    quantized.save(str(target))
    assert target.read_bytes() == artifact.to_bytes(quantized.program)
    assert target.stat().st_mode & 0o777 == 0o666 & ~_umask()


@pytest.mark.parametrize("way", ["name", "relative", "symlink", "hard link", "by its link"])
def test_saving_does_not_overwrite_the_model(model, digits, tmp_path, monkeypatch, way):
    source, link = tmp_path / "model.onnx", tmp_path / "link"
    proto = onnx.load(model)
    onnx.save(proto, source, save_as_external_data=True, location="weights", size_threshold=0)
    if way in ("symlink", "by its link"):
        link.symlink_to("model.onnx")
    elif way == "hard link":
        os.link(source, link)
    target = {"name": source, "relative": "model.onnx", "by its link": source}.get(way, link)
    monkeypatch.chdir(tmp_path)
    quantized = octavo.quantize({"relative": "model.onnx", "by its link": link}.get(way, source), digits)
    if way != "relative":
        monkeypatch.chdir("/")
    before = {path: path.read_bytes() for path in tmp_path.iterdir()}
    for refused in (target, tmp_path / "weights"):
        with pytest.raises(octavo.ArtifactError, match="not overwritten"):
            quantized.save(refused)
    assert {path: path.read_bytes() for path in tmp_path.iterdir()} == before
    quantized.save(tmp_path / "model.octavo")
    quantized.save(tmp_path / "model.octavo")


def test_saving_does_not_overwrite_data_that_are_read_from_a_file(model, digits, tmp_path):
    path = tmp_path / "data.npy"
    np.save(path, digits)
    mapped = np.load(path, mmap_mode="r")
    for data in (mapped, {"input": mapped}, [mapped[:9], mapped[9:]]):
        with pytest.raises(octavo.ArtifactError, match=r"data\.npy"):
            octavo.quantize(model, data).save(path)
    np.savez(tmp_path / "data.npz", input=digits)
    with np.load(tmp_path / "data.npz") as data:
        quantized = octavo.quantize(model, data)
    with pytest.raises(octavo.ArtifactError, match=r"data\.npz"):
        quantized.save(tmp_path / "data.npz")
    assert np.array_equal(np.load(path), digits)


def _full_disk(*arguments):
    raise OSError("disk")


def _umask():
    mask = os.umask(0)
    os.umask(mask)
    return mask


def test_what_is_shown_of_a_model_is_one_line(quantized):
    session = octavo.Session(quantized, threads=1)
    for shown in (quantized, quantized.report, quantized.program, session):
        assert len(repr(shown)) < 200
        assert repr(shown).isprintable()
    assert repr(quantized).startswith("QuantizedModel(int8: 4 nodes in integers, 0 in float")
    assert repr(session) == f"Session(input -> logits; {session.isa}, 1 thread)"


def test_a_notebook_shows_the_report(model, digits):
    named = onnx.load(model)
    named.graph.node[0].name = "<b>&conv"
    quantized = octavo.quantize(named, digits[:10], exclude=["<b>&conv"])
    assert "<b>&conv" in str(quantized.report)
    shown = quantized._repr_html_()
    assert shown == quantized.report._repr_html_()
    assert "&lt;b&gt;&amp;conv" in shown
    assert "<b>" not in shown


@pytest.mark.parametrize("threads", [1, 3])
def test_threads_are_those_of_the_calibration(monkeypatch, threads):
    """Of the model's runs over samples, and of those that only measure shapes."""
    from octavo.calibration import calibrator, each
    from octavo.quantization import shapes

    asked = []

    def session(program, threads=None, isa=None):
        asked.append(threads)
        return octavo.Session(program, threads, isa)

    def recorded(function, samples, threads):
        asked.append(threads)
        return each(function, samples, threads)

    monkeypatch.setattr(shapes, "Session", session)
    monkeypatch.setattr(calibrator, "each", recorded)
    text = """<ir_version: 10, opset_import: ["" : 21]> g (float[N,4] x) => (float y)
        <int64[1] k = {2}> { s = Shape(x) t = Mul(s, k) d = Div(t, k) y = Reshape(x, d) }"""
    octavo.quantize(onnx.parser.parse_model(text), np.ones((2, 4), np.float32), threads=threads)
    in_calibration, for_shapes, for_unknown_shapes = 1, 2, 1
    assert asked == [threads] * (in_calibration + for_shapes + for_unknown_shapes)


def test_options_stand_before_the_recipe(model, digits):
    from octavo.program.integers import INT8, UINT8
    from octavo.quantization.recipes import recipe

    int8 = recipe("int8")
    assert (int8.weights, int8.activations) == (INT8, UINT8)
    assert int8.range_rules == ("minmax", "p99.999", "p99.99")
    plain, same = (
        octavo.quantize(model, digits, effort="fast", **options).program
        for options in ({}, {"per_channel": True, "range_rule": "minmax"})
    )
    assert artifact.to_bytes(same) == artifact.to_bytes(plain)


def test_the_sample_that_measures_shapes_is_calibrated_with_too():
    text = """<ir_version: 10, opset_import: ["" : 21]> g (float[N,4] x) => (float y)
        <int64[1] k = {2}> { s = Shape(x) t = Mul(s, k) d = Div(t, k) y = Reshape(x, d) }"""
    data = np.array([[9, -9, 0, 0], [1, 1, 1, 1], [2, 2, 2, 2]], np.float32)
    seen = []
    report = octavo.quantize(onnx.parser.parse_model(text), data, progress=seen.append).report
    assert (report.samples, seen) == (3, [1, 2, 3])
    assert [(item.minimum, item.maximum) for item in report.inputs] == [(-9.0, 9.0)]
