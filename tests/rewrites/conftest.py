"""Float Programs from ONNX's textual form."""

import numpy as np
import onnx
import onnx.parser
import pytest
from octavo import frontend
from octavo.lowering import lower


@pytest.fixture
def floats():
    """The float Program of `agraph {nodes}`; constants become initializers."""

    def make(text, **constants):
        proto = onnx.parser.parse_model(f'<ir_version: 10, opset_import: ["" : 25]> {text}')
        for name, array in constants.items():
            proto.graph.initializer.append(onnx.numpy_helper.from_array(np.asarray(array), name))
        for index, node in enumerate(proto.graph.node):
            node.name = node.name or f"{node.op_type.lower()}{index}"
        return lower(frontend.load(proto)).program

    return make


@pytest.fixture
def rng():
    return np.random.default_rng(14)
