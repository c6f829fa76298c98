"""The service answers over HTTP with the bits of `Session.run`, and says what is wrong with a request."""

import json
import re
import subprocess
import sys
import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import httpx
import numpy as np
import octavo
import pytest
import service
from onnx import TensorProto, helper
from PIL import Image
from serving import TYPES, line_of, model_of, running, serving, wait_for

ROOT = Path(__file__).resolve().parents[2]
DEMO = ROOT / "python" / "octavo" / "demo"
HEADER = "Inference-Header-Content-Length"


def as_json(feeds, **more):
    names = {np.dtype(dtype): name for name, (_, dtype) in TYPES.items()}
    return {
        "inputs": [
            {"name": name, "shape": list(x.shape), "datatype": names[x.dtype], "data": x.tolist()}
            for name, x in feeds.items()
        ],
        **more,
    }


def as_bytes(feeds, **more):
    """The body with tensors as bytes, and its header."""
    content = as_json(feeds, **more)
    for entry, x in zip(content["inputs"], feeds.values(), strict=True):
        del entry["data"]
        entry["parameters"] = {"binary_data_size": x.nbytes}
    text = json.dumps(content).encode()
    return text + b"".join(x.tobytes() for x in feeds.values()), {HEADER: str(len(text))}


def arrays_of(response):
    """The outputs of a response, in JSON or as bytes."""
    assert response.status_code == 200, response.text
    length = int(response.headers.get(HEADER, len(response.content)))
    at, found = length, {}
    for entry in json.loads(response.content[:length])["outputs"]:
        dtype = TYPES[entry["datatype"]][1]
        if "data" in entry:
            array = np.array(entry["data"], dtype)
        else:
            size = entry["parameters"]["binary_data_size"]
            array, at = np.frombuffer(response.content[at : at + size], dtype), at + size
        found[entry["name"]] = array.reshape(entry["shape"])
    assert at == len(response.content)
    return found


def assert_same(one, other):
    assert (one.dtype, one.shape, one.tobytes()) == (other.dtype, other.shape, other.tobytes())


@pytest.fixture(scope="module")
def digits():
    """An int8 artifact, and pictures for it."""
    with np.load(DEMO / "calibration.npz") as file:
        images = file["images"][:64] / np.float32(255)
    model = octavo.quantize(DEMO / "mnist-cnn.onnx", images, effort="fast")
    return octavo.program.artifact.to_bytes(model.program), images


@pytest.fixture(scope="module")
def digits_client(digits):
    with serving(octavo.Session(digits[0])) as (client, _):
        yield client


def test_what_the_service_says_of_itself(digits_client):
    for path in ("health/live", "health/ready", "models/net/ready", "models/net/versions/1/ready"):
        assert digits_client.get(f"/v2/{path}").status_code == 200
    assert digits_client.get("/v2").json() == {
        "name": "octavo",
        "version": octavo.__version__,
        "extensions": ["binary_tensor_data"],
    }
    for path in ("/v2/models/net", "/v2/models/net/versions/1"):
        assert digits_client.get(path).json() == {
            "name": "net",
            "versions": ["1"],
            "platform": "octavo",
            "inputs": [{"name": "input", "datatype": "FP32", "shape": [-1, 1, 28, 28]}],
            "outputs": [{"name": "logits", "datatype": "FP32", "shape": [-1, 10]}],
        }


@pytest.mark.parametrize("sent", ["json", "bytes"])
@pytest.mark.parametrize("got", ["json", "bytes", "all bytes"])
def test_answers_are_those_of_a_session(digits, digits_client, sent, got):
    data, images = digits
    (wanted,) = octavo.Session(data).run(None, {"input": images[:3]})
    more = {"id": "seven"}
    if got == "bytes":
        more["outputs"] = [{"name": "logits", "parameters": {"binary_data": True}}]
    elif got == "all bytes":
        more["parameters"] = {"binary_data_output": True}
    for path in ("/v2/models/net/infer", "/v2/models/net/versions/1/infer"):
        if sent == "json":
            response = digits_client.post(path, json=as_json({"input": images[:3]}, **more))
        else:
            content, headers = as_bytes({"input": images[:3]}, **more)
            response = digits_client.post(path, content=content, headers=headers)
        assert_same(arrays_of(response)["logits"], wanted)
        head = json.loads(response.content[: int(response.headers.get(HEADER, len(response.content)))])
        assert (head["model_name"], head["model_version"], head["id"]) == ("net", "1", "seven")
        assert (HEADER in response.headers) == (got != "json")


@pytest.mark.parametrize("datatype", TYPES)
def test_every_datatype_passes_unchanged(datatype):
    dtype = np.dtype(TYPES[datatype][1])
    if dtype.kind == "b":
        x = np.array([[True, False, True], [False, False, True]])
    elif dtype.kind in "iu":
        limits = np.iinfo(dtype)
        x = np.array([[limits.min, limits.max, 1], [7, 0, limits.max - 1]], dtype)
    else:
        limits = np.finfo(dtype)
        x = np.array([[limits.max, limits.min, limits.smallest_subnormal], [-0.0, 1 / 3, 1]], dtype)
    with serving(octavo.Session(line_of(datatype))) as (client, _):
        for outputs in ([{"name": "y"}], [{"name": "y", "parameters": {"binary_data": True}}]):
            response = client.post("/v2/models/net/infer", json=as_json({"x": x}, outputs=outputs))
            assert_same(arrays_of(response)["y"], x)
            content, headers = as_bytes({"x": x}, outputs=outputs)
            response = client.post("/v2/models/net/infer", content=content, headers=headers)
            assert_same(arrays_of(response)["y"], x)


def test_numbers_that_json_does_not_have():
    x = np.array([[np.nan, np.inf, 1]], np.float32)
    with serving(octavo.Session(line_of("FP32"))) as (client, _):
        content, headers = as_bytes({"x": x})
        response = client.post("/v2/models/net/infer", content=content, headers=headers)
        assert response.status_code == 400
        text = "output 'y' holds NaN or infinity, which JSON has not: ask for bytes"
        assert response.json() == {"error": text}
        content, headers = as_bytes({"x": x}, parameters={"binary_data_output": True})
        response = client.post("/v2/models/net/infer", content=content, headers=headers)
        assert_same(arrays_of(response)["y"], x)


class Watched(octavo.Session):
    """Keeps the size of each run; the first waits until the gate is open."""

    def __init__(self, source):
        super().__init__(source)
        self.gate = threading.Event()
        self.sizes = []

    def run(self, names, feeds):
        assert self.gate.wait(60)
        self.sizes.append(len(next(iter(feeds.values()))))
        return super().run(names, feeds)


def at_once(session, requests, most=8):
    """The responses to requests that wait while the first runs, and the sizes of the runs."""
    with serving(session, most) as (client, app), ThreadPoolExecutor(len(requests)) as pool:
        calls = []
        for count, feeds in enumerate(requests):
            content, headers = as_bytes(feeds, parameters={"binary_data_output": True})
            calls.append(pool.submit(client.post, "/v2/models/net/infer", content=content, headers=headers))
            if count == 0:  # it is taken, and runs alone
                wait_for(lambda: app.state.batcher._worker is not None)
            wait_for(lambda count=count: len(app.state.batcher.waiting) == count)
        session.gate.set()
        return [call.result() for call in calls], session.sizes


def test_requests_at_once_run_together_with_the_same_bits(digits):
    data, images = digits
    plain = octavo.Session(data)
    requests = [{"input": images[at : at + 1 + at % 3]} for at in range(60)]
    responses, sizes = at_once(Watched(data), requests)
    for feeds, response in zip(requests, responses, strict=True):
        assert_same(arrays_of(response)["logits"], plain.run(None, feeds)[0])
    assert sum(sizes) == sum(len(feeds["input"]) for feeds in requests) + 8  # nothing twice but the trial
    assert sizes.count(8) > 8


def test_a_bad_request_spoils_no_other(digits):
    data, images = digits
    plain = octavo.Session(data)
    requests = [{"input": image[None]} for image in images[:6]]
    requests[2] = {"input": images[2:3].astype(np.float64)}
    requests[4] = {"wrong": images[4:5]}
    responses, _ = at_once(Watched(data), requests)
    for at, (feeds, response) in enumerate(zip(requests, responses, strict=True)):
        if at in (2, 4):
            assert response.status_code == 400
            assert "input" in response.json()["error"]
        else:
            assert_same(arrays_of(response)["logits"], plain.run(None, feeds)[0])


def test_an_index_that_one_run_cannot_find_is_its_own_error():
    node = helper.make_node("Gather", ["table", "x"], ["y"])
    model = model_of(
        [node],
        [("x", TensorProto.INT64, ("N", 2))],
        [("y", TensorProto.FLOAT, ("N", 2))],
        [("table", np.arange(4, dtype=np.float32))],
    )
    picked = (1, 2, 3, 4, 0, 3, 2, 1, 0)
    requests = [{"x": np.array([[0, at]])} for at in picked]
    responses, sizes = at_once(Watched(model), requests, most=4)
    for at, response in zip(picked, responses, strict=True):
        if at == 4:
            assert response.status_code == 400
        else:
            assert_same(arrays_of(response)["y"], np.array([[0, at]], np.float32))
    assert sizes[-2:] == [1, 4]  # and the batch that failed does not end batches


def of_one_scale():
    """Divides by the greatest value of the whole batch."""
    nodes = [
        helper.make_node("ReduceMax", ["x"], ["greatest"], keepdims=0),
        helper.make_node("Div", ["x", "greatest"], ["y"]),
    ]
    return model_of(nodes, *([(name, TensorProto.FLOAT, ("N", 3))] for name in "xy"))


@pytest.mark.parametrize(
    "model",
    [line_of("FP32", "Softmax"), of_one_scale(), line_of("FP32", shape=(2, 3))],
    ids=["looks along the first axis", "of one scale", "of a fixed batch"],
)
def test_a_model_whose_entries_belong_together_runs_one_by_one(model):
    generator = np.random.default_rng(0)
    requests = [{"x": generator.random((2, 3), np.float32)} for _ in range(9)]
    for at, feeds in enumerate(requests):  # the first two batches have one scale
        feeds["x"][0, 0] = 2 if at < 8 else 3
    plain = octavo.Session(model)
    responses, sizes = at_once(Watched(model), requests)
    for feeds, response in zip(requests, responses, strict=True):
        assert_same(arrays_of(response)["y"], plain.run(None, feeds)[0])
    assert sizes.count(2) == 9
    assert len(sizes) <= 9 + 5  # one trial


X = {"name": "x", "shape": [1, 3], "datatype": "INT32", "data": [1, 2, 3]}
REFUSED = [
    (b"{", {}, 400, "the request is not JSON"),
    (b"[" * 100_000, {}, 400, "the request is not JSON"),
    ({}, {}, 400, "'inputs' must be a list, it is missing"),
    ({"inputs": {}}, {}, 400, "'inputs' must be a list"),
    ({"inputs": [X, X]}, {}, 400, "input 'x' is given twice"),
    ({"inputs": []}, {}, 400, "x"),
    ({"inputs": [X | {"name": "z"}]}, {}, 400, "z"),
    ({"inputs": [X | {"name": 1}]}, {}, 400, "a 'name' in 'inputs' must be a text"),
    ({"inputs": [X | {"datatype": "BYTES"}]}, {}, 400, "there are BOOL, UINT8, INT8"),
    ({"inputs": [X | {"datatype": "INT64"}]}, {}, 400, "int64"),
    ({"inputs": [X | {"shape": [3]}]}, {}, 400, "shape"),
    ({"inputs": [X | {"shape": [1, -3]}]}, {}, 400, "sizes of 0 or more"),
    ({"inputs": [X | {"shape": [1, 4]}]}, {}, 400, "has 3 numbers, the shape [1, 4] takes 4"),
    ({"inputs": [X | {"shape": [10**30, 0]}]}, {}, 400, "has 3 numbers"),
    ({"inputs": [X | {"data": [1, 2.5, 3]}]}, {}, 400, "are not all of INT32"),
    ({"inputs": [X | {"data": [1, 2, 1 << 31]}]}, {}, 400, "are not all of INT32"),
    ({"inputs": [X | {"data": [1, 2, 1 << 80]}]}, {}, 400, "INT32"),
    ({"inputs": [X | {"data": ["1", "2", "3"]}]}, {}, 400, "are not all of INT32"),
    ({"inputs": [X | {"data": [[1, 2], [3]]}]}, {}, 400, "do not become INT32"),
    ({"inputs": [X | {"data": [True, False, True]}]}, {}, 400, "are not all of INT32"),
    ({"inputs": [X | {"data": [None, 1, 2]}]}, {}, 400, "INT32"),
    ({"inputs": [X], "outputs": [{"name": "z"}]}, {}, 400, "there is no output 'z'; there are y"),
    (
        {"inputs": [X], "outputs": [{"name": "y", "parameters": {"classification": 3}}]},
        {},
        400,
        "the parameter 'classification'",
    ),
    ({"inputs": [X], "parameters": {"binary_data_output": 1}}, {}, 400, "must be true or false"),
    ({"inputs": [X], "id": 3}, {}, 400, "'id' must be a text"),
    (json.dumps({"inputs": [X]}).encode() + b"abc", {HEADER: "999"}, 400, "but the body has"),
    (b"{}", {HEADER: "-1"}, 400, "give the number of bytes"),
    (b'{"inputs": []}abc', {HEADER: "14"}, 400, "3 bytes are left over"),
    ({"inputs": [X | {"parameters": {"binary_data_size": 12}}]}, {}, 400, "0 are left in the body"),
    ({"inputs": [X | {"parameters": {"binary_data_size": -12}}]}, {}, 400, "takes 12 bytes"),
    ({"inputs": [X]}, {"Content-Encoding": "gzip"}, 400, "compressed"),
]


@pytest.fixture(scope="module")
def integer_client():
    with serving(octavo.Session(line_of("INT32"))) as (client, _):
        yield client


@pytest.mark.parametrize(("body", "headers", "status", "text"), REFUSED)
def test_what_is_wrong_is_said(integer_client, body, headers, status, text):
    content = body if isinstance(body, bytes) else json.dumps(body).encode()
    response = integer_client.post("/v2/models/net/infer", content=content, headers=headers)
    assert response.status_code == status
    assert list(response.json()) == ["error"]
    assert text in response.json()["error"]


def test_what_is_not_there_is_said(integer_client, monkeypatch):
    for path in ("/v2/models/other", "/v2/models/net/versions/2", "/v2/models/other/ready", "/v1"):
        response = integer_client.get(path)
        assert (response.status_code, list(response.json())) == (404, ["error"])
    response = integer_client.get("/v2/models/net/infer")
    assert (response.status_code, list(response.json())) == (405, ["error"])
    monkeypatch.setattr(service, "LARGEST_BODY", 10)
    response = integer_client.post("/v2/models/net/infer", json={"inputs": [X]})
    assert (response.status_code, list(response.json())) == (413, ["error"])


def test_a_float_model_is_quantized_once_and_served(tmp_path):
    (tmp_path / "net.onnx").write_bytes((DEMO / "mnist-cnn.onnx").read_bytes())
    (tmp_path / "samples").mkdir()
    with np.load(DEMO / "calibration.npz") as file:
        images = file["images"][:40]
    for index, image in enumerate(images):
        np.save(tmp_path / "samples" / f"{index}.npy", image[None])
    options = ["--data", "samples", "--range", "0..1", "--effort", "fast"]
    kept = None
    for _ in range(2):
        with running(tmp_path, "net.onnx", *options) as url:
            x = images[:2] / np.float32(255)
            response = httpx.post(f"{url}/v2/models/net/infer", json=as_json({"input": x}), timeout=60)
            session = octavo.Session(tmp_path / "net.octavo")
            assert_same(arrays_of(response)["logits"], session.run(None, {"input": x})[0])
        written = (tmp_path / "net.octavo").stat()
        assert kept is None or (written.st_ino, written.st_mtime_ns) == kept
        kept = (written.st_ino, written.st_mtime_ns)
    failed = subprocess.run(
        [sys.executable, service.__file__, "net.onnx", "--data", "nowhere"],
        cwd=tmp_path / "samples",
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert failed.returncode == 1
    assert "net.onnx" in failed.stderr


def test_the_page_on_serving(tmp_path):
    page = (ROOT / "docs" / "serving.md").read_text()
    (start,), (ask, shown) = (
        block.splitlines() for block in re.findall(r"^```console\n\$ (.*?)^```", page, re.M | re.S)
    )
    (tmp_path / "model.onnx").write_bytes((DEMO / "mnist-cnn.onnx").read_bytes())
    (tmp_path / "photos").mkdir()
    with np.load(DEMO / "calibration.npz") as file:
        for index, image in enumerate(file["images"][:40]):
            Image.fromarray(image[0]).save(tmp_path / "photos" / f"{index:02}.png")
    assert start.startswith("python service.py model.onnx ")
    with running(tmp_path, *start.split()[2:]) as url:
        assert httpx.get(ask.split()[-1].replace("localhost:8000", url)).text == shown
