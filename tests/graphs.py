"""Float Programs from ONNX's textual form, for the tests of several rooms."""

import numpy as np
import onnx
import onnx.parser
from octavo import frontend
from octavo.lowering import lower


def graph(text, **constants):
    """The float Program of `agraph {nodes}` in ONNX's textual form; constants become initializers."""
    proto = onnx.parser.parse_model(f'<ir_version: 10, opset_import: ["" : 25]> {text}')
    for name, array in constants.items():
        proto.graph.initializer.append(onnx.numpy_helper.from_array(np.asarray(array), name))
    for index, node in enumerate(proto.graph.node):
        node.name = node.name or f"{node.op_type.lower()}{index}"
    return lower(frontend.load(proto)).program
