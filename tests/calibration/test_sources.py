"""Every form of calibration data gives the same samples, and data that do not fit are refused by name."""

import numpy as np
import pytest
from octavo.calibration import samples
from octavo.errors import DataError
from octavo.session import ValueInfo

IMAGE = ValueInfo("image", ["N", 1, 2, 2], "tensor(float)")
LENGTH = ValueInfo("length", ["N"], "tensor(int64)")
BATCH = np.arange(12, dtype=np.float32).reshape(3, 1, 2, 2)

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
    "nested lists": [np.float32(sample) for sample in BATCH],
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


def test_a_fixed_batch_is_not_cut():
    fixed = ValueInfo("image", [2, 1, 2, 2], "tensor(float)")
    pairs = list(samples(np.concatenate([BATCH, BATCH]), [fixed]))
    assert [feeds["image"].shape for feeds in pairs] == [(2, 1, 2, 2)] * 3
    with pytest.raises(DataError, match="takes 2 samples at a time, and 3 is no multiple"):
        list(samples(BATCH, [fixed]))


def test_inputs_with_unlike_free_axes_are_not_cut():
    text = ValueInfo("text", ["M", 3], "tensor(float)")
    (feeds,) = samples([{"image": BATCH, "text": np.zeros((2, 3), "f4")}], [IMAGE, text])
    assert (len(feeds["image"]), len(feeds["text"])) == (3, 2)
    # Nor where the lengths are the same by chance.
    (feeds,) = samples([{"image": BATCH, "text": np.zeros((3, 3), "f4")}], [IMAGE, text])
    assert (len(feeds["image"]), len(feeds["text"])) == (3, 3)


BAD = {
    "type": ("x.npy", "cannot be of type str"),
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
