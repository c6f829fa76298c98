"""How near int8 comes to float on real models and real data, in dB of signal over error."""

import gzip

import numpy as np
import octavo
import pytest
from PIL import Image

MEAN = np.array([0.485, 0.456, 0.406], np.float32)
DEVIATION = np.array([0.229, 0.224, 0.225], np.float32)


def channels_first(x):
    return np.ascontiguousarray(x.transpose(0, 3, 1, 2))


def photos(folder, count, size=(224, 224)):
    """Evenly picked photos, float32 [count, height, width, 3], 0..255."""
    files = sorted(folder.iterdir())
    return np.stack(
        [
            np.asarray(Image.open(file).convert("RGB").resize(size), np.float32)
            for file in files[:: len(files) // count][:count]
        ]
    )


def imagenet(data, calibration, score, prepare, size=(224, 224)):
    folder = data / "images" / "imagenet"
    return tuple(
        prepare(photos(folder / name, count, size)).astype(np.float32)
        for name, count in (("calib", calibration), ("score", score))
    )


def mnist(data):
    folder = data / "images" / "mnist"
    (images,) = folder.glob("*images*idx*")
    test = np.frombuffer(gzip.decompress(images.read_bytes()), np.uint8, offset=16).reshape(-1, 1, 28, 28)
    calibration = np.load(folder / "calib.npz")["images"][:100, None]
    return tuple(x.astype(np.float32) / np.float32(255) for x in (calibration, test[:500]))


def cifar(data, prepare):
    folder = data / "images" / "cifar10"
    names = ("calib.npz", "test.npz")
    return tuple(prepare(np.load(folder / name)["images"].astype(np.float32)) for name in names)


def speech(data):
    calibration = next((data / "kws").glob("calib*.npz"))
    return np.load(calibration)["features"], np.load(data / "kws" / "test.npz")["features"]


def sound(data):
    windows = np.load(data / "ad" / "normal.npz")["features"]
    return windows[::2], windows[1::2]


def normalized(x):
    return channels_first((x / np.float32(255) - MEAN) / DEVIATION)


MODELS = {
    "mnist-cnn": (mnist, 37),
    "dscnn": (speech, 26),
    "autoencoder": (sound, 41),
    "resnet8": (lambda data: cifar(data, lambda x: x), 21),
    "resnet20-cifar": (lambda data: cifar(data, normalized), 28),
    "vww": (lambda data: imagenet(data, 100, 200, lambda x: x / 255, (96, 96)), 27),
}
LARGE = {
    "squeezenet": (lambda data: imagenet(data, 100, 100, normalized), 31),
    "mobilenetv2": (lambda data: imagenet(data, 100, 100, lambda x: channels_first(x / 127.5 - 1)), 13),
    "ultraface": (lambda data: imagenet(data, 50, 50, _faces, (320, 240)), 40),
}


def _faces(x):
    return channels_first((x - 127) / 128)[:, None]


def check(data, name, load, bar, recipe="int8"):
    calibration, score = load(data)
    model = data / "models" / f"{name}.onnx"
    quantized = octavo.quantize(model, calibration, recipe, strict=True)
    floats, integers = octavo.Session(model), octavo.Session(quantized)
    (given,) = [described.name for described in floats.get_inputs()]
    signal, error = 0.0, 0.0
    for sample in score:
        feeds = {given: sample if name == "ultraface" else sample[None]}
        for want, got in zip(floats.run(None, feeds), integers.run(None, feeds), strict=True):
            signal += float(np.square(want.astype(np.float64)).sum())
            error += float(np.square(want.astype(np.float64) - got).sum())
    assert 10 * np.log10(signal / error) > bar
    got = octavo.Session(quantized).run(None, feeds)
    for want, found in zip(octavo.reference.run(quantized.program, feeds), got, strict=True):
        assert np.array_equal(want, found)


@pytest.mark.parametrize("name", MODELS)
def test_accuracy(data_dir, name):
    check(data_dir, name, *MODELS[name])


def test_accuracy_of_four_bits(data_dir):
    check(data_dir, "resnet20-cifar", MODELS["resnet20-cifar"][0], 22.5, octavo.Recipe("int8", 4, 32))


@pytest.mark.long
@pytest.mark.parametrize("name", LARGE)
def test_accuracy_of_large_models(data_dir, name):
    check(data_dir, name, *LARGE[name])
