"""Keeps the log lines of the model libraries to themselves while octavo works."""

import logging
import threading
from collections.abc import Iterator
from contextlib import contextmanager

_LIBRARIES = ("onnx_ir", "onnxscript")
_lock = threading.Lock()
_depth = 0
_levels: dict[str, int] = {}


@contextmanager
def quiet() -> Iterator[None]:
    """Silences onnx-ir and onnxscript: what matters to the caller is raised, not logged.

    Nests, also across threads: the first one in silences, the last one out puts the levels back.
    """
    global _depth
    with _lock:
        if _depth == 0:
            for name in _LIBRARIES:
                _levels[name] = logging.getLogger(name).level
                logging.getLogger(name).setLevel(logging.CRITICAL + 1)
        _depth += 1
    try:
        yield
    finally:
        with _lock:
            _depth -= 1
            if _depth == 0:
                for name in _LIBRARIES:
                    logging.getLogger(name).setLevel(_levels[name])
