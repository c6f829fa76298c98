"""Axes of one element and ops of one axis, outputs that are left out, and how large what is made may be."""

import numpy as np
import pytest
from octavo.errors import RunError
from octavo.program import Node
from octavo.reference import OPERATIONS, movement, resize

F = np.float32
FIRST = {"axis": 0}


def i64(*items):
    return np.array(items, np.int64)


@pytest.mark.parametrize("index", [0, -1])
def test_the_only_element_is_the_first_and_the_last(run_node, index):
    x, rows = F([5]), np.arange(3, dtype=F).reshape(1, 3)
    assert run_node("Gather", [x, i64(index)], FIRST)[0].tolist() == [5]
    assert run_node("GatherElements", [x, i64(index)], FIRST)[0].tolist() == [5]
    assert run_node("GatherND", [rows, i64(index).reshape(1, 1)], {"batch_dims": 0})[0].tolist() == [
        [0, 1, 2]
    ]
    plain = {"reduction": "none"}
    assert run_node("ScatterElements", [x, i64(index), F([7])], FIRST | plain)[0].tolist() == [7]
    (y,) = run_node("ScatterND", [rows, i64(index).reshape(1, 1), rows + F(1)], plain)
    assert y.tolist() == [[1, 2, 3]]


@pytest.mark.parametrize("index", [1, -2])
def test_there_is_no_other_element_than_the_only_one(run_node, index):
    x = F([5])
    for op, more in (("Gather", {}), ("GatherElements", {}), ("ScatterElements", {"reduction": "none"})):
        inputs = [x, i64(index), x] if op == "ScatterElements" else [x, i64(index)]
        with pytest.raises(RunError, match="an index is outside the 1 elements of axis 0"):
            run_node(op, inputs, FIRST | more)


@pytest.mark.parametrize("count", [1, 2, 3, 4])
def test_only_the_outputs_that_a_node_has_are_made(run_node, count):
    x = F([3, 1, 3])
    distinct = run_node("Unique", [x], {"sorted": 1}, ["f32", *["i64"] * (count - 1)], count)
    assert [array.tolist() for array in distinct] == [[1, 3], [1, 0], [1, 0, 1], [1, 2]][:count]
    if count <= 2:
        largest = run_node(
            "TopK", [x, i64(1)], FIRST | {"largest": 1, "sorted": 1}, ["f32", "i64"][:count], count
        )
        assert [array.tolist() for array in largest] == [[3], [0]][:count]
    if count <= 3:
        norm = run_node(
            "LayerNormalization",
            [F([[1, 3]]), F([1, 1])],
            {"axis": -1, "epsilon": F(0), "stash_type": 1},
            "f32",
            count,
        )
        assert [array.tolist() for array in norm] == [[[-1, 1]], [[2]], [[1]]][:count]


@pytest.mark.parametrize("mode", ["linear", "circular"])
@pytest.mark.parametrize("start", [-2, -1, 0, 1, 2, 3])
@pytest.mark.parametrize("place", [0, 1])
def test_what_is_written_into_a_cache_fits_or_goes_round(run_node, mode, start, place):
    """Of each sequence by itself: the other one's update fits."""
    cache, update = np.zeros((2, 4, 1), F), np.arange(1, 5, dtype=F).reshape(2, 2, 1)
    starts = i64(1, 1)
    starts[place] = start
    attributes = {"axis": 1, "mode": mode}
    if mode == "linear" and not 0 <= start <= 2:
        with pytest.raises(RunError, match="do not fit into 4"):
            run_node("TensorScatter", [cache, update, starts], attributes)
        return
    want = cache.copy()
    for own, first, new in zip(want, starts.tolist(), update, strict=True):
        for step, row in enumerate(new):
            own[(first + step) % 4] = row
    assert np.array_equal(run_node("TensorScatter", [cache, update, starts], attributes)[0], want)


@pytest.mark.parametrize("start", [-1, 0, 4, 5])
def test_nothing_fits_into_a_cache_wherever_it_begins(run_node, start):
    cache = np.arange(8, dtype=F).reshape(2, 4, 1)
    inputs = [cache, np.zeros((2, 0, 1), F), i64(start, 0)]
    (y,) = run_node("TensorScatter", inputs, {"axis": 1, "mode": "linear"})
    assert np.array_equal(y, cache)


@pytest.mark.parametrize("sampling", [1, 2])
def test_means_of_regions_begin_at_plus_0(run_node, sampling):
    attributes = {
        "coordinate_transformation_mode": "half_pixel", "output_height": 1, "output_width": 2,
        "sampling_ratio": sampling, "spatial_scale": F(1),
    }  # fmt: skip
    x = np.full((1, 1, 4, 4), -0.0, F)
    for mode, sign in (("avg", False), ("max", True)):
        (y,) = run_node("RoiAlign", [x, F([[1, 1, 3, 3]]), i64(0)], attributes | {"mode": mode})
        assert (y == 0).all()
        assert (np.signbit(y) == sign).all()


def test_places_that_nobody_wants_have_an_output_all_the_same():
    window = {"kernel_shape": [2], "strides": [1], "pads": [0, 0], "dilations": [1], "ceil_mode": 0}
    x = np.arange(4, dtype=F).reshape(1, 1, 4)
    for outputs, count in ((("y",), 1), (("y", ""), 2), (("y", "i"), 2)):
        made = OPERATIONS["MaxPool"](Node("MaxPool", "node", ("x",), outputs, window), [x])
        assert len(made) == count
        assert made[0].tolist() == [[[1, 2, 3]]]


def test_the_most_elements_that_are_made():
    """What 32 bits with a sign can count; shapes are compared with it before anything is made."""
    assert movement.ELEMENTS_MAX == resize.ELEMENTS_MAX == np.iinfo(np.int32).max
    assert movement.sized([2**31 - 1]) == (2**31 - 1,)
    assert movement.sized([]) == ()
    assert movement.sized([0, 2**40]) == (0, 2**40)
    for shape in ([2**31], [2**16, 2**15], [-1], [0, -1]):
        with pytest.raises(RunError, match="cannot make an array"):
            movement.sized(shape)


@pytest.mark.parametrize(("length", "fits"), [(3, True), (4, False)])
def test_a_picture_of_just_the_most_elements(run_node, monkeypatch, length, fits):
    monkeypatch.setattr(resize, "ELEMENTS_MAX", 6)
    attributes = {
        "mode": "nearest", "coordinate_transformation_mode": "asymmetric", "nearest_mode": "floor",
        "keep_aspect_ratio_policy": "stretch", "extrapolation_value": F(0),
    }  # fmt: skip
    inputs = [F([[1, 2]]), None, None, i64(2, length)]
    if fits:
        assert run_node("Resize", inputs, attributes, constants=[3])[0].shape == (2, length)
    else:
        with pytest.raises(RunError, match="cannot make an array"):
            run_node("Resize", inputs, attributes, constants=[3])


@pytest.mark.parametrize("mode", ["nearest", "linear", "cubic"])
@pytest.mark.parametrize("padding", ["zeros", "border", "reflection"])
def test_sequences_are_sampled_as_pictures_of_one_row(run_node, mode, padding):
    """The row's own place is 0 exactly, so that its weights are 1 and 0."""
    rng = np.random.default_rng(4)
    x, places = rng.normal(size=(2, 3, 7)).astype(F), rng.uniform(-1.2, 1.2, (2, 9, 1)).astype(F)
    attributes = {"mode": mode, "padding_mode": padding, "align_corners": 0}
    (y,) = run_node("GridSample", [x, places], attributes)
    assert y.shape == (2, 3, 9)
    grid = np.stack([places, np.zeros_like(places)], -1)
    (want,) = run_node("GridSample", [x[:, :, None], grid], attributes)
    assert np.array_equal(y, want[..., 0])


@pytest.mark.parametrize("region", [(0.0, 1.0), (0.25, 0.5), (0.5, 0.25), (-0.5, 0.25), (0.9, 1.4)])
@pytest.mark.parametrize("length", [1, 2, 5])
def test_one_element_of_a_region_is_its_middle(run_node, region, length):
    x = np.arange(1, length + 1, dtype=F)
    attributes = {
        "mode": "linear", "coordinate_transformation_mode": "tf_crop_and_resize", "cubic_coeff_a": F(-0.75),
        "nearest_mode": "floor", "keep_aspect_ratio_policy": "stretch", "extrapolation_value": F(-7),
        "antialias": 0, "exclude_outside": 0,
    }  # fmt: skip
    (y,) = run_node("Resize", [x, F(region), None, i64(1)], attributes, constants=[1, 3])
    middle = sum(map(float, F(region))) / 2 * (length - 1)
    want = -7 if not 0 <= middle <= length - 1 else 1 + middle
    assert y.item() == F(want)


@pytest.mark.parametrize("dtype", [np.float32, np.uint8, np.int8])
def test_places_of_the_largest_where_all_are_the_least(run_node, dtype):
    """The first of a window's elements, and none where it sees padding alone."""
    least = -np.inf if dtype is np.float32 else np.iinfo(dtype).min
    x = np.full((1, 1, 6), least, dtype)
    window = {"kernel_shape": [2], "strides": [2], "pads": [2, 2], "dilations": [1], "ceil_mode": 0}
    kind = {np.float32: "f32", np.uint8: "u8", np.int8: "i8"}[dtype]
    largest, places = run_node("MaxPool", [x], window | {"storage_order": 0}, [kind, "i64"], 2)
    assert (largest == least).all()
    assert places.ravel().tolist() == [-1, 0, 2, 4, -1]


@pytest.mark.parametrize("shape", [(1, 2, 4), (1, 2, 4, 4, 1), (2, 4)])
def test_regions_are_of_pictures(run_node, shape):
    attributes = {
        "mode": "avg", "coordinate_transformation_mode": "half_pixel", "output_height": 1, "output_width": 1,
        "sampling_ratio": 1, "spatial_scale": F(1),
    }  # fmt: skip
    with pytest.raises(RunError, match="do not fit together"):
        run_node("RoiAlign", [np.zeros(shape, F), F([[0, 0, 1, 1]]), i64(0)], attributes)


@pytest.mark.parametrize("place", [0, 1])
def test_one_negative_length_is_enough_to_refuse(run_node, place):
    lengths = [4, 4]
    lengths[place] = -1
    attributes = {
        "mode": "nearest", "coordinate_transformation_mode": "asymmetric", "nearest_mode": "floor",
        "keep_aspect_ratio_policy": "stretch", "extrapolation_value": F(0),
    }  # fmt: skip
    with pytest.raises(RunError, match="sizes"):
        run_node("Resize", [np.ones((2, 2), F), None, None, i64(*lengths)], attributes, constants=[3])
    with pytest.raises(RunError, match="are not those of blocks"):
        run_node("Col2Im", [np.ones((1, 1, 0), F), i64(*lengths), i64(1, 1)], {})
    with pytest.raises(RunError, match="cannot make an array"):
        run_node("Expand", [np.ones((1, 1), F), i64(*lengths)], {})


@pytest.mark.parametrize("shape", [(1, 1, 3, 2), (1, 1, 2, 3), (1, 1, 3, 3), (1, 2, 3, 2)])
def test_pictures_that_are_no_whole_blocks(run_node, shape):
    with pytest.raises(RunError, match=f"{shape[2]} x {shape[3]} pixels are no blocks of 2 x 2"):
        run_node("SpaceToDepth", [np.zeros(shape, F)], {"blocksize": 2})


@pytest.mark.parametrize("axis", [0, 1, 2])
@pytest.mark.parametrize("more", [0, 1])
def test_gathering_is_bounded_by_all_of_what_it_makes(run_node, monkeypatch, axis, more):
    """x [2, 3, 5] with one axis put in for another length."""
    shape = [2, 3, 5]
    x, count = np.zeros(shape, np.uint8), 4
    most = 30 // shape[axis] * count
    monkeypatch.setattr(movement, "ELEMENTS_MAX", most)
    indices = np.zeros(count + more, np.int64)
    if more:
        with pytest.raises(RunError, match="cannot make an array"):
            run_node("Gather", [x, indices], {"axis": axis})
    else:
        assert run_node("Gather", [x, indices], {"axis": axis})[0].size == most


@pytest.mark.parametrize("op", ["GlobalMaxPool", "GlobalAveragePool"])
def test_planes_without_axes_are_one_element(run_node, op):
    x = np.arange(6, dtype=F).reshape(2, 3)
    (y,) = run_node(op, [x], {})
    assert np.array_equal(y, x)
    with pytest.raises(RunError, match="has no channels"):
        run_node(op, [x[0]], {})
