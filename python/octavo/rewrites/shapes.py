"""Shapes that are learnt after lowering: how to ask for them, and what a Program becomes by them."""

from collections.abc import Mapping
from dataclasses import replace

from octavo.lowering.padding import resolve_auto_pad
from octavo.program import Node, Program, Value


def shapes_of(program: Program, names: list[str]) -> Program:
    """The Program that gives the shapes of these values as int64 vectors, and nothing else."""
    asked = [f"{name}.shape" for name in names]
    return replace(
        program,
        outputs=asked,
        values=program.values | {name: Value(name, "i64", None) for name in asked},
        nodes=[
            *program.nodes,
            *(
                Node("Shape", output, (name,), (output,), {"start": 0})
                for name, output in zip(names, asked, strict=True)
            ),
        ],
    )


def with_shapes(program: Program, shapes: Mapping[str, tuple[int | str, ...]]) -> Program:
    """The float Program with these shapes of its values; `auto_pad` is resolved where they allow it."""
    values = program.values | {
        name: replace(program.values[name], shape=shape) for name, shape in shapes.items()
    }
    return replace(program, values=values, nodes=[_without_auto_pad(node, values) for node in program.nodes])


def _without_auto_pad(node: Node, values: dict[str, Value]) -> Node:
    if "auto_pad" not in node.attributes or node.op == "ConvTranspose":
        return node
    attributes = dict(node.attributes)
    kernel = (values[node.inputs[1]].shape or ())[2:] if node.op == "Conv" else attributes["kernel_shape"]
    resolve_auto_pad(attributes, kernel, values[node.inputs[0]].shape)  # type: ignore[arg-type]  # numbers
    return replace(node, attributes={key: attributes[key] for key in sorted(attributes)})
