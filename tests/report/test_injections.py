"""Faults drawn at random: the layer that was broken ranks first, and its cause is named."""

import numpy as np
import octavo
import pytest
from injections import INJECTIONS, subject

DRAWN, FOUND = 20, 18


def found(subjects, seed):
    """How many of the faults that this seed draws are found, and a line for each that is not."""
    rng = np.random.default_rng(seed)
    missed = []
    for _ in range(DRAWN):
        which, cause = str(rng.choice(sorted(subjects))), str(rng.choice(sorted(INJECTIONS)))
        chosen = subjects[which]
        broken, program = INJECTIONS[cause](chosen, rng)
        worst = octavo.compare(chosen.floats, program, chosen.held).layers[0]
        if worst.name != broken or worst.cause is None or worst.cause.name != cause:
            missed.append(f"{which}: {cause} at {broken!r}, found {worst.cause} at {worst.name!r}")
    return DRAWN - len(missed), missed


@pytest.mark.parametrize("seed", [1, 2])
def test_faults_drawn_at_random_are_found(subjects, seed):
    count, missed = found(subjects, seed)
    assert count >= FOUND, "\n".join(missed)


@pytest.mark.parametrize("seed", [1])
def test_faults_drawn_at_random_are_found_in_real_networks(data_dir, seed):
    speech = np.load(data_dir / "kws" / "calib.npz")["features"]
    colours = np.load(data_dir / "images" / "cifar10" / "calib.npz")["images"].astype(np.float32)
    digits = np.load(data_dir / "images" / "mnist" / "calib.npz")["images"][:, None] / np.float32(255)
    real = {"mnist-cnn": digits, "dscnn": speech, "resnet8": colours}
    models = {name: data_dir / "models" / f"{name}.onnx" for name in real}
    subjects = {name: subject(models[name], x[:64], x[64:76]) for name, x in real.items()}
    count, missed = found(subjects, seed)
    assert count >= FOUND, "\n".join(missed)
