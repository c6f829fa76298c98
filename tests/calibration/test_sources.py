"""Every form of calibration data gives the same samples, and data that do not fit are refused by name."""

import numpy as np
import pytest
from octavo.calibration import mapped_files, sources
from octavo.errors import DataError
from octavo.session import ValueInfo

IMAGE = ValueInfo("image", ["N", 1, 2, 2], "tensor(float)")
LENGTH = ValueInfo("length", ["N"], "tensor(int64)")
BATCH = np.arange(12, dtype=np.float32).reshape(3, 1, 2, 2)


def samples(data, inputs):
    """Of a model whose samples have nothing to do with each other."""
    return sources.samples(data, inputs, lambda feeds: list(feeds.values()))


class Reader:
    """As ONNX Runtime has them."""

    def __init__(self, feeds):
        self._feeds = iter(feeds)

    def get_next(self):
        return next(self._feeds, None)


class Tensor:
    """An array of another library."""

    def __init__(self, array):
        self._array = array
        self.shape, self.dtype = array.shape, f"torch.{array.dtype}"

    def __array__(self, dtype=None, copy=None):
        return self._array


FORMS = {
    "array": BATCH,
    "more axes": BATCH[:, None],
    "dict": {"image": BATCH},
    "list": list(BATCH),
    "list with batch axis": [sample[None] for sample in BATCH],
    "list of feeds": [{"image": sample} for sample in BATCH],
    "batches": [BATCH[:2], BATCH[2:]],
    "tuple": tuple(BATCH),
    "function": lambda: BATCH,
    "strided": np.asfortranarray(BATCH),
    "reader": Reader({"image": sample} for sample in BATCH),
    "method of a reader": Reader({"image": sample[None]} for sample in BATCH).get_next,
    "function that gives a reader": lambda: Reader({"image": sample} for sample in BATCH),
    "a list of one for each input": [[sample[None]] for sample in BATCH],
    "a tuple of one for each input": [(sample,) for sample in BATCH],
    "tensors": [Tensor(sample) for sample in BATCH],
    "tensors in lists": [[Tensor(BATCH[:2])], [Tensor(BATCH[2:])]],
}


@pytest.mark.parametrize("form", FORMS)
def test_forms(form):
    found = list(samples(FORMS[form], [IMAGE]))
    assert [list(feeds) for feeds in found] == [["image"]] * 3
    assert all(feeds["image"].flags.c_contiguous for feeds in found)
    assert np.array_equal(np.stack([feeds["image"] for feeds in found]), BATCH[:, None])


def test_generators_are_read_as_asked():
    read = []

    def generate():
        for index, sample in enumerate(BATCH):
            read.append(index)
            yield sample

    stream = samples(generate(), [IMAGE])
    next(stream)
    assert read == [0]


def test_several_inputs():
    data = {"image": BATCH, "length": np.array([1, 2, 3])}
    found = list(samples(data, [IMAGE, LENGTH]))
    assert [feeds["length"].tolist() for feeds in found] == [[1], [2], [3]]
    (feeds,) = samples([{"image": BATCH[0], "length": np.int64(4)}], [IMAGE, LENGTH])
    assert feeds["length"].shape == (1,)


def test_lists_are_in_the_order_of_the_inputs():
    for kind in (list, tuple):
        items = [kind([BATCH[at], np.array([at])]) for at in range(3)]
        found = list(samples(items, [IMAGE, LENGTH]))
        assert [feeds["length"].tolist() for feeds in found] == [[0], [1], [2]]
        assert np.array_equal(np.concatenate([feeds["image"] for feeds in found]), BATCH)
    with pytest.raises(DataError, match="a tuple of 3 arrays, and the model has 2 inputs, 'image', 'length'"):
        list(samples([(BATCH, BATCH, BATCH)], [IMAGE, LENGTH]))


def test_rows_of_one_shape_are_one_array():
    vector = ValueInfo("x", ["N", 2, 3], "tensor(float)")
    rows = [np.full(3, at, np.float32) for at in range(2)]
    (feeds,) = samples([rows], [vector])
    assert feeds["x"].tolist() == [[[0] * 3, [1] * 3]]


def test_what_another_library_cannot_give_is_said():
    class Graph(Tensor):
        def __array__(self, dtype=None, copy=None):
            raise RuntimeError("can't call numpy() on a tensor that requires grad")

    with pytest.raises(
        DataError, match=r"sample 0 for 'image' cannot be made an array: can't call numpy\(\)"
    ):
        list(samples([Graph(BATCH[0])], [IMAGE]))


def test_a_fixed_batch_is_not_cut():
    fixed = ValueInfo("image", [2, 1, 2, 2], "tensor(float)")
    pairs = list(samples(np.concatenate([BATCH, BATCH]), [fixed]))
    assert [feeds["image"].shape for feeds in pairs] == [(2, 1, 2, 2)] * 3
    with pytest.raises(DataError, match="takes 2 samples at a time, and 3 is not a multiple"):
        list(samples(BATCH, [fixed]))


def test_inputs_with_unlike_free_axes_are_not_cut():
    text = ValueInfo("text", ["M", 3], "tensor(float)")
    (feeds,) = samples([{"image": BATCH, "text": np.zeros((2, 3), "f4")}], [IMAGE, text])
    assert (len(feeds["image"]), len(feeds["text"])) == (3, 2)
    # Nor where the lengths are the same by chance.
    (feeds,) = samples([{"image": BATCH, "text": np.zeros((3, 3), "f4")}], [IMAGE, text])
    assert (len(feeds["image"]), len(feeds["text"])) == (3, 3)


BAD = {
    "type": (
        "x.npy",
        "cannot be of type str: give what the file holds, as np.load reads it, or the path to the",
    ),
    "labels": (
        [(BATCH, np.arange(3))],
        r"sample 0 is a tuple of 2 arrays, .* labels are not needed: give \(images for",
    ),
    "labels in lists": (
        [[BATCH, np.arange(3)]],
        "sample 0 is a list of 2 arrays, and .* labels are not needed",
    ),
    "three": (
        [(BATCH,) * 3],
        "sample 0 is a tuple of 3 arrays, and the model has 1 input, 'image': give dicts",
    ),
    "empty array": (BATCH[:0], "data are empty"),
    "empty list": ([], "data are empty"),
    "empty batch": ([BATCH[:0]], "sample 0 is empty"),
    "dtype": (BATCH.astype(np.float64), r"are float64, the model takes float32: .*astype\(np.float32\)"),
    "pixels": (list(BATCH.astype(np.uint8)), "sample 0 for 'image' are uint8"),
    "shape": (
        BATCH[:, :, :1],
        r"sample 0 for 'image' has the shape \[1, 1, 1, 2\], the model takes \['N', 1",
    ),
    "rank": (BATCH[0, 0], r"have the shape \[2, 2\]; a sample is"),
    "item shape": ([BATCH[0], BATCH[0, :, :, :1]], r"sample 1 for 'image' has the shape \[1, 1, 2, 1\]"),
    "item rank": ([BATCH[0, 0]], r"sample 0 for 'image' has the shape \[2, 2\], the model takes"),
    "item of more": ([BATCH[None]], r"sample 0 for 'image' has the shape \[1, 3, 1, 2, 2\], the model takes"),
    "name": (
        {"picture": BATCH},
        "no data for 'image'; the model's inputs are 'image'; the data have 'picture'",
    ),
    "no name": ({}, "no data for 'image'; the model's inputs are 'image'; the data have nothing"),
    "feeds of no name": ([{}], "no data for 'image' in sample 0; .*; the data have nothing"),
    "more": ([{"image": BATCH[0], "mask": BATCH[0]}], "the model has no input 'mask' in sample 0"),
    "nan": (np.where(BATCH == 5, np.nan, BATCH).astype("f4"), "sample 1 for 'image' holds NaN"),
    "inf": (
        np.where(BATCH == 9, np.inf, BATCH).astype("f4"),
        "sample 2 for 'image' holds NaN or an infinite",
    ),
}


@pytest.mark.parametrize("form", BAD)
def test_errors(form):
    data, message = BAD[form]
    with pytest.raises(DataError, match=message):
        list(samples(data, [IMAGE]))


def test_errors_of_several_inputs():
    with pytest.raises(
        DataError, match=r"the model has 2 inputs, so the data must name them: .*'image', 'length'"
    ):
        list(samples(BATCH, [IMAGE, LENGTH]))
    with pytest.raises(DataError, match=r"different numbers of samples: {'image': 3, 'length': 2}"):
        list(samples({"image": BATCH, "length": np.array([1, 2])}, [IMAGE, LENGTH]))


@pytest.mark.parametrize("shape", [(3, 1, 2, 2), (3, 1, 1, 2, 2), (1, 1, 2, 2), (2, 3, 1, 2, 2)])
def test_an_axis_too_few_or_too_many_of_an_item_is_the_batchs_alone(shape):
    """An item has the input's axes, or all but the batch; an array of samples has one more, or as many."""
    array = np.arange(np.prod(shape), dtype=np.float32).reshape(shape)
    if len(shape) == 4:
        assert len(list(samples([array], [IMAGE]))) == len(array)
    else:
        with pytest.raises(DataError, match="sample 0 for 'image' has the shape"):
            list(samples([array], [IMAGE]))


@pytest.mark.parametrize("shape", [(), (7,), (7, 1), (1, 2), (7, 1, 2, 2, 1)])
def test_items_whose_first_axes_fit_alone(shape):
    with pytest.raises(
        DataError, match=r"sample 0 for 'image' has the shape .*, the model takes \['N', 1, 2, 2\]"
    ):
        list(samples([np.zeros(shape, np.float32)], [IMAGE]))


@pytest.mark.parametrize("wanted", [(2, 3), ("N", 3), ("N", "T"), (2, "T")])
@pytest.mark.parametrize("given", [(2, 3), (2, 4), (3, 3), (4, 3), (0, 3), (2, 0)])
def test_whole_arrays_by_what_the_model_fixes(wanted, given):
    """As many at a time as the first axis says; every other number must be the array's."""
    array = np.arange(np.prod(given), dtype=np.float32).reshape(given)
    step = wanted[0] if isinstance(wanted[0], int) else 1
    data = lambda: list(samples(array, [ValueInfo("x", list(wanted), "tensor(float)")]))  # noqa: E731
    if len(array) % step:
        with pytest.raises(DataError, match="takes 2 samples at a time, and 3 is not a multiple"):
            data()
    elif not len(array):
        with pytest.raises(DataError, match="the calibration data are empty"):
            data()
    elif isinstance(wanted[1], int) and given[1] != wanted[1]:
        with pytest.raises(DataError, match=rf"sample 0 for 'x' has the shape \[{step}, {given[1]}\]"):
            data()
    else:
        found = [feeds["x"] for feeds in data()]
        assert [len(part) for part in found] == [step] * (len(array) // step)
        assert np.array_equal(np.concatenate(found), array)


def test_a_batch_of_no_size_is_taken_one_by_one():
    none = ValueInfo("x", [0, 3], "tensor(float)")
    with pytest.raises(DataError, match=r"sample 0 for 'x' has the shape \[1, 3\]"):
        list(samples(np.ones((2, 3), np.float32), [none]))


def test_a_later_sample_is_named_by_its_own_number():
    pairs = ValueInfo("x", [2, 3], "tensor(float)")
    data = np.ones((6, 3), np.float32)
    data[5, 1] = np.nan
    with pytest.raises(DataError, match="sample 2 for 'x' holds NaN"):
        list(samples(data, [pairs]))
    batches = [np.ones((2, 1, 2, 2), np.float32), np.full((2, 1, 2, 2), np.inf, np.float32)]
    with pytest.raises(DataError, match="sample 2 for 'image' holds NaN or an infinite"):
        list(samples(batches, [IMAGE]))


@pytest.mark.parametrize("kind", ["float", "double", "int64", "uint8", "bool", "float16"])
def test_the_dtype_is_the_models(kind):
    dtype = {"float": "float32", "double": "float64"}.get(kind, kind)
    info = ValueInfo("x", ["N"], f"tensor({kind})")
    (feeds,) = samples(np.ones(1, dtype), [info])
    assert feeds["x"].dtype == dtype
    for other in {"float32", "int64", "uint8"} - {dtype}:
        with pytest.raises(
            DataError, match=rf"the data for 'x' are {other}, the model takes {dtype}: convert"
        ):
            list(samples(np.ones(1, other), [info]))


def test_what_is_no_array():
    with pytest.raises(DataError, match="sample 0 for 'image' cannot be made an array"):
        list(samples([{"image": [[1.0], [1.0, 2.0]]}], [IMAGE]))
    with pytest.raises(DataError, match="cannot be of type bytes: give what the file holds"):
        list(samples(b"abc", [IMAGE]))
    for data in (3, None):
        with pytest.raises(DataError, match=f"cannot be of type {type(data).__name__}: give an array"):
            list(samples(data, [IMAGE]))


def test_a_number_alone_has_no_axis_for_samples():
    scalar = ValueInfo("x", [], "tensor(float)")
    assert len(list(samples(np.ones(3, np.float32), [scalar]))) == 3
    assert len(list(samples([np.float32(1)] * 2, [scalar]))) == 2
    with pytest.raises(DataError, match=r"the data for 'x' have the shape \[\]"):
        list(samples(np.array(1, np.float32), [scalar]))


def test_feeds_are_cut_only_where_all_inputs_have_the_same_free_axis():
    """Not where one has another symbol or a number, nor where the lengths differ under one symbol."""

    def info(name, axis):
        return ValueInfo(name, [axis, 2], "tensor(float)")

    def lengths(axes, given):
        inputs = [info(name, axis) for name, axis in zip("ab", axes, strict=True)]
        feeds = {name: np.ones((n, 2), np.float32) for name, n in zip("ab", given, strict=True)}
        return [tuple(len(array) for array in sample.values()) for sample in samples([feeds], inputs)]

    assert lengths(("N", "N"), (3, 3)) == [(1, 1)] * 3
    assert lengths(("N", "M"), (3, 3)) == [(3, 3)]
    assert lengths(("N", "N"), (3, 2)) == [(3, 2)]
    assert lengths(("N", 3), (3, 3)) == [(3, 3)]
    assert lengths((3, "N"), (3, 3)) == [(3, 3)]


def test_the_files_that_arrays_are_mapped_from(tmp_path):
    """Of every form that holds arrays; links are followed, and what is in memory has no file."""
    path, other = tmp_path / "a.npy", tmp_path / "b.npy"
    np.save(path, BATCH)
    np.save(other, BATCH)
    (tmp_path / "link.npy").symlink_to(path)
    mapped, second = np.load(tmp_path / "link.npy", mmap_mode="r"), np.load(other, mmap_mode="r")
    one, two = str(path.resolve()), str(other.resolve())
    assert mapped_files(mapped) == (one,)
    assert mapped_files({"image": mapped, "more": second}) == (one, two)
    assert mapped_files([mapped, BATCH, second]) == (one, two)
    assert mapped_files((second, mapped)) == (two, one)
    assert mapped_files(mapped[1:]) == (one,)
    assert mapped_files(mapped.copy()) == mapped_files([mapped.copy()]) == ()
    assert mapped_files(BATCH) == mapped_files([BATCH]) == mapped_files({"image": BATCH}) == ()
    assert mapped_files(lambda: mapped) == mapped_files(iter([mapped])) == ()
    np.savez(tmp_path / "c.npz", image=BATCH)
    with np.load(tmp_path / "c.npz") as archive:
        assert mapped_files(archive) == (str((tmp_path / "c.npz").resolve()),)
    assert mapped_files(archive) == ()


@pytest.mark.parametrize("kind", ["float16", "float", "double"])
@pytest.mark.parametrize("number", [np.nan, np.inf, -np.inf])
def test_numbers_of_every_float_are_finite(kind, number):
    dtype = {"float": "float32", "double": "float64"}.get(kind, kind)
    data = np.zeros((3, 2), dtype)
    data[1, 1] = number
    with pytest.raises(DataError, match="sample 1 for 'x' holds NaN or an infinite value"):
        list(samples(data, [ValueInfo("x", ["N", 2], f"tensor({kind})")]))
