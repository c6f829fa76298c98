"""A small BERT encoder of sentences, as the benches build the real one.

Any batch and length on one session, the reference's bits on every engine, and close to ONNX Runtime.
"""

import sys
from pathlib import Path

import numpy as np
import octavo
import onnx_ir as ir
import onnxruntime
import pytest
from encoders import HEADS, POSITIONS, WORDS, random_weights
from octavo.errors import RunError
from octavo.session import load_program

sys.path.insert(0, str(Path(__file__).resolve().parents[2] / "benches"))

import minilm

LENGTHS = [(1, 1), (1, 5), (4, 17), (2, 33)]


def sentences(batch, length):
    """Words, of which the last ones of each sentence are padding, of two kinds."""
    rng = np.random.default_rng(length)
    ids = rng.integers(0, WORDS, (batch, length))
    mask = (np.arange(length) < rng.integers(1, length + 1, (batch, 1))).astype(np.int64)
    kinds = (np.arange(length) > np.arange(batch)[:, None] * 3).astype(np.int64)
    return {"input_ids": ids, "attention_mask": mask, "token_type_ids": kinds}


@pytest.fixture(scope="module")
def model():
    return ir.to_proto(minilm.build(random_weights(), HEADS))


@pytest.fixture(scope="module")
def program(model):
    return load_program(model)


@pytest.mark.parametrize(("batch", "length"), LENGTHS)
def test_every_engine_gives_the_reference(program, same, batch, length):
    same(program, sentences(batch, length))


def test_one_session_is_close_to_onnxruntime_at_every_length(model):
    session = octavo.Session(model)
    peer = onnxruntime.InferenceSession(model.SerializeToString(), providers=["CPUExecutionProvider"])
    for batch, length in [*LENGTHS, (1, 40), *LENGTHS]:
        feeds = sentences(batch, length)
        for given, expected in zip(session.run(None, feeds), peer.run(None, feeds), strict=True):
            assert given.shape == expected.shape
            assert np.abs(given - expected).max() <= 1e-4 * np.abs(expected).max()


def test_an_attention_moves_nothing_and_a_dense_layer_is_one_step(program):
    rows = octavo.Session(program, threads=1).profile(sentences(2, 17))
    inside = [row.op for row in rows if row.name.startswith("encoder.layer.0.")]
    assert "Transpose" not in inside
    assert "Gelu" not in inside
    assert inside.count("Add") <= 1, "biases and residuals are added by the products; only the mask is not"


def test_a_wrong_shape_is_told(program):
    session = octavo.Session(program)
    feeds = sentences(2, 17)
    with pytest.raises(RunError, match=r"'attention_mask' .*\[2, 16\].* 1 \('length'\) must be 17"):
        session.run(None, feeds | {"attention_mask": feeds["attention_mask"][:, :16]})
    with pytest.raises(RunError, match=r"'token_type_ids' .*\[1, 17\].* 0 \('batch'\) must be 2"):
        session.run(None, feeds | {"token_type_ids": feeds["token_type_ids"][:1]})


def test_what_the_tables_do_not_have_is_told(program):
    session = octavo.Session(program)
    feeds = sentences(1, 5)
    with pytest.raises(RunError, match=rf"embeddings.word_embeddings.*{WORDS} .*outside the {WORDS} elem"):
        session.run(None, feeds | {"input_ids": feeds["input_ids"] * 0 + WORDS})
    with pytest.raises(RunError):  # more positions than there are
        session.run(None, sentences(1, POSITIONS + 1))
    session.run(None, feeds)
