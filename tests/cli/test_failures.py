"""What a person gets wrong ends in one clear line on standard error, status 1, and no half-written file."""

import zlib

import numpy as np
import onnx
import pytest
from octavo.program import Node, Program, Value, artifact
from onnx import TensorProto, helper

DATA = ("--data", "calibration.npz")


def one_node(path, *node, inputs=("x",), outputs=("y",), shape=("N", 4), domain="", opset=21):
    graph = helper.make_graph(
        [helper.make_node(*node, list(inputs), list(outputs), domain=domain)],
        "graph",
        [helper.make_tensor_value_info(name, TensorProto.FLOAT, shape) for name in inputs],
        [helper.make_tensor_value_info(name, TensorProto.FLOAT, None) for name in outputs],
    )
    opsets = [helper.make_opsetid("", opset)] + ([helper.make_opsetid(domain, 1)] if domain else [])
    onnx.save(helper.make_model(graph, opset_imports=opsets), path)
    return path


def fails(ended, *words):
    """The command ended as a mistake of the person's, said in one line that holds these words."""
    assert ended.status == 1, (ended.status, ended.out, ended.err)
    assert ended.err.count("\n") == 1, ended.err
    assert ended.err.startswith("octavo: error: ")
    for word in words:
        assert word in ended.err, ended.err


def quantize(octavo, folder, tmp_path, model, *arguments):
    """Quantizes into an empty folder, which has to stay empty."""
    target = tmp_path / "target"
    target.mkdir()
    ended = octavo("quantize", model, *(arguments or DATA), "-o", target / "model.octavo", cwd=folder)
    assert list(target.iterdir()) == []
    return ended


def test_no_such_model(octavo, folder, tmp_path):
    fails(quantize(octavo, folder, tmp_path, "none.onnx"), "none.onnx", "No such file")


def test_bytes_that_are_no_onnx(octavo, folder, tmp_path):
    (tmp_path / "a.onnx").write_bytes(b"certainly not a protobuf")
    fails(quantize(octavo, folder, tmp_path, tmp_path / "a.onnx"), "a.onnx")


def test_empty_model_file(octavo, folder, tmp_path):
    (tmp_path / "a.onnx").write_bytes(b"")
    fails(quantize(octavo, folder, tmp_path, tmp_path / "a.onnx"))


def test_model_that_breaks_the_rules_of_onnx(octavo, folder, tmp_path):
    model = one_node(tmp_path / "a.onnx", "Relu", inputs=("x", "extra"))
    fails(quantize(octavo, folder, tmp_path, model), "Relu")


def test_unknown_operator(octavo, folder, tmp_path):
    model = one_node(tmp_path / "a.onnx", "Frobnicate", domain="com.example")
    fails(quantize(octavo, folder, tmp_path, model), "Frobnicate")


def test_newer_opset(octavo, folder, tmp_path):
    model = one_node(tmp_path / "a.onnx", "Relu", opset=99)
    fails(quantize(octavo, folder, tmp_path, model), "99")


def test_unknown_recipe(octavo, folder, tmp_path):
    ended = quantize(octavo, folder, tmp_path, "model.onnx", *DATA, "--recipe", "int3")
    fails(ended, "int3", "int8")


def test_unknown_range_rule(octavo, folder, tmp_path):
    ended = quantize(octavo, folder, tmp_path, "model.onnx", *DATA, "--range-rule", "best")
    fails(ended, "best", "minmax")


def test_exclusion_that_matches_nothing(octavo, folder, tmp_path):
    fails(quantize(octavo, folder, tmp_path, "model.onnx", *DATA, "--exclude", "nothing*"), "nothing*")


def test_no_such_data(octavo, folder, tmp_path):
    fails(quantize(octavo, folder, tmp_path, "model.onnx", "--data", "none.npy"), "none.npy")


def test_data_of_another_shape(octavo, folder, tmp_path):
    np.save(tmp_path / "x.npy", np.zeros((5, 1, 27, 28), np.float32))
    fails(quantize(octavo, folder, tmp_path, "model.onnx", "--data", tmp_path / "x.npy"), "x.npy", "27", "28")


def test_data_of_another_dtype(octavo, folder, tmp_path):
    np.save(tmp_path / "x.npy", np.zeros((5, 1, 28, 28)))
    ended = quantize(octavo, folder, tmp_path, "model.onnx", "--data", tmp_path / "x.npy")
    fails(ended, "float64", "float32")


def test_empty_data(octavo, folder, tmp_path):
    np.save(tmp_path / "x.npy", np.zeros((0, 1, 28, 28), np.float32))
    fails(quantize(octavo, folder, tmp_path, "model.onnx", "--data", tmp_path / "x.npy"), "empty")


def test_empty_folder(octavo, folder, tmp_path):
    (tmp_path / "none").mkdir()
    fails(quantize(octavo, folder, tmp_path, "model.onnx", "--data", tmp_path / "none"), "no pictures")


def test_data_with_nan(octavo, folder, tmp_path):
    np.save(tmp_path / "x.npy", np.full((2, 1, 28, 28), np.nan, np.float32))
    fails(quantize(octavo, folder, tmp_path, "model.onnx", "--data", tmp_path / "x.npy"), "NaN")


def test_output_in_no_folder(octavo, folder, tmp_path):
    output = tmp_path / "missing" / "model.octavo"
    fails(octavo("quantize", "model.onnx", *DATA, "-o", output, cwd=folder), "missing")


def test_output_that_is_a_folder(octavo, folder, tmp_path):
    fails(octavo("quantize", "model.onnx", *DATA, "-o", tmp_path, cwd=folder), str(tmp_path))


@pytest.mark.parametrize(
    ("feed", "words"),
    [
        ("other=image.npy", ("other", "input")),
        ("input=none.npy", ("none.npy", "No such file")),
        ("input=model.onnx", ("model.onnx",)),
    ],
)
def test_wrong_feed(octavo, folder, feed, words):
    fails(octavo("run", "model.octavo", "--input", feed, cwd=folder), *words)


@pytest.mark.parametrize(
    ("array", "words"),
    [
        (np.zeros((1, 1, 28, 27), np.float32), ("27", "28")),
        (np.zeros((1, 28, 28), np.float32), ("28",)),
        (np.zeros((1, 1, 28, 28)), ("float64", "float32")),
        (np.zeros((1, 1, 28, 28), ">f4"), ("float32",)),
    ],
)
def test_feed_that_does_not_fit(octavo, folder, tmp_path, array, words):
    np.save(tmp_path / "x.npy", array)
    ended = octavo("run", "model.octavo", "--input", f"input={tmp_path / 'x.npy'}", cwd=folder)
    fails(ended, "input", *words)


def test_unknown_output(octavo, folder):
    ended = octavo("run", "model.octavo", "--input", "image.npy", "--output", "nope=a.npy", cwd=folder)
    fails(ended, "nope", "logits")


def test_output_folder_that_is_a_file(octavo, folder):
    ended = octavo("run", "model.octavo", "--input", "image.npy", "--output-dir", "image.npy", cwd=folder)
    fails(ended, "image.npy")


def test_unknown_instruction_set(octavo, folder):
    ended = octavo("run", "model.octavo", "--input", "image.npy", "--isa", "mmx", cwd=folder)
    fails(ended, "mmx", "scalar")


def test_unknown_instruction_set_in_the_environment(octavo, folder):
    ended = octavo("run", "model.octavo", "--input", "image.npy", cwd=folder, OCTAVO_ISA="mmx")
    fails(ended, "mmx", "scalar")


@pytest.mark.parametrize("threads", ["none", "0", "-1", "1.5"])
def test_wrong_number_of_threads_in_the_environment(octavo, folder, threads):
    ended = octavo("run", "model.octavo", "--input", "image.npy", cwd=folder, OCTAVO_THREADS=threads)
    fails(ended, threads, "OCTAVO_THREADS", "from 1 to")


def flipped(data):
    return data[:-9] + bytes([data[-9] ^ 4]) + data[-8:]


def cut(data):
    return data[: len(data) // 2]


def nearly_empty(data):
    return data[:9]


def newer(data):
    """The artifact with a newer format's number, its sum made right."""
    changed = data.replace(rb"\"format\":3", rb"\"format\":9")
    at = changed.index(rb"crc32\":\"") + len(rb"crc32\":\"")
    blank = changed[:at] + b"00000000" + changed[at + 8 :]
    return changed[:at] + f"{zlib.crc32(blank):08x}".encode() + changed[at + 8 :]


@pytest.mark.parametrize("command", [("inspect",), ("run", "--input", "image.npy"), ("bench",)])
@pytest.mark.parametrize(
    ("damage", "word"),
    [(flipped, "checksum"), (cut, "damaged"), (nearly_empty, "damaged"), (newer, "format 9")],
)
def test_damaged_artifact(octavo, folder, tmp_path, command, damage, word):
    path = tmp_path / "a.octavo"
    path.write_bytes(damage((folder / "model.octavo").read_bytes()))
    fails(octavo(command[0], path, *command[1:], cwd=folder), word)


def test_output_that_cannot_be_written(octavo, folder):
    ended = octavo(
        "run", "model.octavo", "--input", "image.npy", "--output", "logits=/dev/full/a", cwd=folder
    )
    fails(ended, "/dev/full")


@pytest.mark.parametrize(
    "arguments",
    [
        ("quantize", "model.onnx"),
        ("quantize", "model.onnx", *DATA, "-o", "x.octavo", "--range", "1"),
        ("quantize", "model.onnx", *DATA, "-o", "x.octavo", "--size", "0x3"),
        ("quantize", "model.onnx", *DATA, "-o", "x.octavo", "--std", "0"),
        ("quantize", "model.onnx", *DATA, "-o", "x.octavo", "--mean", "1,2"),
        ("quantize", "model.onnx", *DATA, "-o", "x.octavo", "--layout", "hwc"),
        ("run", "model.octavo"),
        ("bench", "model.octavo", "--shape", "input"),
        ("inspect", "model.octavo", "--threads", "1"),
        ("frobnicate",),
    ],
)
def test_wrong_usage_is_status_2(octavo, folder, arguments):
    ended = octavo(*arguments, cwd=folder)
    assert ended.status == 2
    assert "Usage:" in ended.err
    assert not (folder / "x.octavo").exists()


def test_names_that_do_not_print(octavo, tmp_path):
    """A name makes no line of its own, and fills no screen."""
    for name, shown in (("a\nb\x1b[31m", r"a\nb\x1b[31m"), ("n" * 10**6, "nnn…nnn")):
        values = {name: Value(name, "f32", ("N",)), "y": Value("y", "f32", None)}
        node = Node("Sin", name, (name,), ("y",))
        artifact.save(Program([name], ["y"], values, {}, [node], producer=name), tmp_path / "m.octavo")
        ended = octavo("inspect", "m.octavo", cwd=tmp_path)
        lines = ended.out.split("\n")
        assert ended.status == 0
        assert shown in ended.out
        assert all(line.isprintable() and len(line) < 500 for line in lines)
        assert not any(line.startswith("b") for line in lines)
        assert [
            node["name"] for node in octavo("inspect", "m.octavo", "--json", cwd=tmp_path).json()["nodes"]
        ] == [name]
        np.save(tmp_path / "x.npy", np.zeros(2, np.float32))
        fails(octavo("run", "m.octavo", "--input", "x=x.npy", cwd=tmp_path), shown)
