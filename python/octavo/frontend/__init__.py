"""ONNX file, bytes or proto -> onnx-ir graph, checked, in one opset, with shapes."""

import os
from collections.abc import Iterator
from contextlib import contextmanager

import onnx
import onnx_ir as ir
import onnx_ir.passes.common as common

from octavo.errors import ModelError
from octavo.frontend.bodies import expand_operators
from octavo.frontend.check import EXPORT_FOR_INFERENCE, called, check, check_rules, listed
from octavo.frontend.contrib import (
    add_functions,
    call_functions,
    is_contributed,
    without_functions,
    write_out_calls,
)
from octavo.frontend.dynamic import keep_products
from octavo.frontend.external import files_of
from octavo.frontend.facts import FileFacts, facts
from octavo.frontend.inference import claimed_shape, infer_shapes
from octavo.frontend.kept import KEPT, PRODUCT, WEIGHTS
from octavo.frontend.lifting import lift_dequantizations
from octavo.frontend.opset import NEWEST_OPSET, convert, restate
from octavo.frontend.quiet import quiet
from octavo.frontend.scans import SCANS_OF_BATCHES, expand_scans
from octavo.frontend.scopes import name_apart
from octavo.frontend.source import Source, one_line, read
from octavo.program import OPSET

__all__ = [
    "EXPORT_FOR_INFERENCE",
    "KEPT",
    "PRODUCT",
    "WEIGHTS",
    "FileFacts",
    "Source",
    "called",
    "claimed_shape",
    "facts",
    "files_of",
    "infer_shapes",
    "listed",
    "load",
    "name_apart",
    "one_line",
    "quiet",
    "source_files",
]


def load(source: Source) -> ir.Model:
    """Loads a model from a path, its bytes, an `onnx.ModelProto` or an `onnx_ir.Model`, which stays as it is.

    The result is in ONNX opset `octavo.program.OPSET`, without functions but those of `octavo.frontend.kept`,
    with inferred shapes and dtypes. Initializers that are also inputs, as old files have them, are no inputs.
    External data is mapped when first used.

    Raises:
        ModelError: not a model, damaged, breaking ONNX's rules, too new, or with an unknown operator; the
            message names the node, tensor or file, and what can be done.
    """
    with quiet(), _plain_errors():
        return _load(source)


def source_files(path: str | os.PathLike[str]) -> tuple[str, ...]:
    """The files that the model at a path is read from: itself and its external data, links followed.

    Raises:
        ModelError: as `load` does, where the file is no model; a pipe, which cannot be read again.
    """
    if os.path.exists(path) and not os.path.isfile(path):
        raise ModelError(f"'{os.fspath(path)}' is no regular file: save the model as a file first")
    with quiet(), _plain_errors():
        return files_of(read(path))


@contextmanager
def _plain_errors() -> Iterator[None]:
    try:
        yield
    except ModelError:
        raise
    except Exception as error:  # a damaged file makes the libraries fail in ways of their own
        raise ModelError(f"the model is damaged or invalid: {one_line(error)}") from error


def _load(source: Source) -> ir.Model:
    model = read(source)
    check(model, max(OPSET, min(NEWEST_OPSET, onnx.defs.onnx_opset_version())), is_contributed)
    common.RemoveInitializersFromInputsPass()(model)
    model.ir_version = max(model.ir_version, 4)  # up to 3, initializers had to be inputs as well
    # so that weights are in one place, from which `skeleton` leaves them out
    common.LiftConstantsToInitializersPass(size_limit=0)(model)
    common.LiftSubgraphInitializersToMainGraphPass()(model)
    calls = call_functions(model)
    common.RemoveUnusedOpsetsPass()(model)
    check_rules(model)
    add_functions(model, calls)
    keep_products(model)
    expand_operators(model)
    if model.graph.opset_imports[""] <= SCANS_OF_BATCHES:
        expand_scans(model)
    if model.graph.opset_imports[""] != OPSET:
        infer_shapes(model)
        with without_functions(model):
            (convert if model.graph.opset_imports[""] < OPSET else restate)(model, OPSET)
    write_out_calls(model)
    infer_shapes(model)
    expand_scans(model)
    lift_dequantizations(model)
    keep_products(model)
    expand_operators(model)
    name_apart(model)
    infer_shapes(model)
    return model
