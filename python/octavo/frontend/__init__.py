"""ONNX file, bytes or proto -> onnx-ir graph, checked, in one opset, with shapes."""

import onnx_ir as ir
import onnx_ir.passes.common as common

from octavo.frontend.check import check
from octavo.frontend.inference import infer_shapes
from octavo.frontend.opset import convert
from octavo.frontend.quiet import quiet
from octavo.frontend.source import Source, read
from octavo.program import OPSET

__all__ = ["Source", "infer_shapes", "load", "quiet"]


def load(source: Source) -> ir.Model:
    """Loads a model from a path, its bytes, an `onnx.ModelProto` or an `onnx_ir.Model`, which stays as it is.

    The result is in ONNX opset `octavo.program.OPSET`, without functions, with inferred shapes and dtypes.
    Initializers that are also inputs, as old files have them, are no inputs. External data is mapped when
    first used.

    Raises:
        ModelError: not a model, damaged, breaking ONNX's rules, too new, or with an unknown operator; the
            message names the node, tensor or file, and what can be done.
    """
    with quiet():
        model = read(source)
        check(model, OPSET)
        common.RemoveInitializersFromInputsPass()(model)
        common.RemoveUnusedOpsetsPass()(model)
        if model.graph.opset_imports[""] != OPSET:
            infer_shapes(model)
            convert(model, OPSET)
        infer_shapes(model)
    return model
