"""The command line as a person meets it: arguments, an exit status, what was written where."""

import contextlib
import io
import json
import os
import sys
from dataclasses import dataclass
from pathlib import Path
from unittest import mock

import numpy as np
import pytest
from octavo.__main__ import main

DEMO = Path(__file__).resolve().parents[2] / "python" / "octavo" / "demo"


@dataclass
class Ended:
    """How a command ended."""

    status: int
    out: str
    err: str

    def json(self):
        return json.loads(self.out)


def octavo(*arguments, cwd=None, **environment):
    """Runs a command as its own process would, in this one."""
    out, err = io.StringIO(), io.StringIO()
    status = 0
    with (
        mock.patch.object(sys, "argv", ["octavo", *map(str, arguments)]),
        mock.patch.dict(os.environ, environment),
        contextlib.chdir(cwd or Path.cwd()),
        contextlib.redirect_stdout(out),
        contextlib.redirect_stderr(err),
    ):
        try:
            main()
        except SystemExit as end:
            status = end.code or 0
    return Ended(status, out.getvalue(), err.getvalue())


@pytest.fixture(scope="session", name="octavo")
def octavo_fixture():
    return octavo


@pytest.fixture(scope="session")
def folder(tmp_path_factory):
    """model.onnx, calibration.npz (pixels), image.npy, and model.octavo, made of them by a command."""
    folder = tmp_path_factory.mktemp("cli")
    (folder / "model.onnx").write_bytes((DEMO / "mnist-cnn.onnx").read_bytes())
    (folder / "calibration.npz").write_bytes((DEMO / "calibration.npz").read_bytes())
    with np.load(DEMO / "images.npz") as file:
        np.save(folder / "image.npy", file["images"][:1].astype(np.float32) / np.float32(255))
    ended = octavo("quantize", "model.onnx", "--data", "calibration.npz", "-o", "model.octavo", cwd=folder)
    assert ended.status == 0, ended.err
    return folder
