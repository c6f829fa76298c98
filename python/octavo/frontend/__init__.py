"""ONNX file, bytes or proto -> onnx-ir graph, checked, in one opset, with shapes."""

import onnx
import onnx_ir as ir
import onnx_ir.passes.common as common

from octavo.errors import ModelError
from octavo.frontend.bodies import expand_operators
from octavo.frontend.check import check, check_rules
from octavo.frontend.inference import infer_shapes
from octavo.frontend.opset import NEWEST_OPSET, convert, restate
from octavo.frontend.quiet import quiet
from octavo.frontend.source import Source, one_line, read
from octavo.program import OPSET

__all__ = ["Source", "infer_shapes", "load", "one_line", "quiet"]


def load(source: Source) -> ir.Model:
    """Loads a model from a path, its bytes, an `onnx.ModelProto` or an `onnx_ir.Model`, which stays as it is.

    The result is in ONNX opset `octavo.program.OPSET`, without functions, with inferred shapes and dtypes.
    Initializers that are also inputs, as old files have them, are no inputs. External data is mapped when
    first used.

    Raises:
        ModelError: not a model, damaged, breaking ONNX's rules, too new, or with an unknown operator; the
            message names the node, tensor or file, and what can be done.
    """
    try:
        with quiet():
            return _load(source)
    except ModelError:
        raise
    except Exception as error:  # a damaged file makes the libraries fail in ways of their own
        raise ModelError(f"the model is damaged or invalid: {one_line(error)}") from error


def _load(source: Source) -> ir.Model:
    model = read(source)
    check(model, max(OPSET, min(NEWEST_OPSET, onnx.defs.onnx_opset_version())))
    common.RemoveInitializersFromInputsPass()(model)
    model.ir_version = max(model.ir_version, 4)  # up to 3, initializers had to be inputs as well
    common.RemoveUnusedOpsetsPass()(model)
    # so that weights are in one place, from which `skeleton` leaves them out
    common.LiftConstantsToInitializersPass(size_limit=0)(model)
    common.LiftSubgraphInitializersToMainGraphPass()(model)
    check_rules(model)
    expand_operators(model)
    if model.graph.opset_imports[""] != OPSET:
        infer_shapes(model)
        (convert if model.graph.opset_imports[""] < OPSET else restate)(model, OPSET)
        expand_operators(model)
    infer_shapes(model)
    return model
