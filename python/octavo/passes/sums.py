"""Sum and Mean of several tensors are Adds in a row."""

import numpy as np
import onnx_ir as ir

from octavo.passes.edit import FLOATS, add_constant, become, insert_before, nodes


def split_sums(model: ir.Model) -> bool:
    """Makes Adds of every Sum, from the first input to the last, and of every Mean, which is divided then."""
    changed = False
    for node in nodes(model, "Sum", "Mean"):
        dtype = node.outputs[0].dtype
        if len(node.inputs) < 2 or dtype not in FLOATS:
            continue
        total, mean = node.inputs[0], node.op_type == "Mean"
        terms = node.inputs[1:] if mean else node.inputs[1:-1]
        for index, term in enumerate(terms, start=1):
            total = insert_before(node, "Add", [total, term], f"sum{index}")
        if mean:
            count = add_constant(node, np.array(len(node.inputs), dtype.numpy()), "count")
            become(node, "Div", [total, count])
        else:
            become(node, "Add", [total, node.inputs[-1]])
        changed = True
    return changed
