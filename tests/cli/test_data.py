"""What `--data` accepts, in which order it reads, and what it says where it cannot."""

from itertools import permutations

import numpy as np
import pytest
from octavo.cli.data import open_files
from octavo.cli.pixels import Pixels, frame_of
from octavo.errors import DataError
from octavo.session import ValueInfo
from PIL import Image

VECTOR = ValueInfo("x", ["N", 4], "tensor(float)")
PAIR = [VECTOR, ValueInfo("mask", ["N", 2], "tensor(int64)")]
RGB = ValueInfo("image", ["N", 3, 8, 6], "tensor(float)")
GREY = ValueInfo("image", ["N", 1, 8, 6], "tensor(float)")
NHWC = ValueInfo("image", [1, 8, 6, 3], "tensor(float)")


def read(path, *inputs, pixels=None, limit=None):
    return list(open_files(path, inputs, pixels or Pixels(), limit))


def save(path, array):
    np.save(path, array)
    return path


def test_array_is_cut_along_its_first_axis(tmp_path):
    array = np.arange(12, dtype=np.float32).reshape(3, 4)
    samples = read(save(tmp_path / "x.npy", array), VECTOR)
    assert [feeds["x"].tolist() for feeds in samples] == [[row] for row in array.tolist()]


def test_sample_without_batch_axis_is_given_one(tmp_path):
    (feeds,) = read(save(tmp_path / "x.npy", np.ones(4, np.float32)), VECTOR)
    assert feeds["x"].shape == (1, 4)


def test_stack_of_whole_feeds(tmp_path):
    """Whether a feed of several can be cut is for the model to say."""
    samples = read(save(tmp_path / "x.npy", np.ones((5, 2, 4), np.float32)), VECTOR)
    assert [feeds["x"].shape for feeds in samples] == [(2, 4)] * 5


def test_fixed_batch_is_kept(tmp_path):
    fixed = ValueInfo("x", [2, 4], "tensor(float)")
    assert len(read(save(tmp_path / "x.npy", np.ones((6, 4), np.float32)), fixed)) == 3
    with pytest.raises(DataError, match="takes 2 samples at a time, and 5"):
        read(save(tmp_path / "x.npy", np.ones((5, 4), np.float32)), fixed)


def test_named_arrays_feed_the_inputs_of_their_names(tmp_path):
    np.savez(tmp_path / "a.npz", x=np.ones((3, 4), np.float32), mask=np.zeros((3, 2), np.int64), spare=1)
    samples = read(tmp_path / "a.npz", *PAIR)
    assert [sorted(feeds) for feeds in samples] == [["mask", "x"]] * 3


@pytest.mark.parametrize("inputs", [PAIR[:1], PAIR[1:], PAIR], ids=["x", "mask", "both"])
@pytest.mark.parametrize("names", list(permutations(("x", "y", "mask", "mark"))), ids=str)
def test_of_several_arrays_each_input_has_its_own_whatever_their_order(tmp_path, inputs, names):
    """Each has another beside it that would fit as well: to read that would be no error."""
    kinds = {"x": (4, np.float32), "y": (4, np.float32), "mask": (2, np.int64), "mark": (2, np.int64)}
    arrays = {name: np.full((3, kinds[name][0]), place, kinds[name][1]) for place, name in enumerate(names)}
    np.savez(tmp_path / "a.npz", **arrays)
    samples = read(tmp_path / "a.npz", *inputs)
    assert len(samples) == 3
    for feeds in samples:
        assert {name: array.min() for name, array in feeds.items()} == {
            info.name: names.index(info.name) for info in inputs
        }


@pytest.mark.parametrize("inputs", [[VECTOR], PAIR], ids=len)
@pytest.mark.parametrize("names", [(), ("other",), ("a", "b"), ("X", "mask"), ("x ", "mask", "y")], ids=str)
def test_arrays_that_have_not_the_names_of_the_inputs(tmp_path, inputs, names):
    np.savez(tmp_path / "a.npz", **{name: np.ones((3, 4), np.float32) for name in names})
    if len(inputs) == len(names) == 1:
        assert len(read(tmp_path / "a.npz", *inputs)) == 3
        return
    wanted = ", ".join(info.name for info in inputs)
    with pytest.raises(DataError, match=rf"holds {', '.join(names) or 'nothing'}, .* inputs are {wanted}:"):
        read(tmp_path / "a.npz", *inputs)


def test_only_array_feeds_the_only_input_whatever_its_name(tmp_path):
    np.savez(tmp_path / "a.npz", other=np.ones((3, 4), np.float32))
    assert len(read(tmp_path / "a.npz", VECTOR)) == 3


def test_folder_is_read_in_the_order_of_names(tmp_path):
    (tmp_path / "sub").mkdir()
    for name, value in (("b", 2), ("sub/c", 3), ("a", 1)):
        save(tmp_path / f"{name}.npy", np.full(4, value, np.float32))
    (tmp_path / "labels.txt").write_text("not data")
    assert [feeds["x"][0, 0] for feeds in read(tmp_path, VECTOR)] == [1, 2, 3]


def test_samples_can_be_read_again_and_limited(tmp_path):
    samples = open_files(save(tmp_path / "x.npy", np.ones((5, 4), np.float32)), [VECTOR], Pixels(), 2)
    assert [len(list(samples)), len(list(samples))] == [2, 2]


@pytest.mark.parametrize(
    ("low", "high", "mean", "std", "expected"),
    [
        (0, 1, (0,), (1,), [0.0, 0.2, 1.0]),
        (-1, 1, (0,), (1,), [-1.0, -0.6, 1.0]),
        (0, 255, (127,), (128,), [-127 / 128, -76 / 128, 1.0]),
        (0, 1, (0.5, 0.5, 0.25), (0.5, 0.25, 0.25), [-1.0, -1.2, 3.0]),
        (0, 255, (1,), (1, 2, 4), [-1.0, 25.0, 63.5]),
        (0, 255, (1, 2, 3), (2,), [-0.5, 24.5, 126.0]),
        (0, 255, (0,), (1, 2, 4), [0.0, 25.5, 63.75]),
        (2, 12, (1,), (0.5,), [2.0, 6.0, 22.0]),
        (1, 0, (0,), (1,), [1.0, 0.8, 0.0]),
    ],
)
def test_pixels_are_normalized(tmp_path, low, high, mean, std, expected):
    picture = np.zeros((8, 6, 3), np.uint8) + np.array([0, 51, 255], np.uint8)
    Image.fromarray(picture).save(tmp_path / "a.png")
    pixels = Pixels(low=low, high=high, mean=mean, std=std)
    for spec, channels in ((RGB, (0, 2, 3, 1)), (NHWC, (0, 1, 2, 3))):
        (feeds,) = read(tmp_path / "a.png", spec, pixels=pixels)
        assert feeds["image"].dtype == np.float32
        assert feeds["image"].transpose(channels)[0, 5, 3] == pytest.approx(expected, abs=1e-6)


def test_picture_is_scaled_to_cover_and_cut_to_its_middle(tmp_path):
    wide = np.zeros((16, 32, 3), np.uint8)
    wide[:, 8:24] = 255
    Image.fromarray(wide).save(tmp_path / "a.png")
    (feeds,) = read(tmp_path, RGB)
    assert feeds["image"].shape == (1, 3, 8, 6)
    assert feeds["image"].min() == 1.0


def test_model_with_one_channel_reads_grey(tmp_path):
    Image.new("RGB", (6, 8), (255, 255, 255)).save(tmp_path / "a.png")
    (feeds,) = read(tmp_path, GREY)
    assert feeds["image"].shape == (1, 1, 8, 6)
    assert feeds["image"].min() == 1.0


@pytest.mark.parametrize("suffix", ["png", "tiff"])
def test_grey_of_16_bits_is_rounded_to_8(tmp_path, suffix):
    deep = np.linspace(0, 65535, 48).round().astype(np.uint16).reshape(8, 6)
    Image.fromarray(deep).save(tmp_path / f"a.{suffix}")
    for spec in (GREY, RGB):
        (feeds,) = read(tmp_path, spec, pixels=Pixels(high=255))
        assert (feeds["image"] == np.array([round(int(x) / 257) for x in deep.ravel()]).reshape(8, 6)).all()


@pytest.mark.parametrize("dtype", [np.int32, np.float32])
def test_pixels_of_no_stated_range_are_refused(tmp_path, dtype):
    Image.fromarray(np.full((8, 6), 3, dtype)).save(tmp_path / "a.tiff")
    with pytest.raises(DataError, match=r"a\.tiff has pixels of 32 bits, whose range is not known: give"):
        read(tmp_path, GREY)


@pytest.mark.parametrize(("turn", "white"), [(1, "left"), (3, "right"), (6, "upper"), (8, "lower")])
@pytest.mark.parametrize("deep", [False, True])
def test_a_picture_is_turned_as_its_camera_was_held(tmp_path, turn, white, deep):
    half = np.zeros((8, 8), np.uint16 if deep else np.uint8)
    half[:, :4] = 65535 if deep else 255
    exif = Image.Exif()
    exif[0x0112] = turn
    Image.fromarray(half).save(tmp_path / "a.png", exif=exif)
    (feeds,) = read(tmp_path, ValueInfo("image", ["N", 1, 8, 8], "tensor(float)"))
    seen = feeds["image"][0, 0]
    halves = {"left": seen[:, :4], "right": seen[:, 4:], "upper": seen[:4], "lower": seen[4:]}
    assert (halves[white].min(), seen.mean()) == (1, 0.5)


def test_hidden_files_and_folders_are_left_out(tmp_path):
    Image.new("RGB", (6, 8), (255, 255, 255)).save(tmp_path / "a.png")
    (tmp_path / "._a.png").write_bytes(b"\0\5\x16\7" + b"\0" * 20)
    (tmp_path / ".thumbnails").mkdir()
    Image.new("RGB", (6, 8)).save(tmp_path / ".thumbnails" / "b.png")
    assert len(read(tmp_path, RGB)) == 1
    (tmp_path / "a.png").unlink()
    with pytest.raises(DataError, match="holds no arrays"):
        read(tmp_path, RGB)


def test_pixels_in_an_array_are_normalized_as_pictures_are(tmp_path):
    array = np.full((2, 3, 8, 6), 255, np.uint8)
    samples = read(save(tmp_path / "x.npy", array), RGB, pixels=Pixels(low=-1, high=3))
    assert [feeds["image"].max() for feeds in samples] == [3.0, 3.0]


def test_free_size_takes_the_size_given(tmp_path):
    Image.new("L", (60, 80)).save(tmp_path / "a.png")
    free = ValueInfo("image", ["N", 3, "H", "W"], "tensor(float)")
    (feeds,) = read(tmp_path, free, pixels=Pixels(size=(4, 5)))
    assert feeds["image"].shape == (1, 3, 4, 5)
    with pytest.raises(DataError, match="--size"):
        read(tmp_path, free)


def test_ambiguous_layout_has_to_be_said(tmp_path):
    Image.new("L", (3, 3)).save(tmp_path / "a.png")
    ambiguous = ValueInfo("image", [1, 3, 3, 3], "tensor(float)")
    with pytest.raises(DataError, match="--layout"):
        read(tmp_path, ambiguous)
    assert len(read(tmp_path, ambiguous, pixels=Pixels(layout="nhwc"))) == 1


def write_bytes(path, data):
    path.write_bytes(data)
    return path


def empty_folder(tmp_path):
    return tmp_path, "holds no arrays"


def missing(tmp_path):
    return tmp_path / "none.npy", "does not exist"


def unknown_kind(tmp_path):
    return write_bytes(tmp_path / "x.csv", b"1,2"), "neither an array"


def damaged_array(tmp_path):
    return write_bytes(tmp_path / "x.npy", b"\x93NUMPY\x01\x00garbage"), "cannot be read"


def truncated_array(tmp_path):
    path = save(tmp_path / "x.npy", np.ones((9, 4), np.float32))
    return write_bytes(path, path.read_bytes()[:-40]), "cannot be read"


def pickled_objects(tmp_path):
    return save(tmp_path / "x.npy", np.array([{}], object)), "cannot be read"


def wrong_dtype(tmp_path):
    return save(tmp_path / "x.npy", np.ones((2, 4))), "are float64, the model takes float32"


def wrong_shape(tmp_path):
    return save(tmp_path / "x.npy", np.ones((2, 5), np.float32)), r"\[1, 5\], the model takes \['N', 4\]"


def wrong_rank(tmp_path):
    return save(tmp_path / "x.npy", np.ones((1, 1, 1, 1, 4), np.float32)), "have the shape"


def unreadable_picture(tmp_path):
    return write_bytes(tmp_path / "x.png", b"no picture"), "not a picture"


def mixed_folder(tmp_path):
    save(tmp_path / "x.npy", np.ones(4))
    write_bytes(tmp_path / "x.png", b"")
    return tmp_path, "mixes"


@pytest.mark.parametrize(
    "case",
    [
        empty_folder,
        missing,
        unknown_kind,
        damaged_array,
        truncated_array,
        pickled_objects,
        wrong_dtype,
        wrong_shape,
        wrong_rank,
        unreadable_picture,
        mixed_folder,
    ],
)
def test_what_cannot_be_read_is_an_error_that_names_it(tmp_path, case):
    path, message = case(tmp_path)
    spec = ValueInfo("x", ["N", 3, 4, 4], "tensor(float)") if case is unreadable_picture else VECTOR
    with pytest.raises(DataError, match=message) as caught:
        read(path, spec)
    assert str(tmp_path) in str(caught.value)


def test_missing_input_is_named(tmp_path):
    np.savez(tmp_path / "a.npz", x=np.ones((3, 4), np.float32), y=np.ones(3))
    with pytest.raises(DataError, match=r"holds x, y, but the model's inputs are x, mask"):
        read(tmp_path / "a.npz", *PAIR)


def test_different_counts_are_named(tmp_path):
    np.savez(tmp_path / "a.npz", x=np.ones((3, 4), np.float32), mask=np.zeros((2, 2), np.int64))
    with pytest.raises(DataError, match="different numbers"):
        read(tmp_path / "a.npz", *PAIR)


def test_a_folder_of_links(tmp_path):
    far = tmp_path / "far"
    (far / "more").mkdir(parents=True)
    for name, value in (("far/blob", 1), ("far/more/c", 3)):
        save(tmp_path / f"{name}.npy", np.full(4, value, np.float32))
    here = tmp_path / "here"
    (here / "b").mkdir(parents=True)
    save(here / "b" / "x.npy", np.full(4, 2, np.float32))
    (here / "a.npy").symlink_to("../far/blob.npy")
    (here / "c").symlink_to("../far/more")
    (here / "b" / "above").symlink_to("..")  # a circle
    (here / "notes.txt").symlink_to("nowhere")
    for folder in (here, tmp_path / "link"):
        if folder != here:
            folder.symlink_to("here")
        assert [feeds["x"][0, 0] for feeds in read(folder, VECTOR)] == [1, 2, 3]


def test_a_link_that_leads_nowhere(tmp_path):
    save(tmp_path / "a.npy", np.ones(4, np.float32))
    (tmp_path / "b.npy").symlink_to(".annex/objects/b")
    with pytest.raises(DataError, match=r"b\.npy is a link to \.annex/objects/b, which does not exist"):
        read(tmp_path, VECTOR)


@pytest.mark.parametrize("numbers", [((0.5,), (1.0, 2.0, 4.0)), ((0.5, 1.0, 2.0), (4.0,))])
@pytest.mark.parametrize("spec", [RGB, NHWC])
def test_one_number_for_one_and_three_for_the_other_in_an_array(tmp_path, spec, numbers):
    """Channels are found where either is by channel; every axis has another size, so that no other fits."""
    shape = [1, *spec.shape[1:]]
    array = np.random.default_rng(1).integers(0, 256, shape).astype(np.uint8)
    mean, std = (np.broadcast_to(np.float32(part), 3) for part in numbers)
    pixels = Pixels(mean=numbers[0], std=numbers[1])
    (feeds,) = read(save(tmp_path / "x.npy", array), spec, pixels=pixels)
    axis = 1 if spec is RGB else 3
    for channel in range(3):
        want = (array.take(channel, axis) / np.float32(255) - mean[channel]) / std[channel]
        assert np.array_equal(feeds["image"].take(channel, axis), want)


def frame(shape, **options):
    return frame_of("image", shape, Pixels(**options))


@pytest.mark.parametrize(
    ("shape", "options", "want"),
    [
        (("N", 3, 8, 6), {}, (3, "nchw", (8, 6), -3)),
        (("N", 8, 6, 3), {}, (3, "nhwc", (8, 6), -1)),
        (("N", 1, 8, 6), {}, (1, "nchw", (8, 6), -3)),
        (("N", 8, 6, 1), {}, (1, "nhwc", (8, 6), -1)),
        (("N", 3, "H", "W"), {"size": (5, 7)}, (3, "nchw", (5, 7), -3)),
        (("N", "H", 7, 3), {"size": (5, 7)}, (3, "nhwc", (5, 7), -1)),
        (("N", 3, 4, 3), {"layout": "nchw"}, (3, "nchw", (4, 3), -3)),
        (("N", 3, 4, 1), {"layout": "nhwc"}, (1, "nhwc", (3, 4), -1)),
    ],
)
def test_the_picture_that_an_input_takes(shape, options, want):
    found = frame(shape, **options)
    assert (found.channels, found.layout, found.size, found.channel_axis) == want


@pytest.mark.parametrize(
    ("shape", "options", "says"),
    [
        (("N", 3, 8), {}, "not a batch of pictures"),
        (("N", 3, 8, 6, 2), {}, "not a batch of pictures"),
        (("N", 2, 8, 6), {}, "say where its channels stand"),
        (("N", 1, 8, 3), {}, "say where its channels stand"),
        (("N", 3, 8, 6), {"layout": "nhwc"}, "has 6 channels"),
        (("N", 8, 6, 3), {"layout": "nchw"}, "has 8 channels"),
        (("N", 3, "H", 6), {}, "leaves the picture's size open"),
        (("N", 3, 8, "W"), {}, "leaves the picture's size open"),
        (("N", 3, 8, 6), {"size": (9, 6)}, "asks for a height of 9, input 'image' has 8"),
        (("N", 3, 8, 6), {"size": (8, 7)}, "asks for a width of 7, input 'image' has 6"),
        (("N", "H", 6, 3), {"size": (8, 7)}, "asks for a width of 7, input 'image' has 6"),
    ],
)
def test_an_input_that_takes_no_picture_says_why(shape, options, says):
    with pytest.raises(DataError, match=says):
        frame(shape, **options)


def test_how_many_samples_there_are(tmp_path):
    for name in "abc":
        Image.new("RGB", (6, 8)).save(tmp_path / f"{name}.png")
    for limit, count in ((None, 3), (2, 2), (5, 3)):
        assert open_files(tmp_path, [RGB], Pixels(), limit).count() == count
        assert len(read(tmp_path, RGB, limit=limit)) == count
    path = save(tmp_path / "x.npy", np.ones((5, 4), np.float32))
    assert open_files(path, [VECTOR], Pixels()).count() is None
    assert open_files(path, [VECTOR], Pixels(), 4).count() == 4
    assert [len(read(path, VECTOR, limit=limit)) for limit in (1, 4, 5, 6)] == [1, 4, 5, 5]


def test_pixels_of_an_integer_input_stay_as_they_are(tmp_path):
    array = np.full((1, 3, 8, 6), 200, np.uint8)
    bytes_in = ValueInfo("image", ["N", 3, 8, 6], "tensor(uint8)")
    (feeds,) = read(save(tmp_path / "x.npy", array), bytes_in)
    assert feeds["image"].dtype == np.uint8
    assert feeds["image"].tolist() == array.tolist()
