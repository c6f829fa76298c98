"""What the runtime cannot plan, told when a model is read.

A plan is made for the shapes of the inputs, so the operands that it needs must be constants or follow from
shapes; and windows have one or two axes.
"""

from octavo.errors import ModelError
from octavo.program import Node, Program
from octavo.program.ops import signatures

# By op, the inputs that a plan needs: constants, or what follows from the shapes of the model's inputs.
_NEEDED: dict[str, tuple[int, ...]] = {
    "BatchNormalization": (1, 2, 3, 4),
    "Clip": (1, 2),
    "ConstantOfShape": (0, 1),
    "Conv": (1, 2),
    "Expand": (1,),
    "Pad": (1, 2, 3),
    "Range": (0, 1, 2),
    "ReduceMax": (1,),
    "ReduceMean": (1,),
    "ReduceMin": (1,),
    "ReduceSum": (1,),
    "Reshape": (1,),
    "Resize": (1, 2, 3),
    "Slice": (1, 2, 3, 4),
    "Split": (1,),
    "Squeeze": (1,),
    "Tile": (1,),
    "Unsqueeze": (1,),
}
# Ops that a plan computes where all of their inputs are known; the arithmetic of integers alone.
_ARITHMETIC = ("Add", "Sub", "Mul", "Div", "Max", "Min")
_FOLLOWED = (
    "Cast",
    "Concat",
    "ConstantOfShape",
    "DepthToSpace",
    "Expand",
    "Flatten",
    "Gather",
    "Identity",
    "Pad",
    "Range",
    "Reshape",
    "Resize",
    "Slice",
    "SpaceToDepth",
    "Split",
    "Squeeze",
    "Tile",
    "Transpose",
    "Unsqueeze",
)


def check_operands(program: Program) -> None:
    """Raise `ModelError` for a node whose sizes, indices or weights depend on what the inputs hold.

    So it does for a window of more axes than two.
    """
    known = set(program.constants)
    for node in program.nodes:
        _check_window(program, node)
        for place in _needed(program, node):
            if place < len(node.inputs) and node.inputs[place] and node.inputs[place] not in known:
                slot = signatures()[node.op][0].inputs[place].name
                raise ModelError(
                    f"node {node.name!r}: octavo cannot run {node.op} where {slot} ({node.inputs[place]!r}) "
                    "is computed from the inputs' elements: it must be a constant, or follow from shapes"
                )
        if node.op == "Shape" or (_is_followed(program, node) and all(n in known for n in node.inputs if n)):
            known.update(node.outputs)


def _check_window(program: Program, node: Node) -> None:
    if node.op == "Conv":
        axes = len(program.values[node.inputs[1]].shape or ()) - 2
    elif node.op in ("MaxPool", "AveragePool"):
        kernel = node.attributes["kernel_shape"]
        axes = len(kernel) if isinstance(kernel, list) else 0
    else:
        return
    if axes not in (1, 2):
        raise ModelError(
            f"node {node.name!r}: octavo cannot run {node.op} over {axes} axes, only over 1 or 2"
        )


def _needed(program: Program, node: Node) -> tuple[int, ...]:
    is_quotient = node.op == "Div" and program.values[node.outputs[0]].dtype != "f32"
    return (1,) if is_quotient else _NEEDED.get(node.op, ())


def _is_followed(program: Program, node: Node) -> bool:
    is_arithmetic = node.op in _ARITHMETIC and program.values[node.outputs[0]].dtype in ("i32", "i64")
    return is_arithmetic or node.op in _FOLLOWED
