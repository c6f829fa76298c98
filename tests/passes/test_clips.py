"""Clamps in one form."""

import math

import numpy as np
import pytest
from octavo.passes.clips import merge_clips
from octavo.passes.duplicates import remove_unused

F = np.float32
BIG = np.finfo(np.float32).max
X = "float[N,4] x"


def test_one_form_for_each_clamp(graphs):
    lo, hi, zero = F(-0.5), F(1.5), F(0)
    graphs.run(
        [merge_clips, remove_unused],
        [
            ("Clip without bounds", X, "a = Clip(x) y = Neg(a)", {}, "Neg"),
            ("Clip without a minimum", X, "y = Clip(x, , h)", {"h": hi}, "Clip"),
            ("Clip from 0", X, "y = Clip(x, z)", {"z": zero}, "Relu"),
            ("Clip from 0 to inf", X, "y = Clip(x, z, h)", {"z": zero, "h": F(math.inf)}, "Relu"),
            ("Clip from 0 to the largest", X, "y = Clip(x, z, h)", {"z": zero, "h": BIG}, "Relu"),
            ("Max", X, "y = Max(z, x)", {"z": zero}, "Relu"),
            ("Max of 1 element", X, "y = Max(x, l)", {"l": np.array([[0.5]], F)}, "Clip"),
            ("Min", X, "y = Min(x, h)", {"h": hi}, "Clip"),
            ("Relu then Min", X, "a = Relu(x) y = Min(a, h)", {"h": hi}, "Clip"),
            ("Min of Max", X, "a = Max(x, l) y = Min(h, a)", {"l": lo, "h": hi}, "Clip"),
            ("Relu Relu", X, "a = Relu(x) b = Relu(a) y = Relu(b)", {}, "Relu"),
            ("Clip then Relu", X, "a = Clip(x, l, h) y = Relu(a)", {"l": lo, "h": hi}, "Clip"),
            ("minimum over maximum", X, "y = Clip(x, h, l)", {"l": lo, "h": hi}, "Clip"),
            (
                "apart",
                X,
                "a = Clip(x, l, z) y = Clip(a, h, k)",
                {"l": lo, "z": zero, "h": hi, "k": F(2)},
                "Clip",
            ),
            ("Relu of what is below", X, "a = Clip(x, l, h) y = Relu(a)", {"l": F(-5), "h": F(-1)}, "Clip"),
        ],
    )


def test_left_alone(graphs):
    lo, hi = F(-0.5), F(1.5)
    graphs.run(
        [merge_clips, remove_unused],
        [
            (
                "read twice",
                X,
                "a = Relu(x) b = Clip(a, l, h) y = Add(a, b)",
                {"l": F(1), "h": hi},
                "Relu Clip Add",
            ),
            ("widens", X, "y = Max(x, l)", {"l": np.array([[[0.5]]], F)}, "Max"),
            ("a row", X, "y = Max(x, l)", {"l": np.arange(4).astype(F)}, "Max"),
            ("NaN", X, "y = Clip(x, l, h)", {"l": F(math.nan), "h": hi}, "Clip"),
            ("fed bounds", "float[N,4] x, float l", "y = Clip(x, l, h)", {"h": F(9)}, "Clip"),
            ("three", X, "y = Max(x, l, h)", {"l": lo, "h": hi}, "Max"),
        ],
    )


def test_nan_passes_through_merged_clips(graphs):
    before = graphs.build(X, "a = Relu(x) y = Min(a, h)", h=F(6))
    after = before.clone()
    assert merge_clips(after)
    x = np.array([[np.nan, -1, 3, 9]], F)
    for model in (before, after):
        np.testing.assert_array_equal(graphs.answers(model, {"x": x})[0], [[np.nan, 0, 3, 6]])


def test_integers_are_not_clamps_of_activations(graphs):
    before = graphs.build("int64[N,4] x", "y = Clip(x, l)", "int64 y", l=np.int64(0))
    assert not merge_clips(before.clone())


def test_a_second_run_changes_nothing(graphs):
    model = graphs.build(
        X, "a = Clip(x, l, h) b = Neg(a) c = Relu(b) d = Neg(c) y = Min(d, h)", l=F(-1), h=F(2)
    )
    assert merge_clips(model)
    assert not merge_clips(model)


BOUNDS = [(low, high) for low in (None, -1.0, 0.5, 2.0) for high in (None, -1.0, 0.5, 2.0)]
"""Every order of them, and a minimum above the maximum: then all is the maximum."""


@pytest.mark.parametrize("first", ["Relu", "Max", "Min", *BOUNDS], ids=str)
def test_rows_of_clamps_with_bounds_that_cross(graphs, first):
    numbers = {"minus": F(-1), "half": F(0.5), "two": F(2)}
    names = {None: "", -1.0: "minus", 0.5: "half", 2.0: "two"}
    alone = {"Relu": "a = Relu(x)", "Max": "a = Max(x, half)", "Min": "a = Min(minus, x)"}
    begin = alone.get(first) or f"a = Clip(x, {names[first[0]]}, {names[first[1]]})"
    feeds = {"x": np.array([[-3, -1, -0.5, 0], [0.25, 0.5, 1, 4]], F)}
    for low, high in BOUNDS:
        for end in (f"y = Clip(a, {names[low]}, {names[high]})", "y = Relu(a)", "y = Max(half, a)"):
            before = graphs.build(X, f"{begin} {end}", **numbers)
            after = before.clone()
            merge_clips(after)
            remove_unused(after)
            assert len(list(after.graph)) == 1
            assert np.array_equal(graphs.answers(before, feeds), graphs.answers(after, feeds)), end


KINDS = {"float16": np.float16, "float": np.float32, "double": np.float64}


@pytest.mark.parametrize("dtype", KINDS)
@pytest.mark.parametrize("op", ["Clip", "Max", "Min"])
def test_the_largest_number_of_a_type_is_no_bound_and_the_one_before_is(graphs, dtype, op):
    kind = KINDS[dtype]
    largest = np.finfo(kind).max
    below = np.nextafter(largest, kind(0))
    for number, left in ((largest, "Relu"), (below, f"Relu {'Clip'}"), (kind(np.inf), "Relu")):
        number = -number if op == "Max" else number
        body = {"Clip": "a = Clip(x, l, h)", "Max": "a = Max(x, k)", "Min": "a = Min(k, x)"}[op]
        constants = {"l": -number, "h": number} if op == "Clip" else {"k": number}
        constants = {name: np.array(value, kind) for name, value in constants.items()}
        # what is read twice is not merged with what follows
        before = graphs.build(
            f"{dtype}[N,4] x", f"{body} b = Relu(a) y = Add(a, b)", f"{dtype} y", **constants
        )
        after = before.clone()
        merge_clips(after)
        remove_unused(after)
        assert graphs.ops(after) == dict.fromkeys([*left.split(), "Add"], 1), number


@pytest.mark.parametrize(
    "body", ["Max(a, k)", "Max(k, a)", "Min(a, k)", "Min(k, a)", "Clip(a, k)", "Clip(a, , k)"]
)
@pytest.mark.parametrize("dtype", KINDS)
def test_a_bound_that_is_no_number_is_left(graphs, body, dtype):
    nan = np.array(math.nan, KINDS[dtype])
    model = graphs.build(f"{dtype}[N,4] x", f"a = Relu(x) y = {body}", f"{dtype} y", k=nan)
    assert not merge_clips(model)
    assert graphs.ops(model) == {"Relu": 1, body[: body.index("(")]: 1}
