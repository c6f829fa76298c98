"""Calibration step by step: prepare a model, observe data, merge what several machines saw, convert."""

import json
import os
from collections.abc import Callable
from dataclasses import asdict
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from octavo import frontend
from octavo.calibration import RULES, Calibration, Data, Kept, Progress, Statistics, mapped_files, samples
from octavo.errors import ArtifactError, DataError
from octavo.program import DTYPES, Program, artifact, saving
from octavo.quantization.channels import CHANNEL_NEEDS
from octavo.quantization.features import FEATURE_NEEDS
from octavo.quantization.inputs import DOUBT_NEEDS
from octavo.quantization.loading import floats_of, observable
from octavo.quantization.recipes import Recipe
from octavo.quantization.recipes import recipe as recipe_of
from octavo.quantization.report import REPORT_NEEDS
from octavo.quantization.scopes import Names
from octavo.quantization.shapes import unknown, with_measured_shapes
from octavo.session import Session

NEEDS = (
    *DOUBT_NEEDS,
    *REPORT_NEEDS,
    *CHANNEL_NEEDS,
    *FEATURE_NEEDS,
    *(need for rule in RULES.values() for need in rule.needs),
)
"""The statistics of a calibrator: whatever rule and effort it is converted with."""

_VERSION = 2


class Calibrator:
    """A model in float and what was seen of its values so far.

    Its state is a function of the model, the recipe and the multiset of samples: in whatever order these were
    observed, and however they were split between calibrators that were merged, `convert` gives the same
    bytes. It can be pickled, to be sent to other processes and back.
    floats: the model. names: what its own names for nodes stand for. files: those that it was made from.
    """

    def __init__(
        self,
        floats: Program,
        names: Names,
        recipe: Recipe,
        files: tuple[str, ...] = (),
        threads: int | None = None,
    ) -> None:
        self.floats = floats
        self.names = names
        self.recipe = recipe
        self.files = files
        self.calibration = Calibration.of(observable(floats), NEEDS)
        self._threads = threads
        self._session: Session | None = None

    def __repr__(self) -> str:
        return f"Calibrator({self.recipe}, {self.samples} samples)"

    @property
    def samples(self) -> int:
        """How many samples were observed."""
        return self.calibration.samples

    def observe(self, data: Data, progress: Progress | None = None) -> "Calibrator":
        """Run the model over more samples, and return the calibrator itself.

        data, progress: as `octavo.quantize` takes them. Raises `DataError` where data do not fit the model.
        """
        if self._session is None:
            self._session = Session(self.floats, threads=1)
        feeds = samples(data, self._session.get_inputs(), partial(self._session.run, None))
        self.files = tuple(dict.fromkeys((*self.files, *mapped_files(data))))
        self.calibration.observe(self._session, feeds, progress, self._threads)
        return self

    def merge(self, other: "Calibrator") -> "Calibrator":
        """Take in what another calibrator of the same model and recipe saw, and return the calibrator itself.

        Raises `DataError` where it is of another model or recipe; nothing has changed then.
        """
        if not isinstance(other, Calibrator):
            raise TypeError(f"a calibrator cannot be merged with an object of type {type(other).__name__}")
        if other.recipe != self.recipe:
            raise DataError(f"calibrators of two recipes: {str(self.recipe)!r} and {str(other.recipe)!r}")
        if artifact.to_bytes(other.floats) != artifact.to_bytes(self.floats):
            raise DataError("the calibrators are of two models: prepare both from the same file")
        self.calibration.merge(other.calibration)
        self.files = tuple(dict.fromkeys((*self.files, *other.files)))
        return self

    def with_shapes(self, threads: int | None) -> Program:
        """The model with the shapes that inference did not find, from a run of the first sample kept."""
        if unknown(self.floats) and self.calibration.kept.feeds:
            return with_measured_shapes(self.floats, self.calibration.kept.feeds[0], threads)
        return self.floats

    def save(self, path: str | os.PathLike[str]) -> None:
        """Write the model and all that was seen to one file, whole or not at all.

        Raises `ArtifactError` where the file is one that the model was made from, OSError where it cannot be
        written.
        """
        data = self._to_bytes()
        saving.check(path, self.files)
        saving.write(path, data)

    def _to_bytes(self) -> bytes:
        from safetensors.numpy import save as serialize

        document = {
            "version": _VERSION,
            "recipe": asdict(self.recipe),
            "samples": self.samples,
            "names": {name: list(nodes) for name, nodes in sorted(self.names.items())},
        }
        tensors = {
            "document": _bytes(json.dumps(document).encode()),
            "program": _bytes(artifact.to_bytes(self.floats)),
        }
        for index, half in enumerate(self.calibration.halves):
            tensors[f"half {index}"] = _bytes(half.to_bytes())
        for index, feeds in enumerate(self.calibration.kept.feeds):
            for name, array in feeds.items():
                tensors[f"sample {index:04} {name}"] = np.ascontiguousarray(array)
        return serialize(tensors)

    def __reduce__(self) -> "tuple[Callable[..., Calibrator], tuple[bytes, tuple[str, ...], int | None]]":
        return _from_bytes, (self._to_bytes(), self.files, self._threads)

    @staticmethod
    def load(path: str | os.PathLike[str], threads: int | None = None) -> "Calibrator":
        """The calibrator that `save` wrote.

        Raises `DataError` where the file holds none, OSError where it cannot be read.
        """
        from safetensors import SafetensorError

        data = Path(path).read_bytes()
        try:
            return _from_bytes(data, (os.fspath(path),), threads)
        except (SafetensorError, ArtifactError, DataError, KeyError, ValueError, TypeError) as error:
            raise DataError(
                f"{os.fspath(path)} is no calibration that this octavo can read: {error}"
            ) from error


def prepare(
    model: frontend.Source, recipe: str | Recipe = "int8", *, threads: int | None = None
) -> Calibrator:
    """Make a float model ready to be calibrated: `observe` data, `merge`, `save`, and `convert` it.

    model, recipe, threads: as `octavo.quantize` takes them. Raises `ModelError` for the model or the recipe.
    """
    chosen = recipe_of(recipe)
    floats, names, files = floats_of(model, chosen.kind.integers_only)
    return Calibrator(floats, names, chosen, files, threads)


def _bytes(data: bytes) -> npt.NDArray[np.uint8]:
    return np.frombuffer(data, np.uint8)


def _from_bytes(data: bytes, files: tuple[str, ...], threads: int | None) -> Calibrator:
    from safetensors.numpy import load

    return _read(load(data), files, threads)


def _read(tensors: dict[str, npt.NDArray[Any]], files: tuple[str, ...], threads: int | None) -> Calibrator:
    document = json.loads(tensors["document"].tobytes())
    if document["version"] != _VERSION:
        raise DataError(f"it is of version {document['version']}, and this octavo reads version {_VERSION}")
    floats = artifact.from_bytes(tensors["program"].tobytes())
    names = {str(name): tuple(map(str, nodes)) for name, nodes in document["names"].items()}
    made = Calibrator(floats, names, Recipe(**document["recipe"]), files, threads)
    halves = [Statistics.from_bytes(tensors[f"half {index}"].tobytes()) for index in (0, 1)]
    kept: dict[str, dict[str, npt.NDArray[Any]]] = {}
    for name, array in sorted(tensors.items()):
        if name.startswith("sample "):
            kept.setdefault(name[7:11], {})[name[12:]] = array
    for feeds in kept.values():
        dtypes = {name: DTYPES[floats.values[name].dtype] for name in floats.inputs}
        if {name: array.dtype for name, array in feeds.items()} != dtypes:
            raise DataError("a sample that it keeps is none of the model's")
    # What is of other values or statistics is refused by the merge.
    made.calibration.merge(
        Calibration((halves[0], halves[1]), _kept(list(kept.values()), document["samples"]))
    )
    return made


def _kept(feeds: list[dict[str, npt.NDArray[Any]]], seen: int) -> Kept:
    kept = Kept()
    for _ in kept.watch(feeds):
        pass
    if type(seen) is not int or seen < kept.seen:
        raise DataError(f"it is of {seen} samples, and {kept.seen} are kept")
    kept.seen = seen
    return kept
