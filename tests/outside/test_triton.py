"""Triton's own client speaks with the service, and gets the bits of `Session.run`."""

import re
import subprocess
from pathlib import Path

import numpy as np
import octavo
import pytest
from onnx import helper
from serving import TYPES, model_of, serving

pytestmark = pytest.mark.outside

ROOT = Path(__file__).resolve().parents[2]
DEMO = ROOT / "python" / "octavo" / "demo"
PYTHON = ROOT / ".outside" / "triton" / "bin" / "python"


def client(*arguments, **options):
    done = subprocess.run([PYTHON, *arguments], capture_output=True, text=True, timeout=120, **options)
    assert done.returncode == 0, done.stderr
    return done.stdout


def assert_served(session, feeds, folder):
    """The client gets what the session answers, however it asks."""
    names = [info.name for info in session.get_outputs()]
    np.savez(folder / "feeds.npz", **feeds)
    np.savez(folder / "answers.npz", **dict(zip(names, session.run(None, feeds), strict=True)))
    with serving(session) as (http, _):
        address = f"{http.base_url.host}:{http.base_url.port}"
        script = Path(__file__).with_name("triton_client.py")
        client(script, address, "net", folder / "feeds.npz", folder / "answers.npz")


def test_a_quantized_model(tmp_path):
    with np.load(DEMO / "calibration.npz") as file:
        images = file["images"][:40] / np.float32(255)
    model = octavo.quantize(DEMO / "mnist-cnn.onnx", images, effort="fast")
    assert_served(octavo.Session(model), {"input": images[:3]}, tmp_path)


def test_every_datatype_in_one_request(tmp_path):
    generator = np.random.default_rng(0)
    nodes = [helper.make_node("Identity", [f"x{name}"], [f"y{name}"]) for name in TYPES]
    inputs, outputs = (
        [(f"{end}{name}", kind, ("N", 5)) for name, (kind, _) in TYPES.items()] for end in "xy"
    )
    feeds = {
        f"x{name}": generator.integers(-100, 100, (2, 5)).astype(dtype) for name, (_, dtype) in TYPES.items()
    }
    assert_served(octavo.Session(model_of(nodes, inputs, outputs)), feeds, tmp_path)


def test_the_page_on_serving(tmp_path):
    page = (ROOT / "docs" / "serving.md").read_text()
    (code,) = re.findall(r"^```py\n(.*?)^```", page, re.M | re.S)
    with np.load(DEMO / "images.npz") as file:
        image = file["images"][:1] / np.float32(255)
    np.save(tmp_path / "image.npy", image)
    session = octavo.Session(DEMO / "mnist-cnn.onnx")
    with serving(session) as (http, _):
        code = code.replace("localhost:8000", f"{http.base_url.host}:{http.base_url.port}")
        shown = client("-c", code.replace('"model"', '"net"'), cwd=tmp_path)
    assert shown.strip() == str(session.run(None, {"input": image})[0].argmax(1))
