"""What PyTorch's exporters write is what octavo reads."""

import octavo
import pytest
from exported import assert_quantizes, page_blocks, run

pytestmark = pytest.mark.outside

PICTURES = """
import torch
from torch import nn

torch.manual_seed(0)
net = nn.Sequential(
    nn.Conv2d(3, 16, 3, padding=1), nn.BatchNorm2d(16), nn.ReLU6(), nn.MaxPool2d(2),
    nn.Conv2d(16, 16, 3, padding=1, groups=16), nn.BatchNorm2d(16), nn.Hardswish(),
    nn.Conv2d(16, 32, 1), nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten(),
    nn.Dropout(0.5), nn.Linear(32, 10),
)
example = torch.rand(1, 3, 32, 32)
samples = torch.rand(64, 3, 32, 32)
"""
WORDS = """
import torch
from torch import nn

class Net(nn.Module):
    def __init__(self):
        super().__init__()
        layer = nn.TransformerEncoderLayer(32, 4, 64, batch_first=True, activation="gelu")
        self.layers = nn.Sequential(nn.Embedding(100, 32), nn.TransformerEncoder(layer, 2))
        self.last = nn.Linear(32, 5)

    def forward(self, words):
        return self.last(self.layers(words).mean(1))

torch.manual_seed(0)
net = Net()
example = torch.randint(0, 100, (2, 7))
samples = torch.randint(0, 100, (64, 9))  # of another length
"""
SAVE = """
import numpy as np

np.save("samples.npy", samples.numpy())
np.save("answers.npy", net(samples).detach().numpy())
"""
DYNAMIC = 'dynamic_shapes=({0: torch.export.Dim("batch")},),  # an entry for each input of forward\n'


def exported(folder, net, change=lambda code: code):
    (code,) = page_blocks("PyTorch", "py")
    run("torch", ["-c", net + change(code) + SAVE], folder)


def older(code):
    assert DYNAMIC in code
    return code.replace(DYNAMIC, 'dynamo=False, dynamic_axes={"input": {0: "batch"}},\n')


@pytest.mark.parametrize("change", [lambda code: code, older], ids=["dynamo", "older"])
def test_a_network_for_pictures(tmp_path, change):
    exported(tmp_path, PICTURES, change)
    assert not assert_quantizes(tmp_path).report.stays
    assert not (tmp_path / "model.onnx.data").exists()


def test_weights_in_a_file_of_their_own(tmp_path):
    exported(tmp_path, PICTURES, lambda code: code.replace("external_data=False", "external_data=True"))
    assert (tmp_path / "model.onnx.data").exists()
    assert_quantizes(tmp_path)


def test_a_transformer_with_free_lengths(tmp_path):
    def of_words(code):
        assert DYNAMIC in code
        both = '{0: torch.export.Dim("batch"), 1: torch.export.Dim("words")}'
        return code.replace(DYNAMIC, f"dynamic_shapes=({both},),\n")

    exported(tmp_path, WORDS, of_words)
    assert_quantizes(tmp_path)


def test_a_model_in_training_mode_is_refused(tmp_path):
    exported(tmp_path, PICTURES, lambda code: code.replace("net.eval()", "net.train()"))
    with pytest.raises(octavo.ModelError, match="training mode"):
        octavo.Session(tmp_path / "model.onnx")
