"""`quantize`, and the model that it gives."""

import os
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from octavo import frontend
from octavo.calibration import Data
from octavo.errors import DataError
from octavo.program import Program, artifact
from octavo.program.tensors import Tensor, tensor, tensors
from octavo.quantization.loading import observable, settle_overrides
from octavo.quantization.options import Evaluate, Options
from octavo.quantization.overrides import Override
from octavo.quantization.prepared import Calibrator, prepare
from octavo.quantization.progress import Asked, watcher
from octavo.quantization.recipes import Recipe
from octavo.quantization.recipes import recipe as recipe_of
from octavo.quantization.report import Report
from octavo.quantization.stages import PREPARED, run


@dataclass(frozen=True, eq=False)
class Model:
    """A model that runs: what an artifact holds.

    program: what runs, as `octavo.reference.run` reads it. sources: the files that it was made from, which
    `save` does not overwrite.
    """

    program: Program
    sources: tuple[str, ...] = field(default=(), repr=False, kw_only=True)

    def tensors(self) -> dict[str, Tensor]:
        """By the name of the constant, the weights that are held in integers."""
        return tensors(self.program)

    def tensor(self, name: str) -> Tensor:
        """The weights of this name in the Program or the float model; `ModelError` where there are none."""
        return tensor(self.program, name)

    def to_bytes(self, *, compress: bool = False) -> bytes:
        """The artifact, as `save` writes it; raises `ArtifactError` where the Program is not valid."""
        return artifact.to_bytes(self.program, compress=compress)

    def save(self, path: str | os.PathLike[str], *, compress: bool = False) -> None:
        """Write the artifact; a file of that name is replaced whole or not at all.

        compress: with Zstandard. A link is followed; a pipe or a device, such as /dev/stdout, is written to.
        Raises `ArtifactError` where the file is one that the model was made from, OSError where it cannot be
        written.
        """
        artifact.save(self.program, path, self.sources, compress=compress)

    def export_onnx(self, path: str | os.PathLike[str]) -> None:
        """Write an ONNX model in QDQ form, for other runtimes, as `octavo.exporting.save` does.

        Raises `ModelError` where a node has no form there, `ArtifactError` where the file is one that the
        model was made from, OSError where it cannot be written.
        """
        from octavo import exporting

        exporting.save(self.program, path, self.sources)


@dataclass(frozen=True, eq=False)
class QuantizedModel(Model):
    """A model in integers. report: what became of the float model."""

    report: Report

    def __repr__(self) -> str:
        return f"QuantizedModel({self.report.summary()})"

    def _repr_html_(self) -> str:
        return self.report._repr_html_()


def load(source: str | os.PathLike[str] | bytes) -> Model:
    """The model of an artifact, by its path or its bytes: to look into, compare, export or save.

    Raises `ArtifactError` where it is damaged, of a newer format or no artifact, OSError where the file
    cannot be read, TypeError for anything else.
    """
    if isinstance(source, bytes):
        return Model(artifact.from_bytes(source))
    if not isinstance(source, str | os.PathLike):
        raise TypeError(f"an artifact is a path or bytes, not an object of type {type(source).__name__}")
    return Model(artifact.load(source), sources=(os.fspath(source),))


def quantize(
    model: frontend.Source,
    data: "Data | None" = None,
    recipe: str | Recipe = "int8",
    *,
    exclude: Iterable[str] = (),
    overrides: Iterable[Override | Mapping[str, Any]] = (),
    effort: str = "default",
    range_rule: str | None = None,
    per_channel: bool | None = None,
    strict: bool = False,
    io: str = "float32",
    optimize_for: str | None = None,
    min_sqnr: float | None = None,
    max_drop: float | None = None,
    evaluate: Evaluate | None = None,
    progress: Asked = None,
    threads: int | None = None,
) -> QuantizedModel:
    """Quantize a float model by the ranges that its tensors take over `data`.

    model: the path, bytes or proto of an ONNX model.
    data: samples as the model takes them: an array (first axis: samples), a dict of arrays by input name, an
        iterable of samples or feeds, or a function that returns one. None for a recipe that needs none.
    recipe: a name, or `octavo.Recipe` with options. "int8" has uint8 activations and int8 weights, one scale
        an output channel; "int8-strict" has the same and nothing in float, or an error that lists what cannot
        be so; "int16x8" has int16 activations; "dynamic" has what "int8" has in its products alone, whose
        ranges it finds at run time, without data; "weight-only" stores weights in 8, 4, 3 or 2 bits and
        computes in float32, without data; "float16" stores weights in float16 and computes in float32,
        without data.
    exclude: names of nodes, or patterns, that stay float; one that matches no node is an error.
    overrides: `octavo.Override`s, or mappings of what these have by name: what some nodes or tensors become
        in place of what the recipe says; the last one holds.
    effort: "default" makes weights and biases for the samples and chooses among range rules by held-back
        samples; "best" chooses among more, on more samples, and goes on to weights that make up for the
        errors of the layers before them, and to ranges of their own for some tensors, each where the answers
        gain by it; "fast" takes the first rule, and rounds to nearest.
    range_rule, per_channel: instead of the recipe's.
    strict: raise `ModelError` where an op stays float that was not meant to.
    io: what the model's float32 inputs and outputs become: "float32"; with "int8-strict" also "uint8" or
        "int8", whose scale and zero point `Session.get_inputs()` and `get_outputs()` tell.
    optimize_for: "latency" leaves in float what is slower in integers, conversions counted, on the machine
        that quantizes: what comes out depends on it then. None: the same artifact on every machine.
    min_sqnr: the least ratio of signal to error in dB that each float output is to have, on samples that
        nothing was made for: as few ops as that takes rise to int16, then to float, the costliest first.
    max_drop, evaluate: the same for a score of one's own, which `evaluate` gives for an `octavo.Session`, and
        which may be so much less than the float model's.
    progress: called after each sample with the number of samples so far; or True, to have the stages shown on
        standard error with their times.
    threads: for the calibration runs, as `octavo.Session` takes it.
    What is doubtful about the data is in `report.warnings`, and a warning of the logger "octavo", which goes
    to standard error unless the program has configured logging otherwise.
    Raises `ModelError` for the model, `DataError` for the data, `RunError` for `threads`, TypeError for an
    argument of another type.
    """
    chosen = recipe_of(recipe)
    options = Options(
        exclude,
        overrides,
        effort,
        range_rule,
        per_channel,
        strict,
        io,
        optimize_for,
        min_sqnr,
        max_drop,
        evaluate,
        threads,
    )
    work = options.work(chosen, model, data)
    work.watcher = watcher(progress)
    run(work)
    return QuantizedModel(work.lowered.program, work.report, sources=work.files)


def convert(
    calibrator: Calibrator,
    *,
    exclude: Iterable[str] = (),
    overrides: Iterable[Override | Mapping[str, Any]] = (),
    effort: str = "default",
    range_rule: str | None = None,
    per_channel: bool | None = None,
    strict: bool = False,
    io: str = "float32",
    optimize_for: str | None = None,
    min_sqnr: float | None = None,
    max_drop: float | None = None,
    evaluate: Evaluate | None = None,
    threads: int | None = None,
) -> QuantizedModel:
    """The quantized model of a calibrator's model and of the samples that it observed.

    The options are those of `quantize`, which gives the same model, byte for byte, for the same samples. The
    calibrator stays as it is. Raises as `quantize` does; `DataError` where nothing was observed.
    """
    if not isinstance(calibrator, Calibrator):
        raise TypeError(f"calibrator is of type {type(calibrator).__name__}: give what octavo.prepare gave")
    if not calibrator.samples:
        raise DataError("the calibrator has observed nothing: give it data, better 100 samples that differ")
    options = Options(
        exclude,
        overrides,
        effort,
        range_rule,
        per_channel,
        strict,
        io,
        optimize_for,
        min_sqnr,
        max_drop,
        evaluate,
        threads,
    )
    work = options.work(calibrator.recipe)
    work.floats = calibrator.with_shapes(threads)
    settle_overrides(work, calibrator.names)
    work.calibration, work.files = calibrator.calibration.keeping(work.keeps), calibrator.files
    work.ran = list(PREPARED)
    run(work)
    return QuantizedModel(work.lowered.program, work.report, sources=work.files)


__all__ = ["Calibrator", "QuantizedModel", "convert", "observable", "prepare", "quantize"]
