"""External data through links: what caches and tools make of a model's folder is read, nothing else is."""

import os
from pathlib import Path

import numpy as np
import onnx
import onnx_ir as ir
import onnxruntime
import pytest
from octavo import frontend
from octavo.errors import ModelError
from octavo.lowering import evaluate
from octavo.passes import simplify
from onnx import TensorProto, helper, numpy_helper

WEIGHTS = np.arange(1024, dtype=np.float32)


@pytest.fixture
def save():
    """Saves a model whose weight is external data at a location, and that data if it is given a file."""

    def save(path, location="weights", data=None):
        tensor = numpy_helper.from_array(WEIGHTS, "c")
        tensor.ClearField("raw_data")
        tensor.data_location = TensorProto.EXTERNAL
        tensor.external_data.add(key="location", value=str(location))
        graph = helper.make_graph(
            [helper.make_node("Add", ["x", "c"], ["y"])],
            "g",
            [helper.make_tensor_value_info("x", TensorProto.FLOAT, [1024])],
            [helper.make_tensor_value_info("y", TensorProto.FLOAT, [1024])],
            [tensor],
        )
        model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(model.SerializeToString())
        if data is not None:
            data.parent.mkdir(parents=True, exist_ok=True)
            data.write_bytes(WEIGHTS.tobytes())
        return path

    return save


def loads(path, *files):
    """The model loads, with its weights, from exactly these files; the size of the data is told."""
    loaded = frontend.load(path)
    np.testing.assert_array_equal(
        simplify(loaded, evaluate).graph.initializers["c"].const_value.numpy(), WEIGHTS
    )
    expected = tuple(str(file.resolve()) for file in files)
    assert frontend.files_of(loaded) == expected
    assert frontend.source_files(path) == expected
    assert list(frontend.facts(path).external_data.values()) == [WEIGHTS.nbytes]


def runs_elsewhere(path):
    session = onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"])
    (got,) = session.run(None, {"x": np.zeros(1024, np.float32)})
    np.testing.assert_array_equal(got, WEIGHTS)


def refused(path, *words):
    """Neither read nor told the size of; the error has these words."""
    assert list(frontend.facts(path).external_data.values()) == [None]
    for read in (frontend.load, frontend.source_files):
        with pytest.raises(ModelError) as caught:
            read(path)
        message = str(caught.value)
        for word in ("'c'", *words):
            assert word in message, message


def test_a_cache_of_links_into_one_store(tmp_path, save):
    blobs, snapshot = tmp_path / "blobs", tmp_path / "snapshots" / "0123abc" / "onnx"
    save(blobs / "aaaa", "model.onnx_data", blobs / "bbbb")
    snapshot.mkdir(parents=True)
    (snapshot / "model.onnx").symlink_to("../../../blobs/aaaa")
    (snapshot / "model.onnx_data").symlink_to("../../../blobs/bbbb")
    loads(snapshot / "model.onnx", blobs / "aaaa", blobs / "bbbb")
    runs_elsewhere(snapshot / "model.onnx")


def test_a_cache_with_the_data_in_a_folder(tmp_path, save):
    save(tmp_path / "blobs" / "aaaa", "data/weights", tmp_path / "blobs" / "bbbb")
    (tmp_path / "here" / "data").mkdir(parents=True)
    (tmp_path / "here" / "model.onnx").symlink_to("../blobs/aaaa")
    (tmp_path / "here" / "data" / "weights").symlink_to("../../blobs/bbbb")
    loads(tmp_path / "here" / "model.onnx", tmp_path / "blobs" / "aaaa", tmp_path / "blobs" / "bbbb")
    runs_elsewhere(tmp_path / "here" / "model.onnx")


def test_files_with_several_names(tmp_path, save):
    store = save(tmp_path / "store" / "a", "weights", tmp_path / "store" / "b").parent
    (tmp_path / "here").mkdir()
    os.link(store / "a", tmp_path / "here" / "model.onnx")
    os.link(store / "b", tmp_path / "here" / "weights")
    loads(tmp_path / "here" / "model.onnx", tmp_path / "here" / "model.onnx", tmp_path / "here" / "weights")
    runs_elsewhere(tmp_path / "here" / "model.onnx")


def test_links_within_the_folder(tmp_path, save):
    path = save(tmp_path / "model.onnx", "weights", tmp_path / "sub" / "real")
    (tmp_path / "weights").symlink_to("again")
    (tmp_path / "again").symlink_to("sub/real")
    loads(path, path, tmp_path / "sub" / "real")


def test_a_link_to_a_model_whose_data_are_beside_it(tmp_path, save):
    real = save(tmp_path / "far" / "model.onnx", "sub/weights", tmp_path / "far" / "sub" / "weights")
    (tmp_path / "one").symlink_to("far/model.onnx")
    (tmp_path / "here").mkdir()
    link = tmp_path / "here" / "link.onnx"
    link.symlink_to("../one")
    loads(link, real, tmp_path / "far" / "sub" / "weights")


def test_data_beside_the_link_come_first(tmp_path, save):
    far = save(tmp_path / "far" / "model.onnx", "weights", tmp_path / "far" / "weights").parent
    (far / "weights").write_bytes(bytes(4096))
    (tmp_path / "link.onnx").symlink_to("far/model.onnx")
    (tmp_path / "weights").write_bytes(WEIGHTS.tobytes())
    loads(tmp_path / "link.onnx", far / "model.onnx", tmp_path / "weights")
    runs_elsewhere(tmp_path / "link.onnx")


@pytest.mark.parametrize(
    "location", ["weights", "./weights", "sub/../weights", "sub//weights", "sub/deep/weights"]
)
def test_ways_to_name_what_is_in_the_folder(tmp_path, monkeypatch, save, location):
    (tmp_path / "real" / "sub").mkdir(parents=True)
    data = Path(os.path.normpath(tmp_path / "real" / location))
    path = save(tmp_path / "real" / "model.onnx", location, data)
    (tmp_path / "folder").symlink_to("real")
    for name in (
        path,
        str(path),
        tmp_path / "folder" / "model.onnx",
        tmp_path / "real" / "sub" / ".." / path.name,
    ):
        loads(name, path, data)
    monkeypatch.chdir(tmp_path)
    loads("real/model.onnx", path, data)
    loads("folder/model.onnx", path, data)
    monkeypatch.chdir(tmp_path / "folder")
    loads("model.onnx", path, data)
    loads("../folder/model.onnx", path, data)


def test_links_that_leave_both_folders(tmp_path, save):
    secret = tmp_path / "secret" / "weights"
    blob = save(tmp_path / "blobs" / "aaaa", "weights", secret)
    here = tmp_path / "here"
    here.mkdir()
    (here / "model.onnx").symlink_to(blob)
    (here / "weights").symlink_to(secret)
    refused(here / "model.onnx", "'weights'", "outside", str(secret))
    (here / "weights").unlink()
    (here / "weights").symlink_to("one")  # a chain, over a folder that is allowed
    (here / "one").symlink_to("../blobs/two")
    (tmp_path / "blobs" / "two").symlink_to(secret)
    refused(here / "model.onnx", "outside")
    (here / "weights").unlink()
    (tmp_path / "blobs" / "weights").symlink_to("../secret/weights")
    refused(here / "model.onnx", "outside")  # beside the file that the link leads to


def test_folders_whose_names_begin_alike(tmp_path, save):
    path = save(tmp_path / "models" / "model.onnx", "weights", tmp_path / "models-secret" / "weights")
    (tmp_path / "models" / "weights").symlink_to("../models-secret/weights")
    refused(path, "outside")


@pytest.mark.parametrize(
    "location",
    ["../weights", "sub/../../weights", "/etc/passwd", "../here/weights", "up/weights", "..", "sub/.."],
)
def test_locations_that_leave_the_folder(tmp_path, save, location):
    path = save(tmp_path / "here" / "model.onnx", location, tmp_path / "weights")
    (tmp_path / "here" / "sub").mkdir()
    (tmp_path / "here" / "up").symlink_to(tmp_path)
    (tmp_path / "here" / "weights").write_bytes(WEIGHTS.tobytes())
    with pytest.raises(ModelError, match="'c'"):
        frontend.load(path)
    if location != "sub/..":  # the folder itself, which is no file
        refused(path, "outside")


def test_an_absolute_location_inside_of_the_folder(tmp_path, save):
    refused(save(tmp_path / "model.onnx", tmp_path / "weights", tmp_path / "weights"), "outside")


def test_what_is_not_there(tmp_path, save):
    path = save(tmp_path / "model.onnx", "weights")
    with pytest.raises(ModelError, match=r"'c'.*weights.*No such file.*beside the model"):
        frontend.load(path)
    (tmp_path / "weights").symlink_to("blob")
    with pytest.raises(ModelError, match=r"'c'.*weights.*No such file.*blob"):
        frontend.load(path)
    (tmp_path / "weights").unlink()
    (tmp_path / "weights").symlink_to("weights")
    with pytest.raises(ModelError, match=r"'c'.*weights"):
        frontend.load(path)
    refused(save(tmp_path / "nul.onnx", "wei\0ghts"), "null")


@pytest.mark.parametrize("target", ["/dev/zero", "/proc/self/environ", "/dev/stdin"])
def test_devices_are_not_read(tmp_path, save, target):
    path = save(tmp_path / "model.onnx", "weights")
    (tmp_path / "weights").symlink_to(target)
    refused(path, "outside")


def test_files_of_what_cannot_be_read_again(tmp_path):
    os.mkfifo(tmp_path / "pipe")
    for path in (tmp_path / "pipe", tmp_path):
        with pytest.raises(ModelError, match="no regular file"):
            frontend.source_files(path)


def test_a_graph_knows_its_folder_or_its_files(tmp_path, save):
    path = save(tmp_path / "model.onnx", "weights", tmp_path / "weights")
    theirs = ir.load(path)
    graph = frontend.load(theirs)
    assert frontend.files_of(graph) == (str(tmp_path / "weights"),)
    assert type(theirs.graph.initializers["c"].const_value) is ir.ExternalTensor
    assert frontend.files_of(frontend.load(frontend.load(path))) == (str(path), str(tmp_path / "weights"))
    with pytest.raises(ModelError, match="no known folder"):
        frontend.load(path.read_bytes())
    with pytest.raises(ModelError, match="no known folder"):
        frontend.load(onnx.load(path, load_external_data=False))


def test_data_of_a_constant_node(tmp_path, save):
    path = save(tmp_path / "model.onnx", "weights", tmp_path / "weights")
    model = onnx.load(path, load_external_data=False)
    constant = helper.make_node("Constant", [], ["c"], value=model.graph.initializer[0])
    model.graph.node.insert(0, constant)
    del model.graph.initializer[:]
    path.write_bytes(model.SerializeToString())
    os.link(tmp_path / "weights", tmp_path / "second")
    graph = frontend.load(path)
    np.testing.assert_array_equal(graph.graph.initializers["c"].const_value.numpy(), WEIGHTS)
    assert frontend.files_of(graph) == (str(path), str(tmp_path / "weights"))
    (tmp_path / "weights").unlink()
    (tmp_path / "weights").symlink_to("/etc/passwd")
    with pytest.raises(ModelError, match="outside"):
        frontend.load(path)
