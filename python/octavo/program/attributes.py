"""Typed access to a node's attributes, of a Program that is known to be valid."""

import numpy as np

from octavo.program import Node


def integer(node: Node, name: str) -> int:
    """The integer attribute of that name."""
    value = node.attributes[name]
    assert isinstance(value, int), f"{node.op}.{name} is an integer"
    return value


def integers(node: Node, name: str) -> list[int]:
    """The list of integers of that name."""
    value = node.attributes[name]
    assert isinstance(value, list), f"{node.op}.{name} is a list"
    return [int(item) for item in value]


def number(node: Node, name: str) -> np.float32:
    """The float32 attribute of that name."""
    value = node.attributes[name]
    assert isinstance(value, np.float32), f"{node.op}.{name} is a float32"
    return np.float32(value)


def text(node: Node, name: str, default: str) -> str:
    """The string attribute of that name, or the default where the node has none."""
    value = node.attributes.get(name, default)
    assert isinstance(value, str), f"{node.op}.{name} is a string"
    return value
