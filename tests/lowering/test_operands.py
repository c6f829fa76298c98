"""What no plan can be made for is refused when the model is read, by the node's name and its op."""

import numpy as np
import octavo
import pytest

REFUSED = [
    ("y = Conv<kernel_shape=[1,1]>(x, x)", {}, "Conv where w .'x'. is computed"),
    ("s = ReduceSum<keepdims=0>(x, a) y = Conv(x, v, s)", {"a": [0, 2, 3]}, "Conv where b .'s'. is computed"),
    ("i = Cast<to=7>(x) f = Reshape(i, a) y = Reshape(x, f)", {"a": [-1]}, "Reshape where shape .'f'. is"),
    ("m = ReduceMax<keepdims=0>(x) y = Clip(x, m)", {}, "Clip where min .'m'. is computed"),
    ("i = Cast<to=7>(x) d = Div(i, i) y = Cast<to=1>(d)", {}, "Div where b .'i'. is computed"),
    ("y = Conv(z, u)", {"u": np.ones((2, 2, 1, 1, 1), "f4")}, "Conv over 3 axes"),
    ("y = MaxPool<kernel_shape=[1,2,2]>(z)", {}, "MaxPool over 3 axes"),
]


@pytest.mark.parametrize(("nodes", "constants", "what"), REFUSED)
def test_refused(floats, nodes, constants, what):
    text = f"g (float[1,4,2,2] x, float[1,2,2,2,2] z) => (float y) {{ {nodes} }}"
    with pytest.raises(octavo.ModelError, match=f"node '.*': octavo cannot run {what}"):
        floats(text, v=np.ones((4, 4, 1, 1), "f4"), **constants)


def test_what_follows_from_shapes_runs(floats):
    """Casts, slices and integer arithmetic on the way from a shape to a size."""
    text = """g (float[N,4,2,2] x) => (float y) { s = Shape(x) i = Cast<to=6>(s) h = Mul(i, two)
        w = Cast<to=7>(h) t = Slice(w, one, four) r = Concat<axis=0>(minus, t) e = Max(r, minus)
        p = Concat<axis=0>(x, x) y = Reshape(p, e) }"""
    constants = {"one": [1], "four": [4], "minus": [-1]}
    program = floats(text, two=np.int32([2]), **constants)
    x = np.arange(128, dtype=np.float32).reshape(8, 4, 2, 2)
    (y,) = octavo.Session(program).run(None, {"x": x})
    assert y.shape == (2 * 8 * 16 // 128, 8, 4, 4)
    assert np.array_equal(y, octavo.reference.run(program, {"x": x})[0])
