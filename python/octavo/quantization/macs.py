"""How many multiplications and additions a node of a float Program does for one sample."""

from math import prod

from octavo.program import Node, Program


def macs(program: Program, node: Node) -> int:
    """Those of a Conv, Gemm or MatMul, free axes taken as 1; 0 for other ops and unknown shapes."""
    output = _sizes(program, node.outputs[0])
    weight = _sizes(program, node.inputs[1]) if len(node.inputs) > 1 else None
    if output is None or weight is None:
        return 0
    if node.op == "Conv":
        return prod(output) * prod(weight[1:])
    if node.op == "MatMul":
        return prod(output) * weight[max(0, len(weight) - 2)]
    if node.op == "Gemm":
        return prod(output) * weight[1 if node.attributes["transB"] else 0]
    return 0


def _sizes(program: Program, name: str) -> list[int] | None:
    shape = program.values[name].shape if name else None
    return None if shape is None else [size if isinstance(size, int) else 1 for size in shape]
