"""Axes of free sizes, each of another size in the run, so that none is taken for another."""

import itertools
import math

import numpy as np
import pytest
from octavo.passes.duplicates import remove_unused
from octavo.passes.reshapes import merge_reshapes
from octavo.passes.shapes import fix_shapes
from octavo.passes.transposes import cancel_transposes

SIZES = {"N": 5, "T": 7}
SHAPES = ["N,1,3", "1,N,3", "1,N,T", "N,T,1", "T,2,N", "1,N,1"]


def sample(declared):
    sizes = [SIZES.get(axis) or int(axis) for axis in declared.split(",")]
    return np.arange(math.prod(sizes), dtype=np.float32).reshape(sizes)


def in_numpy(x, op, value):
    """The step as numpy takes it; ValueError where it does not fit."""
    if op == "Squeeze":
        return np.squeeze(x, tuple(value))
    if op == "Unsqueeze":
        return np.expand_dims(x, tuple(value))
    if op == "Flatten" and value <= x.ndim:
        return x.reshape(math.prod(x.shape[:value]), -1)
    if op == "Flatten" or any(n == 0 for n in value[x.ndim :]):
        raise ValueError("no such axis")
    return x.reshape([n or x.shape[place] for place, n in enumerate(value)])


def answer(graphs, run, declared, body, **constants):
    """What the graph gives after the pass, and the operators that are left."""
    model = graphs.build(f"float[{declared}] x", body, **constants)
    run(model)
    remove_unused(model)
    (got,) = graphs.answers(model, {"x": sample(declared)})
    return got, graphs.ops(model)


STEPS = {
    "Squeeze": [[0], [1], [-1], [0, -1]],
    "Unsqueeze": [[0], [1], [-1], [0, 2]],
    "Reshape": [[0, -1], [-1, 3], [0, 0, -1], [1, -1], [-1, 1, 3], [2, -1], [-1, 0]],
    "Flatten": [0, 1, 2],
}


@pytest.mark.parametrize("declared", SHAPES)
@pytest.mark.parametrize(("run", "count"), [(merge_reshapes, 2), (fix_shapes, 1)])
def test_steps_of_shape(graphs, declared, run, count):
    """Every one or two that fit: an axis that is copied by its place must stand there in what is read."""
    merged = 0
    steps = [(op, value) for op, values in STEPS.items() for value in values]
    for pair in itertools.product(steps, repeat=count):
        want, nodes, constants = sample(declared), [], {}
        try:
            for (op, value), source, made in zip(pair, "xa", "ay"[2 - count :], strict=False):
                want = in_numpy(want, op, value)
                if op == "Flatten":
                    nodes.append(f"{made} = Flatten<axis={value}>({source})")
                else:
                    nodes.append(f"{made} = {op}({source}, c_{made})")
                    constants[f"c_{made}"] = np.array(value)
        except ValueError:
            continue
        got, left = answer(graphs, run, declared, " ".join(nodes), **constants)
        assert got.shape == want.shape, pair
        assert np.array_equal(got, want), pair
        merged += left == {"Reshape": 1}
    assert count == 1 or merged > 15


@pytest.mark.parametrize("declared", SHAPES)
def test_a_reshape_behind_a_transpose(graphs, declared):
    """Every order of the axes, and every target that copies, infers or states its axes."""
    changed, x = 0, sample(declared)
    for perm in itertools.permutations(range(3)):
        for target in itertools.product((0, -1, 1, 3), repeat=2):
            try:
                want = in_numpy(x.transpose(perm), "Reshape", target)
            except ValueError:
                continue
            body = f"a = Transpose<perm={list(perm)}>(x) y = Reshape(a, c)"
            got, left = answer(graphs, cancel_transposes, declared, body, c=np.array(target))
            assert got.shape == want.shape, (perm, target)
            assert np.array_equal(got, want), (perm, target)
            changed += left == {"Reshape": 1} and list(perm) != [0, 1, 2]
    assert (changed > 0) == ("1" in declared)
