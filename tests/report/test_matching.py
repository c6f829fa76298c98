"""Which values of two Programs are the same, and that an artifact tells it as well as the lowering does."""

from dataclasses import replace

import numpy as np
import octavo
import octavo.reference
import pytest
from injections import changed, subject
from octavo.lowering import Range
from octavo.program import artifact
from octavo.report.matching import bounds, held, match, reals
from octavo.report.trials import Change, forms_of, trials
from small import model

NAMES = ["digits", "branches", "rows"]


@pytest.mark.parametrize("name", NAMES)
def test_names_tell_what_lowering_remembers(subjects, name):
    subject = subjects[name]
    lowered = subject.lowered()
    found = match(subject.floats, lowered.program)
    constants = lowered.program.constants
    assert found.values == {name: of for name, of in lowered.values.items() if name not in constants}
    assert found.unmatched == {}


@pytest.mark.parametrize("name", NAMES)
def test_layers_are_made_of_the_nodes_that_lowering_remembers(subjects, name):
    subject = subjects[name]
    lowered = subject.lowered()
    layers = match(subject.floats, lowered.program).layers
    for layer in layers:
        assert tuple(node.name for node in layer.nodes) == lowered.nodes[layer.name]
    assert {layer.name for layer in layers} == {
        node.name for node in lowered.program.nodes if node.op != "Dequantize"
    }


def test_an_input_on_a_grid_is_tried_in_a_plain_range():
    rng = np.random.default_rng(0)
    text = "g (float[N,3,8,8] x) => (float[N,5] y) { c = Conv(x, w) q = GlobalAveragePool(c) y = Flatten(q) }"
    mean, deviation = (
        np.array(row, np.float32)[:, None, None] for row in ([0.4, 0.5, 0.6], [0.2, 0.3, 0.25])
    )
    pixels = rng.integers(0, 256, (40, 3, 8, 8)).astype(np.float32) / np.float32(255)
    x = ((pixels - mean) / deviation).astype(np.float32)
    one = subject(model(text, w=rng.normal(size=(5, 3, 3, 3))), x[:36], x[36:])
    program = one.lowered().program
    tried = trials(one.floats, program, [{"x": one.held}], None)
    [(name, form)] = forms_of(one.floats, program).grids.items()
    made = tried.made(Change(ranges={name: Range(0.0, 2.0)}))
    assert made.forms[name].scale == np.float32(2 / 255)
    assert tried.made(Change()).forms[name] == form


@pytest.mark.parametrize("name", NAMES)
def test_a_model_lowered_by_the_forms_of_its_artifact_is_that_artifact(subjects, name):
    subject = subjects[name]
    program = artifact.from_bytes(artifact.to_bytes(subject.lowered().program))
    feeds = [dict(zip(subject.floats.inputs, [sample[None]], strict=True)) for sample in subject.held]
    found = trials(subject.floats, program, feeds, None)
    assert artifact.to_bytes(found.plain.program) == artifact.to_bytes(program)
    assert forms_of(subject.floats, program).per_channel


@pytest.mark.parametrize("name", NAMES)
def test_a_model_made_again_without_a_change_has_its_weights_and_biases(subjects, name):
    """Made for the samples, which its forms do not tell."""
    subject = subjects[name]
    rng = np.random.default_rng(1)
    lowered = subject.lowered()
    constants = lowered.program.constants
    moved = {
        node.inputs[place]: (constants[node.inputs[place]] // 2 + rng.integers(0, 2)).astype(
            constants[node.inputs[place]].dtype
        )
        for node in lowered.program.nodes
        if node.op in ("QConv", "QGemm")
        for place in (1, 2)
        if constants[node.inputs[place]].dtype.kind == "i"
    }
    program = changed(lowered, **moved)
    feeds = [dict(zip(subject.floats.inputs, [subject.held[:1]], strict=True))]
    made = trials(subject.floats, program, feeds, None).made(Change())
    assert artifact.to_bytes(made.program) == artifact.to_bytes(program)


def test_models_of_which_no_remedy_can_be_tried(subjects):
    one = subjects["branches"]
    feeds, program = [{"x": one.held[:1]}], one.lowered().program
    assert trials(one.floats, one.floats, feeds, None) is None
    assert trials(program, program, feeds, None) is None
    last = program.nodes[-1]
    renamed = replace(program, nodes=[*program.nodes[:-1], replace(last, name="other")])
    assert trials(one.floats, renamed, feeds, None) is None


def test_pixels_that_the_float_model_dequantizes_itself():
    """A Cast of uint8 is a Dequantize of the float Program: what it reads stands for no reals there."""
    text = "g (uint8[N,4] p) => (float[N,3] y) { x = Cast<to=1>(p) a = Gemm(x, w) y = Gemm(a, v) }"
    rng = np.random.default_rng(0)
    proto = model(text, w=rng.normal(size=(4, 5)), v=rng.normal(size=(5, 3)))
    pixels = rng.integers(0, 256, (80, 4)).astype(np.uint8)
    quantized = octavo.quantize(proto, pixels[:60])
    found = octavo.compare(proto, quantized, pixels[60:])
    assert found.unmatched == {}
    assert {"the_a", "the_y"} <= {row.name for row in found.layers}


def test_values_in_both_forms():
    """A float op in the middle, and an output that integer ops read as well."""
    text = """g (float[N,4] x) => (float[N,5] b, float[N,3] y) {
        a = Gemm(x, w) b = Relu(a) c = Gemm(b, u) d = LogSoftmax(c) e = Gemm(d, u) f = Add(e, b)
        y = Gemm(f, v) }"""
    rng = np.random.default_rng(0)
    proto = model(text, w=rng.normal(size=(4, 5)), u=rng.normal(size=(5, 5)), v=rng.normal(size=(5, 3)))
    x = rng.normal(size=(60, 4)).astype(np.float32)
    one = subject(proto, x[:40], x[40:])
    lowered = one.lowered()
    assert "Dequantize" in {node.op for node in lowered.program.nodes}
    found = match(one.floats, lowered.program)
    constants = lowered.program.constants
    assert found.values == {name: of for name, of in lowered.values.items() if name not in constants}
    assert "Dequantize" not in {layer.node.op for layer in found.layers}
    assert found.unmatched == {}


def test_integers_and_reals_are_those_of_the_reference(subjects):
    """Every value of the quantized network in integers: what a Quantize of the reference makes of reals."""
    subject = subjects["branches"]
    program = subject.lowered().program
    rng = np.random.default_rng(5)
    for node in program.nodes:
        if node.op != "Quantize":
            continue
        value = program.values[node.outputs[0]]
        x = (rng.normal(size=(2, 3, 4, 4)) * 4).astype(np.float32)
        x.flat[:3] = np.nan, np.inf, -np.inf
        piece = octavo.program.Program(
            [node.inputs[0]],
            [value.name],
            {
                name: octavo.program.Value(name, program.values[name].dtype, None, program.values[name].quant)
                for name in (*node.inputs, value.name)
            },
            {name: program.constants[name] for name in node.inputs[1:]},
            [node],
        )
        [wanted] = octavo.reference.run(piece, {node.inputs[0]: x})
        assert np.array_equal(held(value, x), wanted)
        assert bounds(value) == (0, 255)
        scale, zero_point = float(value.quant.scale[0]), float(value.quant.zero_point[0])
        back = reals(value, wanted)
        assert np.allclose(back, scale * (wanted.astype(np.float64) - zero_point), rtol=1e-6, atol=1e-6)
