"""Overrides in a file, and what is asked of the answers."""

import json

import octavo as package
import pytest
from octavo.program import artifact


@pytest.fixture
def quantize(octavo, folder, tmp_path):
    def run(*options):
        out = tmp_path / "m.octavo"
        command = ("quantize", folder / "model.onnx", "--data", folder / "calibration.npz", "-o", out)
        return octavo(*command, "--effort", "fast", "--json", *options), out

    return run


def test_tables_of_either_kind(quantize, tmp_path):
    """The same artifact as overrides in Python give."""
    said = [{"op": "Gemm", "keep": "float"}, {"tensor": "input", "range": [-1, 2]}]
    (tmp_path / "o.json").write_text(json.dumps({"overrides": said}))
    (tmp_path / "o.toml").write_text(
        '[[overrides]]\nop = "Gemm"\nkeep = "float"\n[[overrides]]\ntensor = "input"\nrange = [-1, 2]\n'
    )
    found = []
    for name in ("o.json", "o.toml"):
        done, out = quantize("--config", tmp_path / name)
        assert done.status == 0, done.err
        assert any(stay["op"] == "Gemm" for stay in done.json()["report"]["stays"])
        found.append(out.read_bytes())
        (quantized,) = (node for node in artifact.load(out).nodes if node.op == "Quantize")
        assert quantized.attributes["zero_point"] == 85
    assert found[0] == found[1]
    assert package.Override(**{**said[1], "range": (-1, 2)}).range == (-1, 2)


@pytest.mark.parametrize(
    ("name", "text", "says"),
    [
        ("o.toml", "[[overrides", "cannot be read as TOML"),
        ("o.json", "{", "cannot be read as JSON"),
        ("o.json", "[" * 100_000, "cannot be read as JSON"),
        ("o.toml", 'recipe = "int8"', "holds 'recipe': it takes 'overrides' alone"),
        ("o.json", "[1]", "holds something else"),
        ("o.toml", "overrides = 3", "overrides is no list of tables"),
        ("o.toml", '[[overrides]]\nop = "Gem"\nkeep = "float"', "the model has no Gem"),
        ("o.toml", "[[overrides]]\nops = 1", "an override has no 'ops'"),
    ],
)
def test_files_that_say_something_else(quantize, tmp_path, name, text, says):
    (tmp_path / name).write_text(text)
    done, out = quantize("--config", tmp_path / name)
    assert done.status == 1
    assert says in done.err
    assert not out.exists()


def test_what_is_asked_of_the_answers(quantize):
    done, _ = quantize("--min-sqnr", "60")
    assert done.status == 0, done.err
    steps = done.json()["report"]["raised"]
    assert steps[0]["macs"] == 0 < steps[-1]["macs"]
    assert steps[-1]["assured"] >= 60
