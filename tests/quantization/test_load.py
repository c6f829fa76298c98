"""The model of an artifact."""

import numpy as np
import octavo
import pytest


@pytest.fixture(scope="module")
def saved(model, digits, tmp_path_factory):
    path = tmp_path_factory.mktemp("saved") / "model.octavo"
    quantized = octavo.quantize(model, digits[:20], effort="fast")
    quantized.save(path)
    return quantized, path


def test_by_its_path_or_its_bytes(saved, digits):
    quantized, path = saved
    data = path.read_bytes()
    assert quantized.to_bytes() == data
    for source in (path, str(path), data):
        loaded = octavo.load(source)
        assert loaded.to_bytes() == data
        assert loaded.tensors().keys() == quantized.tensors().keys()
        name = next(iter(loaded.tensors()))
        assert np.array_equal(loaded.tensor(name).integers, quantized.tensor(name).integers)
        feeds = {"input": digits[:2]}
        one, other = (octavo.Session(each).run(None, feeds)[0] for each in (loaded, quantized))
        assert np.array_equal(one, other)


def test_it_can_be_compared_exported_and_saved_again(saved, model, digits, tmp_path):
    loaded = octavo.load(saved[1])
    assert octavo.compare(model, loaded, digits[:8]).outputs[0].sqnr > 20
    for name, write in (("a.onnx", loaded.export_onnx), ("b.octavo", loaded.save)):
        write(tmp_path / name)
        assert (tmp_path / name).stat().st_size > 1000
    with pytest.raises(octavo.ArtifactError, match=r"model\.octavo"):
        loaded.save(saved[1])


def test_what_is_no_artifact(saved, model, tmp_path):
    with pytest.raises(octavo.ArtifactError, match="damaged"):
        octavo.load(saved[1].read_bytes()[:-1])
    with pytest.raises(octavo.ArtifactError, match=r"mnist-cnn\.onnx"):
        octavo.load(model)
    with pytest.raises(FileNotFoundError):
        octavo.load(tmp_path / "nothing.octavo")
    with pytest.raises(TypeError, match="a path or bytes, not an object of type int"):
        octavo.load(3)
