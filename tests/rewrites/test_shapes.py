"""Shapes learnt after lowering."""

import numpy as np
from octavo import reference
from octavo.rewrites import shapes_of, with_shapes


def test_auto_pad_is_resolved_once_the_sizes_are_known(floats):
    text = """g (float[1,2,h,w] x) => (float y) { c = Conv<auto_pad="SAME_UPPER", strides=[2,2]>(x, k)
        p = MaxPool<kernel_shape=[2,3], auto_pad="SAME_LOWER", strides=[3,2]>(c) r = Relu(p)
        y = ConvTranspose<auto_pad="SAME_UPPER">(r, t) }"""
    program = floats(text, k=np.ones((3, 2, 3, 2), "f4"), t=np.ones((3, 1, 3, 3), "f4"))
    shapes = {"x": (1, 2, 6, 5), "c": (1, 3, 3, 3), "p": (1, 3, 1, 2)}
    conv, pool, relu, transposed = with_shapes(program, shapes).nodes
    assert conv.attributes["pads"] == [0, 0, 1, 1]
    assert pool.attributes["pads"] == [0, 1, 0, 1]
    assert "auto_pad" not in conv.attributes | pool.attributes
    assert all(list(node.attributes) == sorted(node.attributes) for node in (conv, pool))
    assert (relu.attributes, transposed.attributes["auto_pad"]) == ({}, "SAME_UPPER")
    assert with_shapes(program, shapes).values["c"].shape == (1, 3, 3, 3)
    assert program.nodes[0].attributes["auto_pad"] == "SAME_UPPER"


def test_the_shapes_of_values_and_nothing_else(floats, rng):
    program = floats("g (float[N,3] x, float[3] b) => (float y) { a = Add(x, b) y = Relu(a) }")
    asked = shapes_of(program, ["y", "a", "b"])
    assert asked.outputs == ["y.shape", "a.shape", "b.shape"]
    feeds = {"x": rng.random((5, 3)).astype("f4"), "b": np.ones(3, "f4")}
    assert [shape.tolist() for shape in reference.run(asked, feeds)] == [[5, 3], [5, 3], [3]]
