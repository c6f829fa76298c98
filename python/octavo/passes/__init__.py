"""Graph -> graph: one pass a file, and the order in which they run."""

from collections.abc import Callable

import onnx_ir as ir
import onnx_ir.passes.common as common

from octavo.errors import ModelError
from octavo.frontend import infer_shapes, name_apart, one_line, quiet
from octavo.passes.activations import name_activations
from octavo.passes.affine import fold_affine
from octavo.passes.chains import merge_chains
from octavo.passes.clips import merge_clips
from octavo.passes.duplicates import merge_duplicates, remove_unused
from octavo.passes.edit import names_of, nodes
from octavo.passes.folding import Evaluate, fold_constants, should_fold
from octavo.passes.gemm import form_gemm
from octavo.passes.no_ops import remove_no_ops
from octavo.passes.norms import name_norms
from octavo.passes.padding import fold_padding
from octavo.passes.reshapes import merge_reshapes
from octavo.passes.shapes import fix_shapes
from octavo.passes.slices import merge_slices
from octavo.passes.softmax import restore_softmax
from octavo.passes.sums import split_sums
from octavo.passes.transposes import cancel_transposes

__all__ = ["PASSES", "Evaluate", "names_of", "should_fold", "simplify"]

PASSES: tuple[Callable[[ir.Model], bool], ...] = (
    fix_shapes,
    restore_softmax,
    remove_no_ops,
    split_sums,
    remove_unused,
    merge_duplicates,
    cancel_transposes,
    merge_reshapes,
    merge_slices,
    fold_padding,
    fold_affine,
    merge_chains,
    form_gemm,
    merge_clips,
    name_activations,
    name_norms,
    remove_unused,
)
"""In the order in which they run, behind `fold_constants`; each says whether it changed the graph."""

_MAX_ROUNDS = 12


def simplify(model: ir.Model, evaluate: Evaluate) -> ir.Model:
    """A simpler graph that computes the same, up to the rounding of merged constants; `model` stays as it is.

    model: from `octavo.frontend.load`. evaluate: computes nodes of constant inputs, as
    `octavo.lowering.evaluate` does. Names of inputs and outputs are kept; values have their shapes, where
    those can be inferred.

    Raises:
        ModelError: a graph that a pass cannot work on.
    """
    model = model.clone()
    for node in nodes(model):
        names_of(node)
    with quiet():
        for _ in range(_MAX_ROUNDS):
            changed = _guarded(fold_constants, model, evaluate)
            for run in PASSES:
                changed |= _guarded(run, model)
            common.NameFixPass()(model)
            name_apart(model)
            infer_shapes(model)
            if not changed:
                break
    return model


def _guarded(run: Callable[..., bool], *arguments: ir.Model | Evaluate) -> bool:
    """Runs a pass; what it trips over in a strange graph is an error of the model."""
    try:
        return run(*arguments)
    except ModelError:
        raise
    except Exception as error:
        raise ModelError(
            f"the graph cannot be simplified, so it is probably invalid ({run.__name__}: {one_line(error)})"
        ) from error
