"""How many multiplications and additions the products of a float Program do for one sample."""

from math import prod

from octavo.program import Node, Program
from octavo.program.attributes import integer
from octavo.program.transposed import transposed_axes
from octavo.quantization.shapes import Sizes


def stated_sizes(program: Program) -> Sizes:
    """The shapes that the Program states, free axes taken as 1."""
    return {
        name: [size if isinstance(size, int) else 1 for size in value.shape]
        for name, value in program.values.items()
        if value.shape is not None
    }


def macs(node: Node, sizes: Sizes) -> int:
    """Those of a product, what it multiplies by padding included; 0 of other ops and of unknown shapes."""
    if len(node.inputs) < 2 or any(name not in sizes for name in (*node.inputs[:2], node.outputs[0])):
        return 0
    x, weight, output = (sizes[name] for name in (*node.inputs[:2], node.outputs[0]))
    if node.op == "Conv":
        return prod(output) * prod(weight[1:])
    if node.op == "ConvTranspose":
        return x[0] * prod(weight[:2]) * _taps_of_outputs(node, x[2:], weight[2:])
    if node.op == "MatMul":
        return prod(output) * weight[max(0, len(weight) - 2)]
    if node.op == "Gemm":
        return prod(output) * weight[1 if integer(node, "transB") else 0]
    return 0


def _taps_of_outputs(node: Node, x: list[int], kernel: list[int]) -> int:
    """How many taps lie a whole number of a ConvTranspose's strides from an output, over all outputs."""
    count = 1
    for axis in transposed_axes(node, tuple(x), tuple(kernel)):
        count *= sum(len(range(axis.first(tap), axis.length, axis.stride)) for tap in range(axis.kernel))
    return count
