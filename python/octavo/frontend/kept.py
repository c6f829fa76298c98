"""Functions whose calls no pass looks into, and that lowering has nodes of its own for.

Shapes are inferred through their bodies.
"""

import onnx
import onnx.parser
import onnx_ir as ir

from octavo.program import OPSET

KEPT = "octavo.kept"
"""Their domain."""

PRODUCT = "Product"
"""y[.., n] = s * scale[n] * sum_k (q[.., k] - z) (w[k, n] - zero[n]) + bias[n], q, s, z of x by (3a).

x of two axes or more; constants: w int8 [K, N], scale float32 [N], zero int8 [N], bias float32 [N].
"""

WEIGHTS = "Weights"
"""y[k, n] = (w[k, n] - zero[k / block, n]) * scale[k / block, n], of constants: w and zero in uint8 or fewer
bits, scale float32. Attribute: block."""

_BODIES = {
    PRODUCT: """ (x, w, scale, zero, bias) => (y) {
        q, s, z = DynamicQuantizeLinear (x)
        sums = MatMulInteger (q, w, z, zero)
        reals = Cast <to = 1> (sums)
        scales = Mul (s, scale)
        product = Mul (reals, scales)
        y = Add (product, bias)
    }""",
    WEIGHTS: """ <block> (w, scale, zero) => (y) {
        y = DequantizeLinear <axis = 0, block_size: int = @block> (w, scale, zero)
    }""",
}


def have_function(model: ir.Model, name: str) -> None:
    """Gives a model that calls one of these functions the function itself, in place."""
    text = f'<domain: "{KEPT}", opset_import: ["": {OPSET}]> {name}{_BODIES[name]}'
    function = ir.serde.deserialize_function(onnx.parser.parse_function(text))
    model.functions[function.identifier()] = function
    model.graph.opset_imports[KEPT] = 1
