"""How random Programs grow by nodes that run sub-programs, in which they grow as well."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
from growth import ANY, Growth
from octavo.program import Body
from octavo.program.bodies import BODIES

Recipes = Mapping[str, Callable[[Growth, str], bool]]
__all__ = ["BODIES", "control"]

Takes = Sequence[tuple[str, Any]]
"""The dtypes and the arrays of what a body is given."""

__all__ = ["BODIES", "control"]


def control(recipes: Recipes) -> Callable[[Growth, str], bool]:
    """What adds an If or a Loop, in whose bodies nodes grow by these recipes, and says whether it did."""
    return lambda g, op: (_if if op == "If" else _loop)(recipes, g, op)


def _grown(recipes: Recipes, g: Growth, prefix: str, takes: Takes = ()) -> tuple[Growth, list[str]]:
    """A body of a few nodes that is given these arrays, and what it calls them."""
    inner = g.body(prefix)
    given = [inner.takes(dtype, array) for dtype, array in takes]
    wanted, ops = len(inner.nodes) + g.draw.number(1, 4), list(recipes)
    if len(inner.prefix) > 24:  # bodies in bodies in bodies
        ops = [op for op in ops if op not in BODIES]
    for _ in range(40):
        if len(inner.nodes) >= wanted:
            break
        op = g.draw.one(ops)
        recipes[op](inner, op)
    return inner, given


def _if(recipes: Recipes, g: Growth, op: str) -> bool:
    condition = g.pick(("bool",), (0,)) or g.constant(np.array(g.draw.chance(0.5)))
    grown = {key: _grown(recipes, g, f"{len(g.nodes)}{key[0]}.")[0] for key in BODIES[op]}
    first, second = grown.values()
    given = [[name for name in (first.pick(ANY),) if name] for _ in range(g.draw.number(1, 2))]
    outputs = [name for names in given for name in names]
    others = [second.pick((first.values[name].dtype,)) for name in outputs]
    pairs = [(one, other) for one, other in zip(outputs, others, strict=True) if other]
    if not pairs:
        return False
    sides = zip(grown.items(), zip(*pairs, strict=True), strict=True)
    bodies = {key: (inner, Body((), tuple(names), tuple(inner.nodes))) for (key, inner), names in sides}
    return g.control(op, [condition], bodies, len(pairs))


def _loop(recipes: Recipes, g: Growth, op: str) -> bool:
    draw = g.draw
    states = [name for name in (g.pick(ANY) for _ in range(draw.number(0, 2))) if name]
    counted = [("i64", np.array(0)), ("bool", np.array(True))]
    takes = [*counted, *((g.values[name].dtype, g.arrays[name]) for name in states)]
    inner, given = _grown(recipes, g, f"{len(g.nodes)}b.", takes)
    after = [inner.pick((g.values[name].dtype,)) or own for name, own in zip(states, given[2:], strict=True)]
    rows = [name for name in (inner.pick(ANY) for _ in range(draw.number(0, 2))) if name]
    if not (after or rows):
        return False
    goes_on = given[1]
    if draw.chance(0.4):
        inner.node("Less", [given[0], inner.i64(draw.number(0, 3))])
        goes_on = inner.nodes[-1].outputs[0]
    body = Body(tuple(given), (goes_on, *after, *rows), tuple(inner.nodes))
    trips = "" if goes_on != given[1] and draw.chance(0.5) else g.i64(draw.number(0, 5))
    condition = "" if draw.chance(0.7) else g.constant(np.array(draw.chance(0.9)))
    return g.control(op, [trips, condition, *states], {"body": (inner, body)}, len(after) + len(rows))
