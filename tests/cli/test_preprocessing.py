"""How pictures were prepared is kept in the artifact, and the commands go by it unless told otherwise."""

import os
import re
import threading
from dataclasses import replace

import numpy as np
import pytest
from octavo.cli.options import kept_pixels, text_of
from octavo.cli.pixels import Pixels
from octavo.errors import DataError
from octavo.program import artifact
from octavo.session import Session
from PIL import Image

OPTIONS = ("--range", "-1..1", "--std", "0.5")
TEXT = "--range -1..1 --std 0.5"


@pytest.fixture(scope="module")
def photos(folder, tmp_path_factory):
    photos = tmp_path_factory.mktemp("photos")
    with np.load(folder / "calibration.npz") as file:
        for index, image in enumerate(file["images"][:40]):
            Image.fromarray(image[0]).save(photos / f"{index:02}.png")
    return photos


@pytest.fixture(scope="module")
def made(folder, photos, octavo, tmp_path_factory):
    """The artifact of OPTIONS."""
    out = tmp_path_factory.mktemp("made") / "scaled.octavo"
    done = octavo(
        "quantize", folder / "model.onnx", "--data", photos, *OPTIONS, "--effort", "fast", "-o", out
    )
    assert done.status == 0, done.err
    return out


def test_it_is_kept_and_shown(made, octavo):
    assert artifact.load(made).preprocessing == TEXT
    assert f"pictures are prepared by {TEXT}" in octavo("inspect", made).out
    assert octavo("inspect", made, "--json").json()["preprocessing"] == TEXT


def test_what_the_usual_options_do_is_kept_too(folder, photos, octavo, tmp_path):
    for data, kept in ((photos, "--range 0..1"), (folder / "calibration.npz", "")):
        done = octavo("quantize", folder / "model.onnx", "--data", data, "-o", tmp_path / "m.octavo")
        assert done.status == 0, done.err
        assert artifact.load(tmp_path / "m.octavo").preprocessing == kept
    assert "pictures" not in octavo("inspect", tmp_path / "m.octavo").out


def test_run_goes_by_it_unless_options_say_otherwise(made, photos, octavo, tmp_path):
    def answer(*options):
        done = octavo(
            "run", made, "--input", photos / "00.png", *options, "--output", tmp_path / "y.npy", cwd=tmp_path
        )
        assert done.status == 0, done.err
        return np.load(tmp_path / "y.npy").tolist()

    assert answer() == answer(*OPTIONS)
    assert answer() != answer("--range", "0..1")
    assert answer("--range", "0..1") == answer("--mean", "0")


@pytest.mark.parametrize("io", ["uint8", "int8"])
def test_inputs_in_integers_take_pictures_too(folder, photos, octavo, tmp_path, io):
    """As quantized floats; and compare feeds the float model and the other one alike."""
    model, out = tmp_path / "m.octavo", tmp_path / "y.npy"
    options = ("--recipe", "int8-strict", "--io", io, "--effort", "fast")
    done = octavo("quantize", folder / "model.onnx", "--data", photos, *OPTIONS, *options, "-o", model)
    assert done.status == 0, done.err
    assert octavo("run", model, "--input", photos / "00.png", "--output", out, cwd=tmp_path).status == 0
    session = Session(model)
    (taken,) = session.get_inputs()
    pixels = np.asarray(Image.open(photos / "00.png"), np.float32) / np.float32(255)
    reals = (pixels * np.float32(2) - np.float32(1)) / np.float32(0.5)
    integers = (np.rint(reals / np.float32(taken.scale)) + taken.zero_point).astype(io)
    assert np.array_equal(np.load(out), session.run(None, {taken.name: integers[None, None]})[0])
    data = ("--data", photos, "--limit", "4", "--json")
    (output,) = octavo("compare", folder / "model.onnx", model, *data).json()["outputs"]
    assert output["sqnr"] > 30


def test_compare_goes_by_it(folder, made, photos, octavo):
    shown = [
        octavo("compare", folder / "model.onnx", made, "--data", photos, "--limit", "4", "--json", *options)
        for options in ((), OPTIONS, ("--range", "0..1"))
    ]
    assert [done.status for done in shown] == [0, 0, 0]
    kept, said, other = (done.json()["outputs"] for done in shown)
    assert kept == said != other


def test_models_that_differ_are_told(made, photos, octavo, tmp_path):
    other = tmp_path / "other.octavo"
    artifact.save(replace(artifact.load(made), preprocessing="--range 0..255"), other)
    done = octavo("compare", made, other, "--data", photos)
    assert done.status == 1
    assert re.search(
        r"in different ways.* keeps --range -1\.\.1 --std 0\.5; .* keeps --range 0\.\.255", done.err
    )
    assert octavo("compare", made, other, "--data", photos, "--limit", "2", *OPTIONS).status == 0


@pytest.mark.parametrize(
    "pixels",
    [
        Pixels(),
        Pixels((3, 5), (0.485, 0.456, 1e-7), (0.229, -2.0, 1e20), "nhwc", -0.1, 255.0),
        Pixels(mean=(127.0,), layout="nchw", low=1 / 3),
    ],
)
def test_what_is_written_is_read_to_the_bit(made, pixels, tmp_path):
    path = tmp_path / "m.octavo"
    artifact.save(replace(artifact.load(made), preprocessing=text_of(pixels)), path)
    assert kept_pixels([tmp_path, path]) == pixels


@pytest.mark.parametrize(
    "text",
    [
        "0..1",
        "--range 0..1 --mean",
        "--range 0..1 --more 1",
        "--range 0..1 --std 0",
        "--range 0..1 --layout deep",
        "--range 0..1 --size 9000x9",
        "--range 0..1 --size infx9",
        "--range 0...1",
        "--std 2",
    ],
)
def test_what_no_command_wrote_is_refused(made, text, tmp_path):
    path = tmp_path / "m.octavo"
    artifact.save(replace(artifact.load(made), preprocessing=text), path)
    with pytest.raises(
        DataError, match=f"keeps the preprocessing '{re.escape(text)}', which is none of ours"
    ):
        kept_pixels([path])


def test_a_pipe_is_read_once(made, photos, octavo, tmp_path):
    pipe = tmp_path / "model.octavo"
    os.mkfifo(pipe)
    writer = threading.Thread(target=lambda: pipe.write_bytes(made.read_bytes()))
    writer.start()
    assert octavo("run", pipe, "--input", photos / "00.png").status == 0
    writer.join()
