"""The modes in which an encoder of sentences is published, made by ONNX Runtime's own tools: all run."""

import sys
from pathlib import Path

import numpy as np
import octavo
import onnx
import onnx_ir as ir
import onnxruntime
import pytest
from encoders import HEADS, HIDDEN, WORDS, random_weights
from octavo.session import load_program
from onnx import helper, numpy_helper
from onnxruntime.quantization import QuantType, quantize_dynamic
from onnxruntime.quantization.matmul_nbits_quantizer import MatMulNBitsQuantizer
from onnxruntime.transformers import optimizer
from onnxruntime.transformers.float16 import convert_float_to_float16

sys.path.insert(0, str(Path(__file__).resolve().parents[3] / "benches"))

import minilm

pytestmark = pytest.mark.filterwarnings("ignore")  # the tools' own

LENGTHS = (1, 9, 24)
LEAST = 0.999
"""Cosine of the sentences to ONNX Runtime's."""


def exported():
    """The encoder as exporters write it at opset 17, which the tools know."""
    proto = ir.to_proto(minilm.build(random_weights(), HEADS))
    nodes = []
    for node in proto.graph.node:
        (y,) = node.output
        if node.op_type == "Gelu":
            (x,) = node.input
            steps = [
                ("Div", x, "root"),
                ("Erf", "0"),
                ("Add", "1", "one"),
                ("Mul", x, "2"),
                ("Mul", "3", "half"),
            ]
            for place, (op, *inputs) in enumerate(steps):
                names = [f"{y}/{name}" if name.isdigit() else name for name in inputs]
                made = y if place == 4 else f"{y}/{place}"
                nodes.append(helper.make_node(op, names, [made], f"{y}/{op}{place}"))
        elif node.op_type == "ReduceL2":
            nodes.append(helper.make_node("ReduceL2", node.input[:1], [y], node.name, axes=[-1], keepdims=1))
        elif y == "mask.Unsqueeze":
            nodes.append(
                helper.make_node("Unsqueeze", [node.input[0], "first"], ["mask.1"], "mask.Unsqueeze_1")
            )
            nodes.append(helper.make_node("Unsqueeze", ["mask.1", "second"], [y], "mask.Unsqueeze_2"))
        else:
            nodes.append(node)
    del proto.graph.node[:]
    proto.graph.node.extend(nodes)
    numbers = {"root": 2**0.5, "one": 1.0, "half": 0.5}
    constants = {name: np.array(number, np.float32) for name, number in numbers.items()}
    constants |= {"first": np.array([1]), "second": np.array([2])}
    proto.graph.initializer.extend(numpy_helper.from_array(array, name) for name, array in constants.items())
    proto.opset_import[0].version, proto.ir_version = 17, 8
    onnx.checker.check_model(proto)
    return proto


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    folder = tmp_path_factory.mktemp("encoder")
    onnx.save(exported(), folder / "float32.onnx")
    return folder


def fused(folder):
    options = {"num_heads": HEADS, "hidden_size": HIDDEN, "opt_level": 0}
    return optimizer.optimize_model(str(folder / "float32.onnx"), "bert", **options)


def dynamic(folder, **more):
    quantize_dynamic(folder / "float32.onnx", folder / "dynamic.onnx", **more)
    return onnx.load(folder / "dynamic.onnx")


def packed(folder, bits, *, symmetric=True):
    made = MatMulNBitsQuantizer(
        onnx.load(folder / "float32.onnx"), bits=bits, block_size=16, is_symmetric=symmetric
    )
    made.process()
    return made.model.model


MODES = {
    "float32": lambda folder: onnx.load(folder / "float32.onnx"),
    "fp16": lambda folder: convert_float_to_float16(onnx.load(folder / "float32.onnx"), keep_io_types=True),
    "fused": lambda folder: fused(folder).model,
    "fused fp16": lambda folder: (made := fused(folder)).convert_float_to_float16() or made.model,
    "quantized": lambda folder: dynamic(
        folder, weight_type=QuantType.QInt8, per_channel=True, reduce_range=True
    ),
    "int8": lambda folder: dynamic(folder, weight_type=QuantType.QInt8),
    "uint8": lambda folder: dynamic(folder, weight_type=QuantType.QUInt8),
    "q4": lambda folder: packed(folder, 4),
    "q4 with zero points": lambda folder: packed(folder, 4, symmetric=False),
    "q8": lambda folder: packed(folder, 8),
}
IN_INTEGERS = {"quantized", "int8", "uint8"}


@pytest.mark.parametrize("mode", MODES)
def test_an_encoder_of_every_mode(mode, folder):
    model = MODES[mode](folder)
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 4
    peer = onnxruntime.InferenceSession(
        model.SerializeToString(), options, providers=["CPUExecutionProvider"]
    )
    session = octavo.Session(model)
    for length in LENGTHS:
        rng = np.random.default_rng(length)
        mask = (np.arange(length) < np.array([[length], [max(1, length - 4)]])).astype(np.int64)
        ids = rng.integers(0, WORDS, (2, length))
        feeds = {"input_ids": ids, "attention_mask": mask, "token_type_ids": np.zeros_like(ids)}
        (ours,) = session.run(["sentence_embedding"], feeds)
        (theirs,) = peer.run(["sentence_embedding"], feeds)
        assert (ours.dtype, ours.shape) == (theirs.dtype, theirs.shape)
        lengths = np.linalg.norm(ours, axis=1) * np.linalg.norm(theirs, axis=1)
        assert ((ours * theirs).sum(axis=1) / lengths).min() >= LEAST
    ops = [node.op for node in load_program(model.SerializeToString()).nodes]
    assert ops.count("QGemm") == (12 if mode in IN_INTEGERS else 0)


@pytest.mark.parametrize("mode", [*sorted(IN_INTEGERS), "q4", "q8"])
def test_a_quantized_encoder_becomes_an_artifact_without_data(mode, folder, tmp_path):
    model = MODES[mode](folder)
    ids = np.arange(14).reshape(2, 7)
    feeds = {"input_ids": ids, "attention_mask": np.ones_like(ids), "token_type_ids": np.zeros_like(ids)}
    made = octavo.quantize(model)
    answers = [octavo.Session(source).run(None, feeds) for source in (model, made)]
    for ours, theirs in zip(*answers, strict=True):
        np.testing.assert_array_equal(ours, theirs)
    made.export_onnx(tmp_path / "exported.onnx")
    peer = onnxruntime.InferenceSession(tmp_path / "exported.onnx", providers=["CPUExecutionProvider"])
    for ours, theirs in zip(answers[1], peer.run(None, feeds), strict=True):
        np.testing.assert_allclose(ours, theirs, atol=0.02 * np.abs(theirs).max())
    with pytest.raises(octavo.ModelError, match="the model is quantized already"):
        octavo.quantize(model, recipe="weight-only")


def test_what_the_tools_leave(folder):
    """The modes are what they are called."""
    ops = {mode: {node.op_type for node in make(folder).graph.node} for mode, make in MODES.items()}
    assert {"Attention", "SkipLayerNormalization", "BiasGelu"} <= ops["fused"] & ops["fused fp16"]
    assert all("MatMulInteger" in ops[mode] for mode in IN_INTEGERS)
    assert all("MatMulNBits" in ops[mode] for mode in ("q4", "q4 with zero points", "q8"))
