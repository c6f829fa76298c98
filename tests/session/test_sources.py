"""Session: what it can be made from, and what it says of itself."""

import os
import threading
from pathlib import Path
from types import MappingProxyType

import numpy as np
import octavo
import onnx
import onnx_ir as ir
import pytest
from octavo.calibration import Statistics
from octavo.program import Node, Program, Quant, Value, artifact
from octavo.session import files_read, is_artifact_file, load_program

DEMO = Path(octavo.__file__).parent / "demo"
MODEL = DEMO / "mnist-cnn.onnx"


@pytest.fixture(scope="module")
def quantized():
    with np.load(DEMO / "calibration.npz") as file:
        digits = file["images"].reshape(-1, 1, 28, 28).astype(np.float32) / np.float32(255)
    return octavo.quantize(MODEL, digits[:10])


def test_float_sources_agree():
    x = np.full((2, 1, 28, 28), 0.5, np.float32)
    program = load_program(MODEL)
    want = octavo.reference.run(program, {"input": x})
    proto = onnx.load(MODEL)
    for source in (MODEL, str(MODEL), MODEL.read_bytes(), proto, ir.from_proto(proto), program):
        assert np.array_equal(octavo.Session(source).run(["logits"], {"input": x}), want)


def test_artifact_sources_agree(quantized, tmp_path):
    path = tmp_path / "model.octavo"
    quantized.save(path)
    (tmp_path / "any.name").write_bytes(path.read_bytes())
    x = np.full((1, 1, 28, 28), 0.5, np.float32)
    want = octavo.Session(quantized).run(None, {"input": x})
    for source in (path, path.read_bytes(), quantized.program, tmp_path / "any.name"):
        assert np.array_equal(octavo.Session(source).run(None, {"input": x}), want)
    assert load_program(path).nodes == quantized.program.nodes


def test_a_file_is_read_as_what_its_bytes_are(quantized, tmp_path):
    """Its name decides where they are neither."""
    (tmp_path / "float.octavo").write_bytes(MODEL.read_bytes())
    artifact.save(quantized.program, tmp_path / "bytes.onnx")
    (tmp_path / "neither.octavo").write_bytes(b"neither")
    (tmp_path / "neither.onnx").write_bytes(b"neither")
    names = ("float.octavo", "bytes.onnx", "neither.octavo", "neither.onnx")
    assert [is_artifact_file(tmp_path / name) for name in names] == [False, True, True, False]
    assert load_program(tmp_path / "float.octavo").nodes == load_program(MODEL).nodes
    assert load_program(tmp_path / "bytes.onnx").nodes == quantized.program.nodes
    with pytest.raises(octavo.ArtifactError, match="neither"):
        octavo.Session(tmp_path / "neither.octavo")
    with pytest.raises(octavo.ModelError, match="neither"):
        octavo.Session(tmp_path / "neither.onnx")


@pytest.mark.parametrize("kind", ["artifact", "onnx"])
def test_a_pipe_is_a_source(quantized, tmp_path, kind):
    data = artifact.to_bytes(quantized.program) if kind == "artifact" else MODEL.read_bytes()
    x = np.full((1, 1, 28, 28), 0.5, np.float32)
    want = octavo.Session(data).run(None, {"input": x})
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    for session in (octavo.Session, lambda path: octavo.Session(load_program(path))):
        writer = threading.Thread(target=pipe.write_bytes, args=(data,), daemon=True)
        writer.start()
        assert np.array_equal(session(pipe).run(None, {"input": x}), want)
        writer.join(10)
    assert files_read(pipe) == ()
    assert files_read(MODEL) == (str(MODEL.resolve()),)


def test_descriptions(quantized):
    session = octavo.Session(quantized, threads=1)
    (described,) = session.get_inputs()
    assert (described.name, described.shape, described.type) == ("input", ["N", 1, 28, 28], "tensor(float)")
    assert (described.scale, described.zero_point) == (None, None)
    assert [output.name for output in session.get_outputs()] == ["logits"]


def test_profile_names_every_step(quantized):
    rows = octavo.Session(quantized).profile({"input": np.zeros((1, 1, 28, 28), np.float32)})
    assert sum(row.macs for row in rows) == 12 * 9 * 26 * 26 + 2028 * 10
    assert {row.tier for row in rows} <= set(octavo.tiers())
    assert all(row.seconds >= 0 and row.name and row.op and row.kernel for row in rows)


def test_what_no_session_can_be_made_from(tmp_path):
    with pytest.raises(octavo.ModelError, match="cannot be made from int"):
        octavo.Session(3)
    with pytest.raises(FileNotFoundError):
        octavo.Session(tmp_path / "missing.octavo")
    with pytest.raises(octavo.Error):
        octavo.Session(b"")
    (tmp_path / "bad.octavo").write_bytes(b"nothing")
    with pytest.raises(octavo.ArtifactError):
        octavo.Session(tmp_path / "bad.octavo")
    with pytest.raises(octavo.Error, match=r"tier|isa|instruction"):
        octavo.Session(MODEL, isa="mmx")


def test_a_folder_is_no_file(tmp_path):
    folder = tmp_path / "model.octavo"
    folder.mkdir()
    for call in (octavo.Session, load_program):
        with pytest.raises(octavo.ModelError, match=r"directory without an \.onnx file"):
            call(folder)
    assert not is_artifact_file(folder)
    assert files_read(folder) == ()


@pytest.mark.parametrize("name", ["a\0b.octavo", "a\0b.onnx"])
def test_a_path_that_is_none(name):
    for call in (octavo.Session, load_program, is_artifact_file):
        with pytest.raises((octavo.ModelError, ValueError), match="null"):
            call(name)


def test_files_of_each_kind(quantized, tmp_path):
    """An artifact is one file under the name that was given; a model, its own and its external data."""
    path = tmp_path / "a.octavo"
    quantized.save(path)
    (tmp_path / "link").symlink_to(path)
    assert files_read(path) == (str(path),)
    assert files_read(tmp_path / "link") == (str(tmp_path / "link"),)
    onnx.save(
        onnx.load(MODEL), tmp_path / "m.onnx", save_as_external_data=True, location="w", size_threshold=0
    )
    assert files_read(tmp_path / "m.onnx") == (str(tmp_path / "m.onnx"), str(tmp_path / "w"))


@pytest.mark.parametrize("names", [None, [], (), iter(())])
def test_no_names_are_all_outputs(quantized, names):
    session = octavo.Session(quantized, threads=1)
    feeds = {"input": np.zeros((1, 1, 28, 28), np.float32)}
    (got,) = session.run(names, feeds)
    assert np.array_equal(got, session.run(["logits"], feeds)[0])


@pytest.mark.parametrize(
    ("names", "kind", "says"),
    [
        (
            "logits",
            octavo.RunError,
            "names is the text 'logits': give a list of output names, or None for all",
        ),
        (3, TypeError, "names is of type int: give a list of names, or None for all outputs"),
        (["logits", 3], TypeError, "names holds 3, of type int: give texts"),
        ([None], TypeError, "names holds None, of type NoneType: give texts"),
    ],
)
def test_names_of_another_type(quantized, names, kind, says):
    session = octavo.Session(quantized, threads=1)
    feeds = {"input": np.zeros((1, 1, 28, 28), np.float32)}
    with pytest.raises(kind, match=f"^{says}$"):
        session.run(names, feeds)


@pytest.mark.parametrize("feeds", [None, [], [("input", np.zeros(1))], np.zeros(1)])
def test_feeds_of_another_type(quantized, feeds):
    session = octavo.Session(quantized, threads=1)
    calls = (
        lambda: session.run(None, feeds),
        lambda: session.profile(feeds),
        lambda: session.observe(feeds, Statistics([], [])),
    )
    for call in calls:
        with pytest.raises(
            octavo.RunError, match=f"the feeds are of type {type(feeds).__name__}: give a dict"
        ):
            call()


def test_any_mapping_feeds(quantized):
    session = octavo.Session(quantized, threads=1)
    feeds = {"input": np.ones((1, 1, 28, 28), np.float32)}
    want = session.run(None, feeds)
    assert np.array_equal(session.run(None, MappingProxyType(feeds)), want)
    assert len(session.profile(MappingProxyType(feeds))) > 0
    seen = Statistics(["input"], ["counts"])
    session.observe(MappingProxyType(feeds), seen)
    assert seen.read("input", "counts") == {"elements": 784, "nans": 0, "infinities": 0}


@pytest.mark.parametrize("threads", [1, 2])
def test_what_a_session_says_of_itself(threads):
    text = repr(octavo.Session(MODEL, threads=threads, isa="scalar"))
    assert text == f"Session(input -> logits; scalar, {threads} thread{'s' if threads > 1 else ''})"


DTYPES_OF = {
    "u8": "uint8", "i8": "int8", "i16": "int16", "i32": "int32", "i64": "int64", "bool": "bool",
    "f16": "float16", "f32": "float", "f64": "double",
}  # fmt: skip


@pytest.mark.parametrize("dtype", DTYPES_OF)
@pytest.mark.parametrize("shape", [(), (3,), ("N", 3), None])
def test_descriptions_of_every_type(dtype, shape):
    form = Quant(np.array([0.5], np.float32), np.array([3])) if dtype in ("u8", "i8") else None
    values = {name: Value(name, dtype, shape, form) for name in "xy"}
    program = Program(["x"], ["y"], values, {}, [Node("Identity", "n", ("x",), ("y",))])
    for described in (*octavo.Session(program).get_inputs(), *octavo.Session(program).get_outputs()):
        assert (described.shape, described.type) == (list(shape or ()), f"tensor({DTYPES_OF[dtype]})")
        assert (described.scale, described.zero_point) == ((None, None) if form is None else (0.5, 3))


@pytest.mark.parametrize(("shape", "axis", "count"), [((3,), 0, 3), (("N", 3), 1, 3), ((1, 2), 0, 1)])
def test_several_scales_are_not_one(shape, axis, count):
    """Of scales along an axis, the first stands for nothing; where there is one alone, it is the tensor's."""
    form = Quant(np.linspace(0.5, 1, count, dtype=np.float32), np.arange(3, 3 + count), axis)
    values = {name: Value(name, "u8", shape, form) for name in "xy"}
    session = octavo.Session(Program(["x"], ["y"], values, {}, [Node("Identity", "n", ("x",), ("y",))]))
    for described in (*session.get_inputs(), *session.get_outputs()):
        assert (described.scale, described.zero_point) == ((0.5, 3) if count == 1 else (None, None))
