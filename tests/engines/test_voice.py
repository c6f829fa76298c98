"""Voice detection on real sound: branches around recurrence, state from call to call, on every engine."""

import wave

import numpy as np
import octavo
import onnxruntime
import pytest
from octavo.session import load_program

BLOCK, CONTEXT = 512, 64


@pytest.fixture(scope="module")
def sound(data_dir):
    with wave.open(str(data_dir / "audio" / "speech-and-noise-10s.wav")) as file:
        samples = np.frombuffer(file.readframes(file.getnframes()), np.int16)
    return samples.astype(np.float32) / 32768


def blocks(sound):
    """Each block behind the end of the one before."""
    padded = np.concatenate([np.zeros(CONTEXT, np.float32), sound])
    for start in range(0, len(sound) - BLOCK + 1, BLOCK):
        yield padded[None, start : start + CONTEXT + BLOCK]


def probabilities(session, sound):
    state, found = np.zeros((2, 1, 128), np.float32), []
    for block in blocks(sound):
        speech, state = session.run(None, {"input": block, "state": state, "sr": np.array(16000)})
        found.append(speech[0, 0])
    return np.array(found), state


@pytest.mark.parametrize("name", ["silero-vad", "silero-vad-op15"])
def test_it_decides_as_onnx_runtime_does(data_dir, sound, name):
    path = data_dir / "models" / f"{name}.onnx"
    wanted, _ = probabilities(onnxruntime.InferenceSession(path), sound)
    program = load_program(path)
    found = {
        (isa, threads): probabilities(octavo.Session(program, threads=threads, isa=isa), sound)
        for isa in octavo.tiers()
        for threads in (1, 2)
    }
    (first, state), *others = found.values()
    for given, after in others:
        assert (given.tobytes(), after.tobytes()) == (first.tobytes(), state.tobytes())
    assert np.abs(first - wanted).max() < 1e-4
    assert ((first > 0.5) == (wanted > 0.5)).all()
    assert (first > 0.5).sum() == 52
    block = next(blocks(sound))
    feeds = {"input": block, "state": np.zeros((2, 1, 128), np.float32), "sr": np.array(16000)}
    session = octavo.Session(program)
    for g, r in zip(session.run(None, feeds), octavo.reference.run(program, feeds), strict=True):
        assert g.tobytes() == r.tobytes()
