"""What the runtime cannot plan, told when a model is read: pools over more than two axes."""

from octavo.errors import ModelError
from octavo.program import Node, Program


def check_windows(program: Program) -> None:
    """Raise `ModelError` for a pool over more axes than two."""
    for node in program.nodes:
        axes = _axes(program, node)
        if axes is not None and axes not in (1, 2):
            raise ModelError(
                f"node {node.name!r}: octavo cannot run {node.op} over {axes} axes, only over 1 or 2"
            )


def _axes(program: Program, node: Node) -> int | None:
    if node.op in ("MaxPool", "AveragePool"):
        kernel = node.attributes["kernel_shape"]
        return len(kernel) if isinstance(kernel, list) else 0
    return None
