"""The service in a thread of a test, and models of every type for it."""

import contextlib
import socket
import subprocess
import sys
import threading
import time

import httpx
import numpy as np
import onnx
import service
import uvicorn
from onnx import TensorProto, helper

TYPES = {
    "BOOL": (TensorProto.BOOL, np.bool_),
    "UINT8": (TensorProto.UINT8, np.uint8),
    "INT8": (TensorProto.INT8, np.int8),
    "INT16": (TensorProto.INT16, np.int16),
    "INT32": (TensorProto.INT32, np.int32),
    "INT64": (TensorProto.INT64, np.int64),
    "FP16": (TensorProto.FLOAT16, np.float16),
    "FP32": (TensorProto.FLOAT, np.float32),
    "FP64": (TensorProto.DOUBLE, np.float64),
}


@contextlib.contextmanager
def serving(session, most=8):
    """The app of a session on a free port, and a client of it."""
    app = service.create_app(session, "net", most)
    server = uvicorn.Server(uvicorn.Config(app, port=0, log_level="warning"))
    thread = threading.Thread(target=server.run)
    thread.start()
    try:
        wait_for(lambda: server.started)
        port = server.servers[0].sockets[0].getsockname()[1]
        with httpx.Client(base_url=f"http://127.0.0.1:{port}", timeout=60) as client:
            yield client, app
    finally:
        server.should_exit = True
        thread.join()


def wait_for(condition, seconds=60):
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end
        time.sleep(0.01)


def model_of(nodes, inputs, outputs, constants=()):
    """A model of (name, type, shape) inputs and outputs."""
    ends = ([helper.make_tensor_value_info(*info) for info in infos] for infos in (inputs, outputs))
    arrays = [onnx.numpy_helper.from_array(array, name) for name, array in constants]
    graph = helper.make_graph(nodes, "net", *ends, arrays)
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 20)], ir_version=10)


def line_of(datatype, op="Identity", shape=("N", 3)):
    kind = TYPES[datatype][0]
    node = helper.make_node(op, ["x"], ["y"], **({"axis": 0} if op == "Softmax" else {}))
    return model_of([node], [("x", kind, shape)], [("y", kind, shape)])


@contextlib.contextmanager
def running(folder, *arguments, python=sys.executable):
    """The script itself, with these arguments, on a port that was free; its URL."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    process = subprocess.Popen(
        [python, service.__file__, "--port", str(port), *arguments],
        cwd=folder,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    url = f"http://127.0.0.1:{port}"
    try:
        wait_for(lambda: process.poll() is not None or answers(url))
        assert process.poll() is None
        yield url
    finally:
        process.terminate()
        process.wait(60)


def answers(url):
    try:
        return httpx.get(f"{url}/v2/health/ready").status_code == 200
    except httpx.TransportError:
        return False
