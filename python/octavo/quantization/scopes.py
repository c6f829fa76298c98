"""Which nodes a person means by a name or a pattern."""

from collections.abc import Iterable, Mapping
from fnmatch import fnmatchcase

from octavo.errors import ModelError, close_to
from octavo.program import Program

Names = Mapping[str, tuple[str, ...]]
"""By names that a model's file has for nodes and their outputs, the nodes that these became part of."""


def excluded_nodes(program: Program, patterns: Iterable[str], names: Names) -> frozenset[str]:
    """The names of the nodes that any of the patterns (`*`, `?`, `[...]`) or names matches.

    names: those of the model's file; what such a node became part of is meant as well. Raises `ModelError`
    for one that matches none: a misspelt exclusion must not pass for an obeyed one.
    """
    if isinstance(patterns, str):
        patterns = [patterns]
    if not isinstance(patterns, Iterable):
        raise TypeError(f"exclude is of type {type(patterns).__name__}: give a list of names or patterns")
    nodes = dict(names) | {node.name: (node.name,) for node in program.nodes}
    found: set[str] = set()
    for pattern in patterns:
        if not isinstance(pattern, str):
            raise TypeError(
                f"exclude holds an object of type {type(pattern).__name__}: give names or patterns"
            )
        found |= matched(nodes, pattern, "exclude")
    return frozenset(found)


def matched(named: Names, pattern: str, asker: str, what: str = "node") -> frozenset[str]:
    """All that the names which match a name or a pattern stand for.

    Raises `ModelError`, in the name of who asks, where none does. what: is named.
    """
    is_pattern = any(mark in pattern for mark in "*?[")
    names = [name for name in named if name == pattern or (is_pattern and fnmatchcase(name, pattern))]
    if not names:
        raise ModelError(f"{asker}: no {what} of the model is called {pattern!r}{close_to(pattern, named)}")
    return frozenset().union(*(named[name] for name in names))
