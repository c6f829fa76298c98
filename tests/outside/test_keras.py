"""What Keras and tf2onnx write is what octavo reads."""

import shlex

import octavo
import pytest
from exported import assert_quantizes, page_blocks, run

pytestmark = pytest.mark.outside

NET = """
import keras
import numpy as np
from keras import layers

keras.utils.set_random_seed(0)
images = keras.Input((32, 32, 3), name="input")
x = layers.Conv2D(16, 3, padding="same", strides=2, use_bias=False)(images)
x = layers.ReLU(6)(layers.BatchNormalization()(x))
x = layers.Activation("swish")(layers.DepthwiseConv2D(3, padding="same")(x))
x = layers.GlobalAveragePooling2D()(layers.Conv2D(32, 1)(x))
model = keras.Model(images, layers.Dense(10)(layers.Dropout(0.5)(x)))
samples = np.random.default_rng(0).random((64, 32, 32, 3), np.float32)
np.save("samples.npy", samples)
np.save("nchw.npy", samples.transpose(0, 3, 1, 2))
np.save("answers.npy", model.predict(samples, verbose=0))
"""


def test_export_of_keras(tmp_path):
    (code,) = page_blocks("Keras and TensorFlow", "py")
    run("keras", ["-c", NET + code], tmp_path)
    (info,) = octavo.Session(tmp_path / "model.onnx").get_inputs()
    assert (info.name, info.shape[1:]) == ("input", [32, 32, 3])
    assert_quantizes(tmp_path)


@pytest.mark.parametrize(
    ("more", "samples"),
    [((), "samples.npy"), (("--inputs-as-nchw", "input"), "nchw.npy")],
    ids=["NHWC", "NCHW"],
)
def test_conversion_of_a_saved_model(tmp_path, more, samples):
    (block,) = page_blocks("Keras and TensorFlow", "console")
    python, *arguments = shlex.split(block.removeprefix("$ "))
    assert python == "python"
    run("keras", ["-c", NET + 'model.export("saved", verbose=False)'], tmp_path)
    run("keras", [*arguments, *more], tmp_path)
    assert_quantizes(tmp_path, samples)
