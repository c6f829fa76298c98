"""octavo turns a float ONNX model into an int8 model and runs it on CPUs: the same bits on every machine.

The public names are imported when first used, so that `import octavo` is quick and needs the standard library
alone.
"""

import importlib
from typing import TYPE_CHECKING

from octavo.errors import ArtifactError, DataError, Error, ModelError, RunError, needed_for

if TYPE_CHECKING:
    from octavo import reference
    from octavo.quantization import (
        Calibrator,
        Model,
        Override,
        QuantizedModel,
        Recipe,
        convert,
        load,
        prepare,
        quantize,
    )
    from octavo.report import Comparison, compare
    from octavo.session import Session, tiers

    __version__: str

__all__ = [
    "ArtifactError",
    "Calibrator",
    "Comparison",
    "DataError",
    "Error",
    "Model",
    "ModelError",
    "Override",
    "QuantizedModel",
    "Recipe",
    "RunError",
    "Session",
    "__version__",
    "compare",
    "convert",
    "load",
    "prepare",
    "quantize",
    "reference",
    "tiers",
]

_HOMES = {
    "Calibrator": "octavo.quantization",
    "Comparison": "octavo.report",
    "Model": "octavo.quantization",
    "Override": "octavo.quantization",
    "QuantizedModel": "octavo.quantization",
    "Recipe": "octavo.quantization",
    "Session": "octavo.session",
    "compare": "octavo.report",
    "convert": "octavo.quantization",
    "load": "octavo.quantization",
    "prepare": "octavo.quantization",
    "quantize": "octavo.quantization",
    "tiers": "octavo.session",
}


if not TYPE_CHECKING:  # to a type checker a name that is not above is an error

    def __getattr__(name: str) -> object:
        if name in _HOMES:
            with needed_for(f"octavo.{name}"):
                value = getattr(importlib.import_module(_HOMES[name]), name)
        elif name == "reference":
            value = importlib.import_module("octavo.reference")
        elif name == "__version__":
            value = _version()
        else:
            raise AttributeError(f"module 'octavo' has no attribute {name!r}")
        globals()[name] = value
        return value


def __dir__() -> list[str]:
    return sorted(set(globals()) | set(__all__))


def _version() -> str:
    from importlib.metadata import PackageNotFoundError, version

    try:
        return version("octavo")
    except PackageNotFoundError:  # a source tree on the path, not an installed package
        return "0+source"
