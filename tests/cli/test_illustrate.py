"""`octavo illustrate`: pictures in a file, in a folder, of a model's weights."""

import xml.etree.ElementTree as ET

import pytest

NAMES = ["sine-bits", "sine-symmetry", "weights-bits", "weights-symmetry", "weights-channels"]
OF_MODEL = ("illustrate", "model.onnx", "--tensor", "0.weight")


def test_a_file_holds_all_figures(octavo, tmp_path):
    ended = octavo("illustrate", "-o", "all.svg", cwd=tmp_path)
    assert (ended.status, ended.err) == (0, "")
    assert "  8 bits: 255 levels, step 0.007874, SQNR 49.6 dB" in ended.out
    text = (tmp_path / "all.svg").read_text()
    ET.fromstring(text)
    assert text.count("<polyline") == 2 * 5
    octavo("illustrate", "-o", "again.svg", cwd=tmp_path)
    assert (tmp_path / "again.svg").read_text() == text


@pytest.mark.parametrize("folder_name", ["new", "there.svg"])
def test_a_folder_gets_a_file_each(octavo, tmp_path, folder_name):
    if folder_name == "there.svg":
        (tmp_path / folder_name).mkdir()
    facts = octavo("illustrate", "-o", folder_name, "--json", cwd=tmp_path).json()
    assert sorted(path.name for path in (tmp_path / folder_name).iterdir()) == sorted(
        f"{n}.svg" for n in NAMES
    )
    assert facts["files"] == [f"{folder_name}/{name}.svg" for name in NAMES]
    assert [figure["name"] for figure in facts["figures"]] == NAMES
    panel = facts["figures"][1]["panels"][1]
    assert (panel["levels"], panel["zero_point"], len(panel["scale"])) == (8, 1, 1)


def test_weights_of_a_model(octavo, folder, tmp_path):
    ended = octavo(*OF_MODEL, "-o", tmp_path / "w.svg", cwd=folder)
    assert (ended.status, ended.err) == (0, "")
    text = (tmp_path / "w.svg").read_text()
    assert "0.weight in 2, 3 and 8 bits" in text
    assert "sine" not in text
    streamed = octavo(*OF_MODEL, "-o", "/dev/stdout", cwd=folder)
    assert streamed.status == 0


def test_what_cannot_be_drawn_is_told(octavo, folder, tmp_path):
    wrong = octavo("illustrate", "model.onnx", "--tensor", "0.wight", "-o", tmp_path / "w.svg", cwd=folder)
    assert (wrong.status, wrong.out) == (1, "")
    assert wrong.err.count("\n") == 1
    assert "'0.wight'; close to it are '0.weight', '4.weight'" in wrong.err
    integers = octavo(
        "illustrate", "model.octavo", "--tensor", "0.weight", "-o", tmp_path / "w.svg", cwd=folder
    )
    assert (integers.status, "no weights of the model are called" in integers.err) == (1, True)
    for arguments, hint in (
        (("-o", tmp_path / "w.png"), "pictures are SVG files, not .png"),
        (("--tensor", "w", "-o", tmp_path / "w.svg"), "go together"),
        (("model.onnx", "-o", tmp_path / "w.svg"), "go together"),
    ):
        ended = octavo("illustrate", *arguments, cwd=folder)
        assert (ended.status, hint in " ".join(ended.err.split())) == (2, True), ended.err
    assert not list(tmp_path.iterdir())


def test_a_new_folder_in_none_is_an_error(octavo, tmp_path):
    ended = octavo("illustrate", "-o", "a/b", cwd=tmp_path)
    assert (ended.status, ended.err.count("\n")) == (1, 1)
