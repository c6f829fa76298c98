"""Serve a model over HTTP by the Open Inference Protocol 2, which clients of Triton and KServe speak.

    pip install "octavo[all]" fastapi uvicorn
    python service.py model.onnx --data photos/ --range -1..1
    python service.py --port 8001 model.octavo

A float model is quantized first, by `octavo quantize` with the options that stand behind it, and the artifact
is kept beside it: the next start serves that, unless the model is newer. Requests that wait at the same time
run together, and each gets the bits that it would get alone.
"""

import argparse
import asyncio
import json
import math
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import octavo
import uvicorn
from fastapi import FastAPI, Request, Response
from fastapi.responses import JSONResponse
from numpy.typing import NDArray
from starlette.exceptions import HTTPException

Array = NDArray[Any]
Feeds = dict[str, Array]
Answer = list[Array] | Exception

VERSION = "1"
HEADER = "Inference-Header-Content-Length"
LARGEST_BODY = 256 << 20

DATATYPES = {
    "BOOL": np.dtype("?"),
    "UINT8": np.dtype("u1"),
    "INT8": np.dtype("i1"),
    "INT16": np.dtype("<i2"),
    "INT32": np.dtype("<i4"),
    "INT64": np.dtype("<i8"),
    "FP16": np.dtype("<f2"),
    "FP32": np.dtype("<f4"),
    "FP64": np.dtype("<f8"),
}
NAMES = {dtype: name for name, dtype in DATATYPES.items()}
ONNX_NAMES = {"float": "float32", "double": "float64"}


class RefusedError(Exception):
    """What is wrong with a request, and its HTTP status."""

    def __init__(self, text: str, status: int = 400) -> None:
        super().__init__(text)
        self.status = status


# Reading a request.


@dataclass(frozen=True)
class Inference:
    """A request: the feeds; by name, which outputs to answer as bytes (None: all, as `binary` says)."""

    feeds: Feeds
    outputs: dict[str, bool] | None
    binary: bool
    id: str | None


def parse(body: bytes, header: str | None) -> Inference:
    """The request in a body: JSON of `header` bytes, and behind it the tensors that are sent as bytes."""
    if header is not None and not header.isdecimal():
        raise RefusedError(f"{HEADER} is {header!r}: give the number of bytes of the JSON")
    length = len(body) if header is None else int(header)
    if length > len(body):
        raise RefusedError(f"{HEADER} is {length}, but the body has {len(body)} bytes")
    try:
        content = json.loads(body[:length])
    except (ValueError, RecursionError) as error:
        raise RefusedError(f"the request is not JSON: {error}") from None
    content = checked(content, dict, "the request")
    binary = flag(content, "binary_data_output", default=False)
    feeds: Feeds = {}
    for entry in checked(content.get("inputs"), list, "'inputs'"):
        name = name_of(entry, "inputs")
        if name in feeds:
            raise RefusedError(f"input {name!r} is given twice")
        feeds[name], length = read_tensor(name, entry, body, length)
    if length != len(body):
        raise RefusedError(f"{len(body) - length} bytes are left over: check each 'binary_data_size'")
    outputs = content.get("outputs")
    if outputs is not None:
        outputs = dict(read_output(entry, binary) for entry in checked(outputs, list, "'outputs'"))
    identifier = content.get("id")
    return Inference(feeds, outputs, binary, None if identifier is None else checked(identifier, str, "'id'"))


def read_tensor(name: str, entry: dict[str, Any], body: bytes, at: int) -> tuple[Array, int]:
    """The array of an entry of 'inputs', and where in the body the bytes of the next one begin."""
    dtype = DATATYPES.get(str(entry.get("datatype")))
    if dtype is None:
        known = ", ".join(DATATYPES)
        raise RefusedError(f"input {name!r} has the datatype {entry.get('datatype')!r}; there are {known}")
    shape = checked(entry.get("shape"), list, f"the 'shape' of input {name!r}")
    if not all(type(size) is int and size >= 0 for size in shape):
        raise RefusedError(f"input {name!r} has the shape {shape}: give sizes of 0 or more")
    count = math.prod(shape)
    size = parameters_of(entry).get("binary_data_size")
    if size is None:
        values = read_numbers(name, entry.get("data"), dtype)
        if len(values) != count:
            raise RefusedError(f"input {name!r} has {len(values)} numbers, the shape {shape} takes {count}")
        return values.reshape(shape), at
    if type(size) is not int or size != count * dtype.itemsize or size > len(body) - at:
        raise RefusedError(
            f"input {name!r} has a 'binary_data_size' of {size!r}: {NAMES[dtype]} of the shape {shape} takes "
            f"{count * dtype.itemsize} bytes, and {len(body) - at} are left in the body"
        )
    # Any byte but 0 is true. The copy is aligned, which bytes in a body need not be.
    stored = np.dtype("u1") if dtype.kind == "b" else dtype
    return np.frombuffer(body, stored, count, at).astype(dtype).reshape(shape), at + size


def read_output(entry: object, binary: bool) -> tuple[str, bool]:
    """The name of an entry of 'outputs', and whether it is wanted as bytes."""
    name = name_of(entry, "outputs")
    other = set(parameters_of(entry)) - {"binary_data"}
    if other:
        raise RefusedError(f"output {name!r} has the parameter {min(other)!r}: only 'binary_data' is known")
    return name, flag(entry, "binary_data", default=binary)


def read_numbers(name: str, data: object, dtype: np.dtype[Any]) -> Array:
    """The numbers of 'data', nested or flat, where the dtype can hold them."""
    try:
        values = np.array(checked(data, list, f"the 'data' of input {name!r}"))
        if not values.size:
            return np.empty(0, dtype)
        with np.errstate(over="raise", invalid="raise"):
            made = values.astype(dtype)
    except (ValueError, TypeError, ArithmeticError) as error:
        raise RefusedError(f"the 'data' of input {name!r} do not become {NAMES[dtype]}: {error}") from None
    kinds = {"b": "b", "i": "iu", "u": "iu", "f": "iuf"}[dtype.kind]
    if values.dtype.kind not in kinds or (dtype.kind in "iu" and not np.array_equal(made, values)):
        raise RefusedError(f"the 'data' of input {name!r} are not all of {NAMES[dtype]}")
    return made.ravel()


def checked(value: Any, kind: type, what: str) -> Any:  # noqa: ANN401
    if not isinstance(value, kind):
        wanted = {dict: "an object", list: "a list", str: "a text"}[kind]
        given = "missing" if value is None else repr(value)[:40]
        raise RefusedError(f"{what} must be {wanted}, it is {given}")
    return value


def name_of(entry: object, where: str) -> str:
    named = checked(entry, dict, f"an entry of '{where}'")
    name: str = checked(named.get("name"), str, f"a 'name' in '{where}'")
    return name


def parameters_of(entry: dict[str, Any]) -> dict[str, Any]:
    parameters: dict[str, Any] = checked(entry.get("parameters", {}), dict, "'parameters'")
    return parameters


def flag(entry: dict[str, Any], name: str, *, default: bool) -> bool:
    value = parameters_of(entry).get(name, default)
    if not isinstance(value, bool):
        raise RefusedError(f"the parameter '{name}' must be true or false, it is {value!r}")
    return value


# Running requests.


class Batcher:
    """Runs requests that wait at the same time in one batch, up to `most` samples of one shape.

    Nobody waits for a batch to fill: it is of what came while the last one ran. The first axis can be of a
    fixed size, or be time or words, over which a model looks. So batches are tried once, before the first.
    """

    def __init__(self, session: octavo.Session, most: int) -> None:
        self.most = most
        self.waiting: list[tuple[Feeds, asyncio.Future[list[Array]]]] = []
        self._session = session
        self._is_tried = False
        self._worker: asyncio.Task[None] | None = None

    async def run(self, feeds: Feeds) -> list[Array]:
        """All outputs for these feeds; the error that a run of them alone raises."""
        answer: asyncio.Future[list[Array]] = asyncio.get_running_loop().create_future()
        self.waiting.append((feeds, answer))
        if self._worker is None or self._worker.done():
            self._worker = asyncio.create_task(self._work())
        return await answer

    async def _work(self) -> None:
        while self.waiting:
            batch = self._taken()
            answers = await asyncio.to_thread(self._answers, [feeds for feeds, _ in batch])
            for (_, waiting), answer in zip(batch, answers, strict=True):
                if waiting.done():  # the caller is gone
                    continue
                if isinstance(answer, Exception):
                    waiting.set_exception(answer)
                else:
                    waiting.set_result(answer)

    def _taken(self) -> list[tuple[Feeds, "asyncio.Future[list[Array]]"]]:
        """The request that has waited longest, and those that can run with it."""
        form, samples = batch_form(self.waiting[0][0])
        batch, left = self.waiting[:1], []
        for request in self.waiting[1:]:
            its_form, more = batch_form(request[0])
            if form is not None and its_form == form and samples + more <= self.most:
                batch.append(request)
                samples += more
            else:
                left.append(request)
        self.waiting = left
        return batch

    def _answers(self, batch: list[Feeds]) -> list[Answer]:
        if len(batch) > 1 and not self._is_tried:
            self._is_tried = True
            if not self._is_apart(batch[0]):
                self.most = 1
        if len(batch) > 1 and self.most > 1:
            together = self._together(batch)
            if together is not None:
                return together
        return [self._alone(feeds) for feeds in batch]

    def _is_apart(self, feeds: Feeds) -> bool:
        """Whether samples in a batch are answered as each alone, tried on four made of a request's values.

        One has them in reverse, so that it differs everywhere; two have the least and the greatest
        throughout, so that a scale over the whole batch would show.
        """
        first = {name: array[:1] for name, array in feeds.items()}
        reverse = {name: array.ravel()[::-1].reshape(array.shape) for name, array in first.items()}
        least, greatest = (
            {name: np.full_like(array, bound(array)) for name, array in first.items()}
            for bound in (np.min, np.max)
        )
        samples = [first, reverse, least, greatest]
        together = self._together(samples)
        return together is not None and all(map(is_same, together, map(self._alone, samples)))

    def _together(self, batch: list[Feeds]) -> list[Answer] | None:
        """The answers of one run of all, None where it fails or does not answer sample by sample."""
        counts = [batch_form(feeds)[1] for feeds in batch]
        try:
            outputs = self._session.run(
                None, {name: np.concatenate([feeds[name] for feeds in batch]) for name in batch[0]}
            )
        except Exception:  # each alone will show whose it is
            return None
        if any(array.ndim == 0 or len(array) != sum(counts) for array in outputs):
            return None
        borders = np.cumsum(counts)[:-1]
        return [list(parts) for parts in zip(*(np.split(array, borders) for array in outputs), strict=True)]

    def _alone(self, feeds: Feeds) -> Answer:
        try:
            return self._session.run(None, feeds)
        except Exception as error:
            return error


def batch_form(feeds: Feeds) -> tuple[object, int]:
    """What requests of one batch have in common, None for one that must run alone; its number of samples."""
    counts = {len(array) if array.size and array.ndim else 0 for array in feeds.values()}
    if len(counts) != 1 or 0 in counts:
        return None, 0
    return sorted((name, array.dtype.str, array.shape[1:]) for name, array in feeds.items()), counts.pop()


def is_same(one: Answer, other: Answer) -> bool:
    """Whether two lists of arrays hold the same bytes."""
    if isinstance(one, Exception) or isinstance(other, Exception):
        return False
    return all(a.shape == b.shape and a.tobytes() == b.tobytes() for a, b in zip(one, other, strict=True))


# Answering.


def answer(model: str, request: Inference, outputs: dict[str, Array]) -> Response:
    """The response: JSON, and behind it the outputs that are asked for as bytes."""
    wanted = request.outputs or dict.fromkeys(outputs, request.binary)
    entries, parts = [], []
    for name, binary in wanted.items():
        array = outputs[name]
        entry = {"name": name, "datatype": NAMES[array.dtype], "shape": list(array.shape)}
        if binary:
            parts.append(array.tobytes())
            entry["parameters"] = {"binary_data_size": array.nbytes}
        elif array.dtype.kind == "f" and not np.isfinite(array).all():
            raise RefusedError(f"output {name!r} holds NaN or infinity, which JSON has not: ask for bytes")
        else:
            entry["data"] = array.ravel().tolist()
        entries.append(entry)
    content = {"model_name": model, "model_version": VERSION, "outputs": entries}
    if request.id is not None:
        content["id"] = request.id
    text = json.dumps(content).encode()
    if not parts:
        return Response(text, media_type="application/json")
    return Response(
        b"".join([text, *parts]), headers={HEADER: str(len(text))}, media_type="application/octet-stream"
    )


def described(infos: list[Any]) -> list[dict[str, Any]]:
    """Inputs or outputs as the protocol has them: a free axis is -1."""
    entries = []
    for info in infos:
        kind = info.type.removeprefix("tensor(").removesuffix(")")
        shape = [size if isinstance(size, int) else -1 for size in info.shape]
        datatype = NAMES[np.dtype(ONNX_NAMES.get(kind, kind))]
        entries.append({"name": info.name, "datatype": datatype, "shape": shape})
    return entries


async def body_of(request: Request) -> bytes:
    if request.headers.get("Content-Encoding", "identity") != "identity":
        raise RefusedError("the body is compressed: send it as it is")
    parts, size = [], 0
    async for part in request.stream():
        size += len(part)
        if size > LARGEST_BODY:
            raise RefusedError(f"the body is over {LARGEST_BODY} bytes: send fewer samples at a time", 413)
        parts.append(part)
    return b"".join(parts)


def create_app(session: octavo.Session, name: str, most: int = 8) -> FastAPI:
    """The service of a session, under this name; up to `most` samples run in one batch."""
    app = FastAPI(title="octavo")
    app.state.batcher = batcher = Batcher(session, most)
    output_names = [info.name for info in session.get_outputs()]

    def check(model: str, version: str) -> None:
        if (model, version) != (name, VERSION):
            raise RefusedError(f"there is no model {model!r}, {version}, only {name!r}, {VERSION}", 404)

    @app.get("/v2")
    async def server() -> dict[str, Any]:
        return {"name": "octavo", "version": octavo.__version__, "extensions": ["binary_tensor_data"]}

    @app.get("/v2/health/live")
    @app.get("/v2/health/ready")
    async def health() -> None:
        return None

    @app.get("/v2/models/{model}/ready")
    @app.get("/v2/models/{model}/versions/{version}/ready")
    async def ready(model: str, version: str = VERSION) -> None:
        check(model, version)

    @app.get("/v2/models/{model}")
    @app.get("/v2/models/{model}/versions/{version}")
    async def metadata(model: str, version: str = VERSION) -> dict[str, Any]:
        check(model, version)
        ends = {"inputs": described(session.get_inputs()), "outputs": described(session.get_outputs())}
        return {"name": name, "versions": [VERSION], "platform": "octavo", **ends}

    @app.post("/v2/models/{model}/infer")
    @app.post("/v2/models/{model}/versions/{version}/infer")
    async def infer(request: Request, model: str, version: str = VERSION) -> Response:
        check(model, version)
        inference = parse(await body_of(request), request.headers.get(HEADER))
        for wanted in inference.outputs or ():
            if wanted not in output_names:
                raise RefusedError(f"there is no output {wanted!r}; there are {', '.join(output_names)}")
        arrays = await batcher.run(inference.feeds)
        return answer(name, inference, dict(zip(output_names, arrays, strict=True)))

    @app.exception_handler(RefusedError)
    async def refused(request: Request, error: RefusedError) -> JSONResponse:
        return JSONResponse({"error": str(error)}, error.status)

    @app.exception_handler(octavo.RunError)
    async def not_run(request: Request, error: octavo.RunError) -> JSONResponse:
        return JSONResponse({"error": str(error)}, 400)

    @app.exception_handler(HTTPException)
    async def no_route(request: Request, error: HTTPException) -> JSONResponse:
        text = f"{error.detail}: {request.method} {request.url.path}"
        return JSONResponse({"error": text}, error.status_code)

    return app


def artifact_of(model: Path, options: list[str]) -> Path:
    """The artifact to serve: the file itself, or that beside the float model, made now unless it is newer."""
    if model.suffix == ".octavo":
        return model
    artifact = model.with_suffix(".octavo")
    if artifact.exists() and artifact.stat().st_mtime >= model.stat().st_mtime:
        print(f"{artifact} was made from {model} earlier; to quantize anew, remove it", file=sys.stderr)
        return artifact
    done = subprocess.run([sys.executable, "-m", "octavo", "quantize", model, "--output", artifact, *options])
    if done.returncode:
        raise SystemExit(done.returncode)
    return artifact


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--host", default="127.0.0.1")
    parser.add_argument("--port", type=int, default=8000)
    parser.add_argument("--name", help="the model's name in URLs; by default, the file's")
    parser.add_argument("--batch", type=int, default=8, help="how many samples run together at most")
    parser.add_argument("model", type=Path, help="an .onnx file, or an .octavo file")
    parser.add_argument("options", nargs=argparse.REMAINDER, help="of octavo quantize: --data photos/ ...")
    arguments = parser.parse_args()
    session = octavo.Session(artifact_of(arguments.model, arguments.options))
    app = create_app(session, arguments.name or arguments.model.stem, arguments.batch)
    uvicorn.run(app, host=arguments.host, port=arguments.port)


if __name__ == "__main__":
    main()
