"""The runtimes that are compared: how each quantizes a model and runs it.

Every engine quantizes with its own tool, from the same samples: int8 weights per channel, 8-bit activations.
"""

import importlib.metadata
import subprocess
import sys
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import datasets
import numpy as np
from datasets import Array, Case

Run = Callable[[Array], Array]
# The first opset with an axis in DequantizeLinear; the tool does not convert older models.
PER_CHANNEL_OPSET = 13


class UnavailableError(Exception):
    """This engine has no such model; the text says why."""


class Engine(ABC):
    """A runtime with its quantizer."""

    name: str
    package: str
    environment: Mapping[str, str] = {}  # variables that it wants before it is imported

    def version(self) -> str:
        """The version that is installed; raises where it is not."""
        return importlib.metadata.version(self.package)

    @abstractmethod
    def quantize(self, case: Case, folder: Path) -> Path:
        """Makes the int8 model of a case in a folder, from the case's calibration samples."""

    @abstractmethod
    def open(self, case: Case, model: Path, threads: int) -> Run:
        """A function from the case's float input to its output in float, on so many threads."""

    def open_timed(self, case: Case, model: Path, x: Array, threads: int) -> Callable[[], object]:
        """What is timed: one run call on `x`, with shapes fixed beforehand where the engine gains by that."""
        run = self.open(case, model, threads)
        return lambda: run(x)


class OnnxRuntimeFloat(Engine):
    """ONNX Runtime on the float model: what accuracy is measured against."""

    name = "ONNX Runtime float"
    package = "onnxruntime"

    def quantize(self, case: Case, folder: Path) -> Path:
        return case.model

    def options(self, threads: int) -> Any:  # the package need not be there
        """Its session's options: all graph optimizations, as by default."""
        import onnxruntime

        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = threads
        options.inter_op_num_threads = 1
        return options

    def open(self, case: Case, model: Path, threads: int) -> Run:
        import onnxruntime

        onnxruntime.set_default_logger_severity(3)
        session = onnxruntime.InferenceSession(
            model, self.options(threads), providers=["CPUExecutionProvider"]
        )
        outputs = [case.output or session.get_outputs()[0].name]
        return lambda x: session.run(outputs, {case.input: x})[0]


class OnnxRuntime(OnnxRuntimeFloat):
    """ONNX Runtime's static quantization: QDQ, uint8 activations, int8 weights per channel, min-max."""

    name = "ONNX Runtime int8"

    def quantize(self, case: Case, folder: Path) -> Path:
        import onnx
        import onnx.version_converter
        from onnxruntime import quantization
        from onnxruntime.quantization.shape_inference import quant_pre_process

        class Reader(quantization.CalibrationDataReader):
            def __init__(self) -> None:
                samples = case.calibration()
                self.feeds = iter({case.input: samples[i : i + 1]} for i in range(len(samples)))

            def get_next(self) -> dict[str, Array] | None:
                return next(self.feeds, None)

        prepared, out = folder / f"{case.name}-prepared.onnx", folder / f"{case.name}-qdq.onnx"
        model = onnx.load(case.model)
        if model.opset_import[0].version < PER_CHANNEL_OPSET:
            model = onnx.version_converter.convert_version(model, PER_CHANNEL_OPSET)
        quant_pre_process(model, prepared)
        quantization.quantize_static(
            prepared,
            out,
            Reader(),
            quant_format=quantization.QuantFormat.QDQ,
            per_channel=True,
            activation_type=quantization.QuantType.QUInt8,
            weight_type=quantization.QuantType.QInt8,
            calibrate_method=quantization.CalibrationMethod.MinMax,
        )
        return out


class OpenVino(Engine):
    """OpenVINO with NNCF's post-training quantization at its defaults."""

    name = "OpenVINO int8"
    package = "openvino"

    def version(self) -> str:
        return f"{super().version()}, nncf {importlib.metadata.version('nncf')}"

    def quantize(self, case: Case, folder: Path) -> Path:
        import nncf
        import openvino

        samples = case.calibration()
        data = nncf.Dataset([samples[i : i + 1] for i in range(len(samples))])
        model = nncf.quantize(openvino.Core().read_model(case.model), data, subset_size=len(samples))
        out = folder / f"{case.name}-openvino.xml"
        openvino.save_model(model, out, compress_to_fp16=False)
        return out

    def open(self, case: Case, model: Path, threads: int) -> Run:
        run = self._compile(case, model, threads, None)
        return lambda x: np.array(run(x))

    def open_timed(self, case: Case, model: Path, x: Array, threads: int) -> Callable[[], object]:
        run = self._compile(case, model, threads, x.shape)
        return lambda: run(x)

    def _compile(self, case: Case, model: Path, threads: int, shape: tuple[int, ...] | None) -> Run:
        import openvino

        core = openvino.Core()
        network = core.read_model(model)
        if shape is not None:
            network.reshape(list(shape))
        compiled = core.compile_model(
            network,
            "CPU",
            {"INFERENCE_NUM_THREADS": threads, "NUM_STREAMS": 1, "PERFORMANCE_HINT": "LATENCY"},
        )
        request = compiled.create_infer_request()
        output = compiled.output(case.output) if case.output else compiled.output(0)

        def run(x: Array) -> Array:
            request.infer([x], share_inputs=True)
            return request.get_tensor(output).data

        return run


class LiteRt(Engine):
    """LiteRT on int8 .tflite files made by TensorFlow's converter."""

    name = "LiteRT int8"
    package = "ai-edge-litert"

    def quantize(self, case: Case, folder: Path) -> Path:
        if not case.tflite.exists():
            raise UnavailableError("no int8 .tflite file of this model")
        return case.tflite

    def open(self, case: Case, model: Path, threads: int) -> Run:
        interpreter, entry, exit_ = _interpreter(model, threads)

        def run(x: Array) -> Array:
            results = []
            for sample in _as_input(x, entry):
                interpreter.set_tensor(entry["index"], sample[None])
                interpreter.invoke()
                y = interpreter.get_tensor(exit_["index"]).astype(np.float32)
                scale, zero_point = exit_["quantization"]
                results.append((y - np.float32(zero_point)) * np.float32(scale))
            return np.concatenate(results)

        return run

    def open_timed(self, case: Case, model: Path, x: Array, threads: int) -> Callable[[], object]:
        interpreter, entry, exit_ = _interpreter(model, threads)
        sample = _as_input(x, entry)

        def run() -> object:
            interpreter.set_tensor(entry["index"], sample)
            interpreter.invoke()
            return interpreter.get_tensor(exit_["index"])

        return run


def _interpreter(model: Path, threads: int) -> tuple[Any, dict[str, Any], dict[str, Any]]:
    from ai_edge_litert.interpreter import Interpreter

    interpreter = Interpreter(str(model), num_threads=threads)
    interpreter.allocate_tensors()
    return interpreter, interpreter.get_input_details()[0], interpreter.get_output_details()[0]


def _as_input(x: Array, entry: dict[str, Any]) -> Array:
    """Float samples as an interpreter takes them: int8, channels last."""
    scale, zero_point = entry["quantization"]
    if x.ndim == 4 and tuple(x.shape[1:]) != tuple(entry["shape"][1:]):
        x = x.transpose(0, 2, 3, 1)
    # Pixels of MobileNetV2 lie half way between two steps: all of them go up, whatever float32 made of them.
    quantized = np.floor(x / np.float64(scale) + 0.5 + 1e-4) + zero_point
    return np.ascontiguousarray(np.clip(quantized, -128, 127).astype(np.int8))


class Octavo(Engine):
    """octavo, quantized by its command line."""

    name = "octavo int8"
    package = "octavo"

    def version(self) -> str:
        import octavo

        return octavo.__version__

    def quantize(self, case: Case, folder: Path) -> Path:
        data, out = folder / f"{case.name}-calibration.npy", folder / f"{case.name}.octavo"
        np.save(data, case.calibration())
        command: list[str | Path] = [sys.executable, "-m", "octavo", "quantize"]
        command += [case.model, "--data", data, "-o", out]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        data.unlink()
        if done.returncode:
            raise RuntimeError(f"octavo quantize: {done.stderr.strip()}")
        return out

    def open(self, case: Case, model: Path, threads: int) -> Run:
        import octavo

        session = octavo.Session(model, threads=threads)
        outputs = None if case.output is None else [case.output]
        return lambda x: session.run(outputs, {case.input: x})[0]


class OctavoFloat(Octavo):
    """octavo on the float model."""

    name = "octavo float"

    def quantize(self, case: Case, folder: Path) -> Path:
        return case.model


class OctavoAvx2(Octavo):
    """octavo as on a machine without AVX-512."""

    name = "octavo int8, AVX2"
    environment: Mapping[str, str] = {"OCTAVO_ISA": "avx2"}


class OctavoFloatAvx2(OctavoFloat):
    """octavo on the float model, as on a machine without AVX-512."""

    name = "octavo float, AVX2"
    environment: Mapping[str, str] = {"OCTAVO_ISA": "avx2"}


class OpenVinoAvx2(OpenVino):
    """OpenVINO as on a machine without AVX-512: the one peer that can be held to it."""

    name = "OpenVINO int8, AVX2"
    environment: Mapping[str, str] = {"ONEDNN_MAX_CPU_ISA": "AVX2"}


FLOAT = OnnxRuntimeFloat()
ENGINES = (Octavo(), OctavoFloat(), FLOAT, OnnxRuntime(), OpenVino(), LiteRt())
HELD = (OctavoAvx2(), OctavoFloatAvx2(), OpenVinoAvx2())
"""Engines held to AVX2, which are compared where the machine has more."""


def engines(names: str | None = None, among: Sequence[Engine] = ENGINES) -> list[Engine]:
    """All engines, or those whose name begins with one of the words, separated by commas."""
    wanted = tuple(word.lower() for word in (names or "").split(","))
    return [engine for engine in among if engine.name.lower().startswith(wanted)]


def model_of(engine: Engine, case: Case, folder: Path) -> Path:
    """The int8 model of a case: octavo's always new, a peer's kept until it or these scripts change."""
    if isinstance(engine, Octavo | OnnxRuntimeFloat) and not isinstance(engine, OnnxRuntime):
        return engine.quantize(case, folder)
    kept = folder / f"{engine.package} {engine.version()}".replace(" ", "-").replace(",", "")
    note = kept / f"{case.name}.txt"
    scripts = (Path(__file__), Path(datasets.__file__))
    if not note.exists() or note.stat().st_mtime < max(script.stat().st_mtime for script in scripts):
        kept.mkdir(parents=True, exist_ok=True)
        note.write_text(str(engine.quantize(case, kept)))
    return Path(note.read_text())
