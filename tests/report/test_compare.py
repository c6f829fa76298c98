"""What a comparison measures, against numpy; its forms; what it refuses."""

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import octavo
import pytest
from graphs import graph
from octavo.program import artifact
from octavo.report.matching import held, reals

DEMO = Path(octavo.__file__).parent / "demo"


@pytest.fixture(scope="module")
def subject(subjects):
    return subjects["branches"]


@pytest.fixture(scope="module")
def found(subject):
    return octavo.compare(subject.floats, subject.lowered().program, subject.held, np.arange(20) % 10)


def values_of(program, x):
    names = [name for node in program.nodes for name in node.outputs]
    session = octavo.Session(replace(program, outputs=names))
    return dict(zip(names, session.run(None, {"x": x}), strict=True)) | {"x": x}


def decibels(wanted, got):
    wanted, got = np.float64(wanted), np.float64(got)
    return 10 * np.log10(np.square(wanted).sum() / np.square(got - wanted).sum())


def test_outputs(subject, found):
    x = subject.held
    [one] = octavo.Session(subject.floats).run(None, {"x": x})
    [other] = octavo.Session(subject.lowered().program).run(None, {"x": x})
    (row,) = found.outputs
    assert found.samples == len(x)
    assert row.sqnr == pytest.approx(decibels(one, other))
    wide = one.astype(np.float64).ravel(), other.astype(np.float64).ravel()
    assert row.cosine == pytest.approx(np.dot(*wide) / np.linalg.norm(wide[0]) / np.linalg.norm(wide[1]))
    assert row.agreement == np.mean(one.argmax(1) == other.argmax(1))
    labels = np.arange(20) % 10
    assert row.top1 == tuple(np.mean(scores.argmax(1) == labels) for scores in (one, other))
    best = [np.argsort(-scores, 1)[:, :5] for scores in (one, other)]
    assert row.top5 == tuple(np.mean((five == labels[:, None]).any(1)) for five in best)


def test_errors_in_the_network_are_those_of_its_values(subject, found):
    lowered = subject.lowered()
    one, other = values_of(subject.floats, subject.held), values_of(lowered.program, subject.held)
    for row in found.layers:
        value = lowered.program.values[row.value]
        wanted, got = one[row.of], reals(value, other[row.value])
        if np.array_equal(wanted, got):
            assert row.accumulated == 300.0
        else:
            assert row.accumulated == pytest.approx(decibels(wanted, got))


def test_a_layer_alone_errs_by_its_own_integers(subject, found):
    """A product by itself: the runtime's node on the float values as it holds them, beside numpy's Conv."""
    program, floats = subject.lowered().program, subject.floats
    x = values_of(floats, subject.held)["m"]
    value = program.values["m"]
    near = reals(value, held(value, x))
    weight, bias = (floats.constants[name].astype(np.float64) for name in ("wl", "bl"))
    exact = np.einsum("nchw,oc->nohw", near.astype(np.float64), weight[:, :, 0, 0]) + bias[:, None, None]
    exact = np.maximum(exact, 0)
    node = next(node for node in program.nodes if node.name == "the_l")
    piece = replace(program, inputs=["m"], outputs=["k"], nodes=[node])
    used = {"m", "k", *node.inputs}
    piece = replace(
        piece,
        values={name: piece.values[name] for name in used},
        constants={name: array for name, array in piece.constants.items() if name in used},
    )
    [integers] = octavo.Session(piece).run(None, {"m": held(value, x)})
    row = found.layer("the_l")
    assert row.sqnr == pytest.approx(decibels(exact, reals(program.values["k"], integers)), abs=1e-3)
    assert row.clipping + row.rounding + row.computing == pytest.approx(1)
    assert (row.scale, row.zero_point) == ([float(program.values["k"].quant.scale[0])], [0.0])
    assert row.bytes == sum(program.constants[name].nbytes for name in node.inputs[1:])


def test_the_effect_at_the_outputs_is_that_of_the_layer_s_error_in_the_float_model(subject, found):
    """By hand for the last product but one: its error, then numpy's pool, Gemm."""
    floats, probed = subject.floats, subject.held[:8]
    row = found.layer("the_y")
    one = values_of(floats, probed)
    weight, bias = floats.constants["wy"], floats.constants["by"]
    program = subject.lowered().program
    name = next(node for node in program.nodes if node.name == "the_y").inputs[0]
    t = reals(program.values[name], held(program.values[name], one["t"])).astype(np.float64)
    node = next(node for node in program.nodes if node.name == "the_y")
    used = {name, "y", *node.inputs}
    piece = replace(
        program,
        inputs=[name],
        outputs=["y"],
        nodes=[node],
        values={n: program.values[n] for n in used},
        constants={n: array for n, array in program.constants.items() if n in used},
    )
    [got] = octavo.Session(piece).run(None, {name: held(program.values[name], one["t"])})
    error = got - (t @ weight.T.astype(np.float64) + bias)
    assert row.at_outputs == pytest.approx(decibels(one["y"], one["y"] + error), abs=1e-2)


def test_layers_are_in_the_order_of_their_harm(found):
    assert [row.at_outputs for row in found.layers] == sorted(row.at_outputs for row in found.layers)
    assert found.layers[0].cause is not None


def test_a_file_is_compared_like_the_model_in_memory(subject, found, tmp_path):
    program = subject.lowered().program
    artifact.save(program, tmp_path / "model.octavo")
    again = octavo.compare(
        subject.floats, tmp_path / "model.octavo", lambda: iter(subject.held), list(np.arange(20) % 10)
    )
    assert timeless(again) == timeless(found)


def timeless(found):
    return [replace(row, seconds=None) for row in found.layers], found.outputs, found.causes


def test_threads_change_nothing(subject, found):
    program = subject.lowered().program
    again = octavo.compare(subject.floats, program, subject.held, np.arange(20) % 10, threads=1)
    assert timeless(again) == timeless(found)


def test_a_model_beside_itself(subject):
    for program in (subject.floats, subject.lowered().program):
        found = octavo.compare(program, program, subject.held[:3])
        assert [(row.sqnr, row.cosine, row.agreement) for row in found.outputs] == [
            (300.0, pytest.approx(1), 1.0)
        ]
        assert {row.accumulated for row in found.layers} == {300.0}
        assert found.unmatched == {}


def test_forms_of_a_comparison(found):
    text = str(found)
    assert text.splitlines()[0] == "compared over 20 samples"
    assert all(row.name in text for row in found.layers)
    data = json.loads(json.dumps(found.to_dict()))
    assert [row["name"] for row in data["layers"]] == [row.name for row in found.layers]
    assert data["outputs"][0]["sqnr"] == found.outputs[0].sqnr
    assert "\n" not in repr(found)
    with pytest.raises(KeyError):
        found.layer("none")


@pytest.mark.parametrize(
    ("labels", "error"),
    [
        ([0] * 19, "there are 19 labels for 20 samples"),
        ([0.5] * 20, "one whole number a sample"),
        (3, "labels is of type int"),
    ],
)
def test_labels_that_do_not_fit(subject, labels, error):
    with pytest.raises((octavo.DataError, TypeError), match=error):
        octavo.compare(subject.floats, subject.floats, subject.held, labels)


def test_models_that_cannot_be_compared(subjects):
    one, other = subjects["branches"].floats, subjects["rows"].floats
    with pytest.raises(octavo.ModelError, match="the models have other"):
        octavo.compare(subjects["digits"].floats, one, subjects["branches"].held)
    with pytest.raises(octavo.DataError):
        octavo.compare(one, one, subjects["rows"].held)
    with pytest.raises(octavo.Error):
        octavo.compare(one, replace(other, inputs=["z"]), subjects["branches"].held)


def test_progress_counts_samples(subject):
    seen = []
    octavo.compare(subject.floats, subject.floats, subject.held[:3], progress=seen.append)
    assert seen == [1, 2, 3]


def test_sessions_are_compared_by_their_outputs(subject, found):
    program = subject.lowered().program
    for one, other in (
        (octavo.Session(subject.floats), program),
        (subject.floats, octavo.Session(program)),
    ):
        answers = octavo.compare(one, other, subject.held, np.arange(20) % 10)
        assert answers.outputs == found.outputs
        assert (answers.samples, answers.layers, answers.causes) == (20, [], [])
        assert "output y: SQNR" in str(answers)


def test_a_session_of_another_runtime(digits):
    import onnxruntime

    path = str(DEMO / "mnist-cnn.onnx")
    other = onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"])
    (row,) = octavo.compare(path, other, digits[:5]).outputs
    assert row.sqnr > 100
    renamed = octavo.Session(graph("g (float[N,1,28,28] z) => (float[N,1,28,28] y) { y = Relu(z) }"))
    with pytest.raises(octavo.ModelError, match="the models have other inputs: 'input' and 'z'"):
        octavo.compare(other, renamed, digits[:5])
