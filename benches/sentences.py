"""How nearly int8 models of a sentence encoder answer: `python benches/sentences.py --help`.

all-MiniLM-L6-v2 with octavo's efforts, with its recipe `dynamic` and with ONNX Runtime's dynamic
quantization, over texts that no model was calibrated with. Per text: the cosine of the sentence vector to
that of ONNX Runtime's float model. SQNR = 10 log10(sum y^2 / sum (y - y8)^2) in dB over all sentence vectors,
and over all tokens' last hidden states.
"""

import argparse
import functools
import importlib.metadata
import platform
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import measurement
import minilm
import numpy as np
import onnx_ir as ir
from datasets import Array
from engines import FLOAT, Octavo, OctavoFloat
from peers import THREADS, Calls, take_turns, turns_of
from tables import write_sentences
from texts import texts

EFFORTS = ("fast", "default", "best")  # of the recipe int8
WAYS = (*EFFORTS, "dynamic", "dynamic, with data")
DYNAMIC = "octavo dynamic"
PEER = "ONNX Runtime dynamic int8"
SCORED, CALIBRATED = 60, 100  # texts
MOST_TOKENS = 512  # that the model has positions for
LENGTHS = (16, 128, 493)  # in tokens, of what is timed
OUTPUTS = ("last_hidden_state", "sentence_embedding")

Feeds = dict[str, Array]
Answer = Callable[[Feeds], list[Array]]  # OUTPUTS of a batch
Open = Callable[[int], Answer]  # on so many threads


def tokenizer() -> Any:  # the package need not be there
    """That of the package of the weights."""
    from tokenizers import Tokenizer

    found = Tokenizer.from_file(str(minilm.folder_of_package() / "tokenizer.json"))
    found.no_padding()
    found.enable_truncation(MOST_TOKENS)
    return found


def feeds_of(ids: list[int]) -> Feeds:
    """One text as the model takes it."""
    tokens = np.array([ids], np.int64)
    return {
        "input_ids": tokens,
        "attention_mask": np.ones_like(tokens),
        "token_type_ids": np.zeros_like(tokens),
    }


def by_octavo(path: Path, threads: int) -> Answer:
    """octavo's answers, for an artifact or an ONNX file."""
    import octavo

    session = octavo.Session(path, threads=threads)
    return lambda feeds: session.run(list(OUTPUTS), feeds)


def by_peer(path: Path, threads: int) -> Answer:
    """ONNX Runtime's answers."""
    import onnxruntime

    onnxruntime.set_default_logger_severity(3)
    session = onnxruntime.InferenceSession(path, FLOAT.options(threads), providers=["CPUExecutionProvider"])
    return lambda feeds: session.run(list(OUTPUTS), feeds)


@dataclass(frozen=True)
class Made:
    """An int8 model: the file, how long it took to make it, and what opens it on so many threads."""

    path: Path
    seconds: float
    open: Open


def quantized(model: Path, way: str, calibration: list[Feeds]) -> Made:
    """By octavo."""
    import octavo

    path = model.with_name(f"{model.stem}-{way}.octavo")
    begin = time.perf_counter()
    if way in EFFORTS:
        octavo.quantize(model, calibration, effort=way).save(path)
    else:
        octavo.quantize(model, None if way == "dynamic" else calibration, "dynamic").save(path)
    return Made(path, time.perf_counter() - begin, functools.partial(by_octavo, path))


def quantized_by_peer(model: Path) -> Made:
    """By ONNX Runtime: tables and weights in int8, one scale an output channel; activations as they come."""
    from onnxruntime import quantization
    from onnxruntime.quantization.shape_inference import quant_pre_process

    prepared, path = (model.with_name(f"{model.stem}-{step}.onnx") for step in ("prepared", "dynamic"))
    begin = time.perf_counter()
    quant_pre_process(model, prepared, skip_symbolic_shape=True)
    quantization.quantize_dynamic(prepared, path, per_channel=True, weight_type=quantization.QuantType.QInt8)
    return Made(path, time.perf_counter() - begin, functools.partial(by_peer, path))


def score(given: list[list[Array]], expected: list[list[Array]]) -> measurement.Row:
    """How near OUTPUTS of an int8 model are to those expected, text by text."""
    row: measurement.Row = {}
    for number, name in enumerate(("hidden_db", "sentence_db")):
        y8, y = (np.concatenate([np.ravel(all_[number]) for all_ in side]) for side in (given, expected))
        wide = y.astype(np.float64)
        row[name] = measurement.sqnr(float((wide**2).sum()), float(((wide - y8) ** 2).sum()))
    cosines = [_cosine(y8[1], y[1]) for y8, y in zip(given, expected, strict=True)]
    return row | {"cosine_mean": round(float(np.mean(cosines)), 5), "cosine_min": round(min(cosines), 5)}


def _cosine(a: Array, b: Array) -> float:
    a, b = a.astype(np.float64), b.astype(np.float64)
    return float((a * b).sum() / np.sqrt((a**2).sum() * (b**2).sum()))


def measure(model: Path, makers: dict[str, Callable[[], Made]], scored: list[Feeds]) -> measurement.Row:
    """The row of each int8 model, which its maker makes; an error in the place of what could not be had."""
    reference = by_peer(model, 1)
    expected = [reference(feeds) for feeds in scored]
    row: measurement.Row = {}
    for name, make in makers.items():
        try:
            made = make()
            answer = made.open(1)
            row[name] = score([answer(feeds) for feeds in scored], expected)
            row[name] |= {"bytes": made.path.stat().st_size, "seconds": round(made.seconds, 1)}
        except Exception as error:
            row[name] = {"error": measurement.cause(error)}
        print(f"{name:28}{row[name]}", flush=True)
    return row


def latency(models: dict[str, Open], text: list[int], rounds: int) -> dict[str, measurement.Row]:
    """Microseconds of a run of each model on the first tokens of a text, on one thread and on two."""
    rows = {}
    for length in LENGTHS:
        feeds = feeds_of(text[:length])
        calls: Calls = {
            (name, threads): functools.partial(open_(threads), feeds)
            for name, open_ in models.items()
            for threads in THREADS
        }
        for call in calls.values():
            call()
        rows[f"{length} tokens"] = take_turns(turns_of(calls), rounds)
        for name, row in rows[f"{length} tokens"].items():
            print(f"{length:4} tokens  {name:28}{row}", flush=True)
    return rows


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--only", choices=WAYS, help="of octavo's ways, and write no results; all by default")
    parser.add_argument("--no-peer", action="store_true", help="without ONNX Runtime's; write no results")
    parser.add_argument(
        "--calibration", type=int, default=CALIBRATED, metavar="N", help=f"texts; {CALIBRATED} by default"
    )
    parser.add_argument("--latency", action="store_true", help="time the models in place of scoring them")
    parser.add_argument("--rounds", type=int, default=30, help="turns of each engine, for --latency")
    arguments = parser.parse_args()
    measurement.MODELS.mkdir(parents=True, exist_ok=True)
    model = measurement.MODELS / "minilm.onnx"
    ir.save(minilm.build(minilm.weights_of_package()), model)
    encode = tokenizer().encode
    scored, calibration = (
        [encode(text).ids for text in part]
        for part in texts(lambda text: len(encode(text).ids), SCORED, arguments.calibration)
    )
    samples = [feeds_of(ids) for ids in calibration]
    whole = not (arguments.only or arguments.no_peer or arguments.calibration != CALIBRATED)
    versions = {name: importlib.metadata.version(name) for name in ("onnxruntime", "tokenizers")}
    versions = {"octavo": Octavo().version(), **versions, "texts of Python": platform.python_version()}
    if arguments.latency:
        models: dict[str, Open] = {
            Octavo.name: quantized(model, arguments.only or "default", samples).open,
            DYNAMIC: quantized(model, "dynamic", samples).open,
            OctavoFloat.name: functools.partial(by_octavo, model),
            FLOAT.name: functools.partial(by_peer, model),
        }
        if not arguments.no_peer:
            models[PEER] = quantized_by_peer(model).open
        rows = latency(models, max(scored, key=len), max(2, arguments.rounds))
        name, more = "sentences-latency", {"rounds": arguments.rounds}
    else:
        ways = [arguments.only] if arguments.only else WAYS
        makers = {f"octavo {way}": functools.partial(quantized, model, way, samples) for way in ways}
        if not arguments.no_peer:
            makers[PEER] = functools.partial(quantized_by_peer, model)
        rows = {"all-MiniLM-L6-v2": measure(model, makers, [feeds_of(ids) for ids in scored])}
        name, more = "sentences", {}
    if whole:
        measurement.write(name, versions, rows, **more)
        print(f"written: {write_sentences()}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
