"""The bench of sentence encoders, on a small one with random weights."""

import functools
import math
import sys
from pathlib import Path

import numpy as np
import onnx_ir as ir
import pytest
from encoders import HEADS, POSITIONS, WORDS, random_weights

sys.path.insert(0, str(Path(__file__).resolve().parents[2] / "benches"))

import minilm
import sentences
import tables
import texts


def words(text):
    return 2 + len(text.split())


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    path = tmp_path_factory.mktemp("sentences") / "small.onnx"
    ir.save(minilm.build(random_weights(), HEADS), path)
    return path


def sample(seed, length):
    return sentences.feeds_of(list(np.random.default_rng(seed).integers(0, WORDS, length)))


def test_texts_are_of_all_lengths_and_none_is_in_both_lists():
    scored, calibrated = texts.texts(words, 60, 100)
    assert (len(scored), len(calibrated)) == (60, 100)
    assert len({*scored, *calibrated}) == 160
    for found, spans in ((scored, texts.SCORED), (calibrated, texts.CALIBRATED)):
        for number, text in enumerate(found):
            low, high = spans[number % len(spans)]
            assert low <= words(text) <= high, text
    assert max(map(words, scored)) > 450
    assert texts.texts(words, 60, 100) == (scored, calibrated)


def test_texts_that_there_are_not_are_told():
    with pytest.raises(ValueError, match=r"has \d+ such texts, not 5000"):
        texts.texts(words, 5000, 0)


def test_the_score_of_vectors_at_an_angle():
    expected = [[np.ones((1, 2, 3), np.float32), np.array([[1, 0]], np.float32)]] * 2
    tilted = np.array([[math.cos(0.1), math.sin(0.1)]])
    given = [expected[0], [0.9 * expected[0][0], tilted]]
    row = sentences.score(given, expected)
    assert row["cosine_min"] == round(math.cos(0.1), 5)
    assert row["cosine_mean"] == round((1 + math.cos(0.1)) / 2, 5)
    assert row["hidden_db"] == pytest.approx(10 * math.log10(12 / (6 * 0.01)), abs=0.01)
    assert row["sentence_db"] == pytest.approx(10 * math.log10(2 / (2 - 2 * math.cos(0.1))), abs=0.01)
    assert sentences.score(expected, expected)["sentence_db"] is None


def test_models_are_made_scored_timed_and_told(model, monkeypatch):
    monkeypatch.setattr(sentences, "LENGTHS", (3, 9))
    calibration = [sample(i, 3 + i) for i in range(8)]
    made = {}

    def make(name, function, *given):
        made[name] = function(*given)
        return made[name]

    def none():
        raise OSError("not there")

    makers = {
        "octavo fast": lambda: make("octavo int8", sentences.quantized, model, "fast", calibration),
        sentences.DYNAMIC: lambda: make(
            sentences.DYNAMIC, sentences.quantized, model, "dynamic", calibration
        ),
        sentences.PEER: lambda: make(sentences.PEER, sentences.quantized_by_peer, model),
        "none": none,
    }
    rows = sentences.measure(model, makers, [sample(100 + i, 5 * i + 5) for i in range(POSITIONS // 5)])
    assert rows["none"] == {"error": "OSError: not there"}
    for name in ("octavo fast", sentences.DYNAMIC, sentences.PEER):
        assert 0.9 < rows[name]["cosine_min"] <= rows[name]["cosine_mean"] < 1
        assert 0 < rows[name]["bytes"] < model.stat().st_size

    models = {name: found.open for name, found in made.items()}
    models["octavo float"] = functools.partial(sentences.by_octavo, model)
    times = sentences.latency(models, list(range(20)), rounds=2)
    assert list(times) == ["3 tokens", "9 tokens"]
    assert all(set(row) == set(models) for row in times.values())
    [table] = tables._sentences({"small": rows})
    assert table.splitlines()[-1] == "| none | - | - | - | - | - | - |"
    assert len(tables._sentences_latency(times)) == 2
