"""Models that are quantized already: run, quantized as they are, quantized further with data, refused."""

import re
import sys
from pathlib import Path

import numpy as np
import octavo
import onnx
import onnxruntime
import pytest
from given import Net, integers, ops, reals, runtime
from octavo import frontend, reference
from octavo.lowering import Forms, evaluate, lower, lower_to_integers
from octavo.passes import simplify
from octavo.program import Program
from onnxruntime.quantization import CalibrationDataReader, QuantType, quantize_static

sys.path.insert(0, str(Path(__file__).resolve().parents[2] / "benches"))

from datasets import CASES

X = {"x": reals(4, 3, 8, 8)}


def half():
    """A Conv in integers, as the model says, and one that it leaves in float."""
    net = Net()
    weights = net.weights(integers(4, 3, 3, 3), np.full(4, 0.004), axis=0)
    y = net.op("Conv", net.rounded("x", 0.02, 120), weights, reals(4), pads=[1, 1, 1, 1])
    y = net.rounded(net.op("Relu", y), 0.025)
    return net.model(net.op("Conv", y, reals(5, 4, 3, 3), reals(5)))


def test_without_data_the_forms_are_those_of_the_model():
    model = half()
    quantized = octavo.quantize(model)
    assert ops(model) == ops(quantized) == {"Quantize": 1, "QConv": 1, "Dequantize": 1, "Conv": 1}
    (given,), (run,) = (octavo.Session(source).run(None, X) for source in (quantized, model))
    np.testing.assert_array_equal(given, run)
    report = quantized.report
    assert (report.given_tensors, report.given_weights, report.samples) == (2, 1, 0)
    assert "as the model gives them: 2 tensors' scales, 1 products' weights" in str(report)
    assert [(stay.op, stay.reason) for stay in report.stays] == [
        ("Conv", "its weights have no scale: the model gives none, and there were no data")
    ]
    assert "as the model gives them" in report._repr_html_()


def test_with_data_the_rest_is_quantized_too():
    model = half()
    data = {"x": reals(40, 3, 8, 8, seed=9)}
    quantized = octavo.quantize(model, data)
    assert ops(quantized) == {"Quantize": 1, "QConv": 2}
    program = quantized.program
    first = next(node for node in program.nodes if node.op == "QConv")
    np.testing.assert_array_equal(program.constants[first.inputs[1]], integers(4, 3, 3, 3))
    np.testing.assert_array_equal(program.values[first.outputs[0]].quant.scale, np.float32([0.025]))
    (y,), (e,) = (octavo.Session(source).run(None, X) for source in (quantized, model))
    assert 10 * np.log10(np.sum(e**2) / np.sum((e - y) ** 2)) > 35


@pytest.mark.parametrize("effort", ["fast", "default", "best"])
def test_forms_that_are_given_are_kept_whatever_the_effort(effort):
    model = half()
    quantized = octavo.quantize(model, {"x": reals(40, 3, 8, 8, seed=9)}, effort=effort)
    scales = {
        float(value.quant.scale[0])
        for value in quantized.program.values.values()
        if value.dtype == "u8" and value.quant is not None
    }
    assert scales == {float(np.float32(0.02)), float(np.float32(0.025))}


def test_a_calibrator_of_such_a_model():
    calibrator = octavo.prepare(half())
    calibrator.observe({"x": reals(40, 3, 8, 8, seed=9)})
    assert ops(octavo.convert(calibrator)) == {"Quantize": 1, "QConv": 2}


@pytest.mark.parametrize("recipe", ["dynamic", "weight-only", "float16"])
def test_recipes_for_float_models_say_so(recipe):
    with pytest.raises(
        octavo.ModelError, match=rf"quantized already, and the recipe '{recipe}' is for float"
    ):
        octavo.quantize(half(), recipe=recipe)


def test_a_float_model_needs_data_as_ever(model):
    with pytest.raises(octavo.DataError, match="needs data"):
        octavo.quantize(model)


def test_nodes_that_are_excluded_stay_float():
    model = half()
    first = next(node.name for node in model.graph.node if node.op_type == "Conv")
    quantized = octavo.quantize(model, exclude=[first])
    assert ops(quantized) == {"Quantize": 2, "Dequantize": 2, "Conv": 2, "Relu": 1}
    (y,) = octavo.Session(quantized).run(None, X)
    np.testing.assert_allclose(y, runtime(model).run(None, X)[0], atol=1e-4)


def test_compare_takes_such_models():
    found = octavo.compare(half(), octavo.quantize(half()), X)
    assert np.isfinite(float(re.findall(r"([\d.]+) dB", str(found))[0])) or "inf" in str(found)


def test_artifacts_of_such_models(tmp_path):
    quantized = octavo.quantize(half())
    quantized.save(tmp_path / "a.octavo")
    answers = [octavo.Session(source).run(None, X)[0] for source in (quantized, tmp_path / "a.octavo")]
    np.testing.assert_array_equal(*answers)


class FakeQuantized:
    """A network of two matrix products, trained by numpy with the roundings that it will have in use."""

    def __init__(self, rng):
        self.w = [rng.normal(0, 0.4, (8, 16)), rng.normal(0, 0.3, (16, 3))]
        self.b = [np.zeros(16), np.zeros(3)]
        self.scales = [0.03, 0.04]
        self.zeros = [128, 0]

    def weight_scales(self, layer):
        return np.float32(np.maximum(np.abs(self.w[layer]).max(axis=0), 1e-3) / 7)  # four bits

    def rounded(self, x, layer):
        scale, zero = self.scales[layer], self.zeros[layer]
        return (np.clip(np.rint(x / scale) + zero, 0, 255) - zero) * scale

    def rounded_weights(self, layer):
        scale = self.weight_scales(layer)
        return np.clip(np.rint(self.w[layer] / scale), -7, 7) * scale

    def forward(self, x):
        held = [self.rounded(x, 0)]
        hidden = np.maximum(held[0] @ self.rounded_weights(0) + self.b[0], 0)
        held.append(self.rounded(hidden, 1))
        return held, held[1] @ self.rounded_weights(1) + self.b[1]

    def train(self, x, labels, rate=0.2, steps=400):
        """Straight through the roundings, as if they were not there."""
        for _ in range(steps):
            held, logits = self.forward(x)
            shares = np.exp(logits - logits.max(axis=1, keepdims=True))
            shares /= shares.sum(axis=1, keepdims=True)
            shares[np.arange(len(x)), labels] -= 1
            shares /= len(x)
            back = (shares @ self.rounded_weights(1).T) * ((held[1] > 0) & (held[1] < 255 * self.scales[1]))
            for layer, error in ((0, back), (1, shares)):
                self.w[layer] -= rate * held[layer].T @ error
                self.b[layer] -= rate * error.sum(axis=0)

    def export(self):
        """As PyTorch exports fake quantization: float weights behind a pair."""
        net, y = Net(("N", 8), opset=13), "x"
        for layer in (0, 1):
            y = net.rounded(y, self.scales[layer], self.zeros[layer])
            scale, zero = self.weight_scales(layer), np.zeros(self.w[layer].shape[1])
            held = np.float32(self.rounded_weights(layer))
            weights = net.quantized(held, scale, zero, "int8", axis=1)
            weights = net.dequantized(weights, scale, zero, "int8", axis=1)
            y = net.op("Add", net.op("MatMul", y, weights), np.float32(self.b[layer]))
            y = net.op("Relu", y) if layer == 0 else y
        return net.model(y)


def test_a_network_trained_with_fake_quantization():
    """It runs in integers alone, and answers what it was trained to answer."""
    rng = np.random.default_rng(0)
    centres = rng.normal(0, 1, (3, 8))
    labels = rng.integers(0, 3, 600)
    x = np.float32(centres[labels] + rng.normal(0, 0.7, (600, 8)))
    net = FakeQuantized(rng)
    before = np.mean(net.forward(x[400:])[1].argmax(1) == labels[400:])
    net.train(x[:400], labels[:400])
    wanted = net.forward(x[400:])[1]
    assert np.mean(wanted.argmax(1) == labels[400:]) > max(0.85, before)
    model = net.export()
    assert ops(model) == {"Quantize": 1, "QGemm": 2}
    (given,) = octavo.Session(model).run(None, {"x": x[400:]})
    np.testing.assert_array_equal(given.argmax(1), wanted.argmax(1))
    # The biases are rounded to steps of the sums, which are wide by weights of four bits.
    assert 10 * np.log10(np.sum(wanted**2) / np.sum((given - wanted) ** 2)) > 40


class Reader(CalibrationDataReader):
    """Samples as ONNX Runtime takes them."""

    def __init__(self, images):
        self._images = iter(images)

    def get_next(self):
        image = next(self._images, None)
        return None if image is None else {"input": image[None]}


@pytest.mark.parametrize(
    ("activations", "weights", "per_channel", "symmetric"),
    [
        ("QUInt8", "QInt8", True, False),
        ("QInt8", "QInt8", True, True),
        ("QInt8", "QInt8", False, False),
        ("QUInt8", "QUInt8", False, False),
        ("QUInt8", "QUInt8", True, False),
    ],
)
def test_what_onnx_runtime_quantizes(model, digits, tmp_path, activations, weights, per_channel, symmetric):
    path = tmp_path / "qdq.onnx"
    quantize_static(
        model,
        path,
        Reader(digits[:20]),
        per_channel=per_channel,
        activation_type=QuantType[activations],
        weight_type=QuantType[weights],
        extra_options={"ActivationSymmetric": symmetric},
    )
    quantized = octavo.quantize(path)
    assert quantized.report.float_ops == {}
    assert quantized.report.stays == []
    given, wanted = (
        session.run(None, {"input": digits})[0] for session in (octavo.Session(quantized), runtime(str(path)))
    )
    np.testing.assert_array_equal(given.argmax(1), wanted.argmax(1))
    step = np.min(np.diff(np.unique(wanted)))
    assert np.abs(given - wanted).max() < 1.01 * step
    assert np.mean(given != wanted) < 0.01


def test_a_real_network_layer_by_layer(data_dir):
    """Every node, on the integers that ONNX Runtime has there, gives those behind, but for ties."""
    path = data_dir / "models" / "mobilenetv2-qdq.onnx"
    lowered = lower_to_integers(lower(simplify(frontend.load(path), evaluate)).program, Forms(derives=False))
    program = lowered.program
    assert lowered.stays == []
    proto = onnx.load(path)
    source = {
        node.output[0]: node.input[0] for node in proto.graph.node if node.op_type == "DequantizeLinear"
    }
    made = {node.output[0] for node in proto.graph.node if node.op_type == "QuantizeLinear"}
    proto.graph.output.extend(onnx.ValueInfoProto(name=name) for name in sorted(made))
    x = reals(1, 3, 224, 224)
    held = dict(zip(sorted(made), runtime(proto).run(sorted(made), {"input": x}), strict=True))

    def of(name):
        found = held.get(source.get(lowered.values.get(name)))
        return x if found is None else (found.astype(np.int16) + 128).astype(np.uint8)  # of int8

    seen, differ = 0, 0
    for node in program.nodes:
        (output,) = node.outputs
        if program.values[output].dtype != "u8":
            continue
        reads = [name for name in node.inputs if name not in program.constants]
        alone = Program(
            reads,
            [output],
            {name: program.values[name] for name in (*node.inputs, output)},
            {name: program.constants[name] for name in node.inputs if name in program.constants},
            [node],
        )
        (given,) = reference.run(alone, {name: of(name) for name in reads})
        errors = np.abs(given.astype(np.int64) - of(output))
        assert errors.max() <= 1, node.name
        seen, differ = seen + errors.size, differ + np.count_nonzero(errors)
    assert seen > 6_000_000
    assert differ < 1e-4 * seen


def test_a_real_network_agrees_with_its_runtime(data_dir):
    """As well as ONNX Runtime's own integer kernels do with its float ones: roundings add up in deep nets."""
    path = data_dir / "models" / "mobilenetv2-qdq.onnx"
    case = next(case for case in CASES if case.name == "mobilenetv2")
    images = np.concatenate([batch for batch, _ in case.batches(60)])
    plain = runtime(str(path))
    fused = onnxruntime.InferenceSession(str(path), providers=["CPUExecutionProvider"])
    own = octavo.Session(path)
    wanted, *others = (
        np.concatenate([session.run(None, {"input": image[None]})[0] for image in images])
        for session in (plain, fused, own)
    )
    noises = [np.sum((wanted - other) ** 2) for other in others]
    agree = [np.mean(wanted.argmax(1) == other.argmax(1)) for other in others]
    assert noises[1] < 1.5 * noises[0]
    assert agree[1] >= agree[0] - 0.05
