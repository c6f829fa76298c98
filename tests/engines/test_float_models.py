"""Whole float models: the same bytes on every engine and batch split, close to ONNX Runtime, of any size."""

import sys
from pathlib import Path

import numpy as np
import octavo
import onnx
import onnxruntime
import pytest
from octavo.session import load_program

sys.path.insert(0, str(Path(__file__).resolve().parents[2] / "benches"))
import datasets
import resnet

CASES = {case.name: case for case in datasets.CASES}
LARGE = {"squeezenet", "mobilenetv2"}  # on the scalar tier, where a sample takes seconds, less of them is run
CLOSE = 1e-4  # of the largest element: what promises hold of the distance to ONNX Runtime


def outputs_of(session, feeds, one_by_one):
    if not one_by_one:
        return session.run(None, feeds)
    samples = len(next(iter(feeds.values())))
    parts = [session.run(None, {k: v[i : i + 1] for k, v in feeds.items()}) for i in range(samples)]
    return [np.concatenate(outputs) for outputs in zip(*parts, strict=True)]


def assert_close(given, expected):
    for g, e in zip(given, expected, strict=True):
        assert g.shape == e.shape
        assert np.abs(g - e).max(initial=0) <= CLOSE * np.abs(e).max(initial=0)


def peer(model, feeds):
    return onnxruntime.InferenceSession(model, providers=["CPUExecutionProvider"]).run(None, feeds)


@pytest.mark.parametrize("name", CASES)
def test_engines_agree(name, data_dir):
    case = CASES[name]
    feeds = {case.input: case.calibration()[: 2 if case.batch > 1 else 1]}
    program = load_program(case.model)
    found = {}
    for isa in octavo.tiers():
        for threads in (1, 2):
            for one_by_one in (False, True):
                if name in LARGE and isa == "scalar" and (threads, one_by_one) != (2, False):
                    continue
                session = octavo.Session(program, threads=threads, isa=isa)
                found[isa, threads, one_by_one] = outputs_of(session, feeds, one_by_one)
    assert_close(next(iter(found.values())), peer(case.model, feeds))
    digests = {engine: [output.tobytes() for output in outputs] for engine, outputs in found.items()}
    first = next(iter(digests.values()))
    assert not [engine for engine, digest in digests.items() if digest != first]


@pytest.fixture(scope="module")
def enlarger(data_dir):
    """The super-resolution network for pictures of any size."""
    model = onnx.load(data_dir / "models" / "superres.onnx")
    for value in (*model.graph.input, *model.graph.output):
        for axis, symbol in zip(value.type.tensor_type.shape.dim[2:], "HW", strict=True):
            axis.dim_param = symbol if value.name == "input" else f"{value.name}_{symbol}"
    del model.graph.value_info[:]
    return model


@pytest.mark.parametrize("shape", [(2, 1, 24, 37), (1, 1, 7, 5), (3, 1, 1, 16), (1, 1, 0, 4), (0, 1, 8, 8)])
def test_pictures_of_any_size(enlarger, shape):
    feeds = {"input": np.random.default_rng(2).random(shape, np.float32)}
    first = None
    for isa in octavo.tiers():
        for threads in (1, 2):
            given = octavo.Session(enlarger, threads=threads, isa=isa).run(None, feeds)
            first = first or given
            assert [g.tobytes() for g in given] == [f.tobytes() for f in first], f"{isa}, {threads} threads"
    assert first[0].shape == (shape[0], 1, 3 * shape[2], 3 * shape[3])
    if first[0].size:
        assert_close(first, peer(enlarger.SerializeToString(), feeds))


def test_one_session_takes_every_size_in_turn(enlarger):
    session = octavo.Session(enlarger, threads=2)
    rng = np.random.default_rng(3)
    pictures = [rng.random((1, 1, height, 9), np.float32) for height in (5, 12, 5, 1, 30)]
    expected = [octavo.Session(enlarger, threads=1).run(None, {"input": x})[0] for x in pictures]
    for _ in range(2):
        for x, e in zip(pictures, expected, strict=True):
            assert session.run(None, {"input": x})[0].tobytes() == e.tobytes()
    with pytest.raises(octavo.RunError, match=r"'input' of shape \[1, 3, 5, 9\].*\[N, 1, H, W\].*must be 1"):
        session.run(None, {"input": np.zeros((1, 3, 5, 9), np.float32)})


def test_a_small_resnet_is_the_reference(same):
    model = resnet.resnet(blocks=(1, 2), width=8, classes=10, size=33)
    feeds = {"input": np.random.default_rng(4).standard_normal((3, 3, 33, 33)).astype(np.float32)}
    given = same(load_program(model), feeds)
    assert_close(given, peer(resnet.ir.to_proto(model).SerializeToString(), feeds))
