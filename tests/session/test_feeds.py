"""What may be fed, what comes back, and what is said of it."""

import re
import resource
from types import MappingProxyType

import numpy as np
import octavo
import pytest
from octavo.program import Value

A, B = np.arange(12, dtype=np.float32).reshape(2, 2, 3), np.full((2, 2, 3), 0.5, np.float32)


@pytest.fixture(scope="module")
def adder(small):
    return octavo.Session(small, threads=1)


@pytest.mark.parametrize(
    ("feeds", "says"),
    [
        ({}, "input 'a' is missing; the feeds are []"),
        ({"a": A}, "input 'b' is missing; the feeds are ['a']"),
        ({"a": A, "c": B}, "input 'b' is missing; the feeds are ['a', 'c']"),
        ({"a": A, "b": B, "c": B}, "'c' is no input of the model; its inputs are: a, b"),
        ({"a": A, "b": B, 3: B}, "3 is no input of the model; its inputs are: a, b"),
        (
            {"a": A[0], "b": B},
            "input 'a' of shape [2, 3] does not fit [N, M, 3]: it has 3 dimensions",
        ),
        (
            {"a": A[:, :, :2], "b": B},
            "input 'a' of shape [2, 2, 2] does not fit [N, M, 3]: dimension 2 must be 3",
        ),
        (
            {"a": A, "b": B[:1]},
            "input 'b' of shape [1, 2, 3] does not fit [N, M, 3]: dimension 0 ('N') must be 2, as in 'a'",
        ),
        ({"a": A, "b": B.astype(">f4")}, "input 'b' is >f4, it must be a numpy array of float32 in native"),
        ({"a": A, "b": B.astype(np.float64)}, "input 'b' is float64, it must be a numpy array of float32"),
        ({"a": A.astype(np.float16), "b": B}, "input 'a' is float16, it must be a numpy array of float32"),
        ({"a": A.astype(object), "b": B}, "input 'a' is object, it must be a numpy array of float32"),
        ({"a": A.astype(str), "b": B}, "it must be a numpy array of float32"),
        ({"a": [["x"]], "b": B}, "input 'a' is list, it must be a numpy array of float32"),
        ({"a": None, "b": B}, "input 'a' is NoneType, it must be a numpy array of float32"),
        ([A, B], "the feeds are of type list: give a dict of arrays by input name"),
        (A, "the feeds are of type ndarray: give a dict of arrays by input name"),
        (None, "the feeds are of type NoneType: give a dict of arrays by input name"),
    ],
)
def test_feeds_that_do_not_fit(adder, feeds, says):
    for call in (lambda: adder.run(None, feeds), lambda: adder.profile(feeds)):
        with pytest.raises(octavo.RunError, match=re.escape(says)) as raised:
            call()
        assert isinstance(raised.value, ValueError)
    assert np.array_equal(adder.run(None, {"a": A, "b": B})[0], A + B)  # and it goes on


class Tensor:
    """An array of another library."""

    def __init__(self, array):
        self.array, self.dtype = array, f"torch.{array.dtype}"

    def __array__(self, dtype=None, copy=None):
        return self.array


def test_lists_and_arrays_of_other_libraries(adder):
    want = A + B
    for a in (A.tolist(), A.astype(int).tolist(), Tensor(A), [A[0], A[1]], [list(A[0]), A[1].tolist()]):
        [got] = adder.run(None, {"a": a, "b": B})
        assert got.dtype == np.float32
        assert np.array_equal(got, want)
    for wrong in (Tensor(A.astype(np.float64)), A.astype(bool).tolist(), [[1], [1, 2]], ["a"]):
        with pytest.raises(octavo.RunError, match=r"input 'a' is .*, it must be a numpy array of float32"):
            adder.run(None, {"a": wrong, "b": B})


@pytest.mark.parametrize(
    ("dtype", "good", "bad"),
    [
        ("i64", [[1, -(2**53) - 1]], [[1.0, 2.0], [True, False], [2**63, 1]]),
        ("i32", [[1, -(2**31)]], [[1.5, 2.0], [1, 2**31]]),
        ("u8", [[1, 255]], [[1, 256], [-1, 0]]),
        ("bool", [[True, False]], [[1, 0]]),
        ("f64", [[0.1, 2]], [["0.1", "2"]]),
        ("f16", [[0.1, 2]], [[True, False]]),
    ],
)
def test_numbers_in_lists_become_the_inputs_dtype(program_of_one_node, dtype, good, bad):
    x, y = Value("x", dtype, (2,)), Value("y", dtype, (2,))
    session = octavo.Session(program_of_one_node("Identity", [x], [y]), threads=1)
    for numbers in good:
        [got] = session.run(None, {"x": numbers})
        assert got.tolist() == np.array(numbers, got.dtype).tolist()
    for numbers in bad:
        with pytest.raises(octavo.RunError, match="is list"):
            session.run(None, {"x": numbers})


def test_calls_as_onnx_runtime_has_them(small):
    cpu = "CPUExecutionProvider"
    for providers in ([cpu], ["CUDAExecutionProvider", cpu], [(cpu, {"option": 1})], (cpu,), None):
        session = octavo.Session(small, providers=providers)
        assert session.get_providers() == [cpu]
        [y] = session.run(output_names=None, input_feed={"a": A, "b": B})
        assert np.array_equal(y, A + B)
    for providers, given in ((["CUDAExecutionProvider"], "CUDAExecutionProvider"), ([], "none"), ([3], "3")):
        with pytest.raises(octavo.RunError, match=f"providers are {given}: octavo runs on the CPU alone"):
            octavo.Session(small, providers=providers)
    for providers in (cpu, 3):
        with pytest.raises(TypeError, match="give a list, such as"):
            octavo.Session(small, providers=providers)


def arrangements(array):
    """The array in every arrangement that numpy has."""
    yield "C", np.ascontiguousarray(array)
    yield "Fortran", np.asfortranarray(array)
    wide = np.zeros((*array.shape[:-1], array.shape[-1] * 2 + 1), array.dtype)
    wide[..., 1::2] = array
    yield "strided", wide[..., 1::2]
    yield "reversed", np.ascontiguousarray(array[::-1, :, ::-1])[::-1, :, ::-1]
    raw = np.zeros(array.nbytes + 1, np.uint8)
    unaligned = raw[1:].view(array.dtype).reshape(array.shape)
    unaligned[:] = array
    yield "unaligned", unaligned
    frozen = array.copy()
    frozen.flags.writeable = False
    yield "read-only", frozen
    yield "read-only and strided", np.broadcast_to(array[:1], array.shape)
    yield "of a buffer", np.frombuffer(array.tobytes(), array.dtype).reshape(array.shape)
    yield "of a subclass", array.view(type("Array", (np.ndarray,), {}))
    yield "of the type's other name", array.astype(np.dtype("<f4"))


def test_every_arrangement_gives_the_same_answer(session, images):
    image = images(2, 12, 20)
    image[1] = image[0]  # for the arrangement that repeats it
    expected = session.run(None, {"x": image})
    for name, array in arrangements(image):
        before = array.tobytes()
        assert np.array_equal(array, image), name
        given = session.run(None, {"x": array})
        assert [g.tobytes() for g in given] == [e.tobytes() for e in expected], name
        assert array.tobytes() == before, name


def test_any_mapping_is_a_feed_and_is_left_alone(adder):
    feeds = {"a": A, "b": B}
    for given in (feeds, MappingProxyType(feeds), type("Dict", (dict,), {})(feeds)):
        assert np.array_equal(adder.run(None, given)[0], A + B)
    assert list(feeds) == ["a", "b"]
    assert feeds["a"] is A


def test_the_same_array_for_two_inputs(adder):
    assert np.array_equal(adder.run(None, {"a": A, "b": A})[0], A + A)


def test_an_output_as_the_next_input(adder):
    sums = A
    for turn in range(1, 5):
        [sums] = adder.run(None, {"a": sums, "b": B})
        assert np.array_equal(sums, A + turn * B)


def test_outputs_are_fresh(session, images):
    first = session.run(None, {"x": images(1, 16, 16, seed=1)})
    kept = [output.copy() for output in first]
    second = session.run(None, {"x": images(1, 16, 16, seed=2)})
    for output, copy, other in zip(first, kept, second, strict=True):
        assert np.array_equal(output, copy)
        assert not np.shares_memory(output, other)
        assert output.flags.owndata
        assert output.flags.writeable
        assert output.flags.c_contiguous
    first[0][:] = np.nan
    assert np.array_equal(session.run(None, {"x": images(1, 16, 16, seed=1)})[0], kept[0])


def test_names_pick_outputs_in_their_order(session, images):
    feed = {"x": images(2, 8, 8)}
    scores, codes = session.run(None, feed)
    assert (scores.shape, scores.dtype) == ((2, 10), np.float32)
    assert (codes.shape, codes.dtype) == ((2, 16, 8, 8), np.uint8)
    for names in (["codes"], ["codes", "scores"], ("scores",), ["codes", "codes"], []):
        want = [{"scores": scores, "codes": codes}[name] for name in names or ["scores", "codes"]]
        given = session.run(names, feed)
        assert isinstance(given, list)
        assert [g.tobytes() for g in given] == [w.tobytes() for w in want]
    with pytest.raises(
        octavo.RunError, match="'logits' is no output of the model; its outputs are: scores, codes"
    ):
        session.run(["logits"], feed)
    with pytest.raises(octavo.RunError, match="names is the text 'codes': give a list"):
        session.run("codes", feed)
    with pytest.raises(octavo.RunError, match="is no output of the model"):
        session.run(["\udcff"], feed)
    for names in ([3], [None], [b"codes"], 3, object()):
        with pytest.raises(TypeError, match=r"^names (holds|is of type) "):
            session.run(names, feed)


def test_an_empty_batch(adder, session, images):
    assert adder.run(None, {"a": A[:0], "b": B[:0]})[0].shape == (0, 2, 3)
    scores, codes = session.run(None, {"x": images(0, 8, 8)})
    assert (scores.shape, codes.shape) == ((0, 10), (0, 16, 8, 8))


def test_descriptions(session):
    [x] = session.get_inputs()
    assert (x.name, x.shape, x.type) == ("x", ["N", 3, "H", "W"], "tensor(float)")
    assert (x.scale, x.zero_point) == (None, None)
    scores, codes = session.get_outputs()
    assert (scores.name, scores.shape, scores.type) == ("scores", ["N", 10], "tensor(float)")
    assert (scores.scale, scores.zero_point) == (None, None)
    assert (codes.name, codes.shape, codes.type) == ("codes", ["N", 16, "H", "W"], "tensor(uint8)")
    assert (codes.scale, codes.zero_point) == (np.float32(0.05), 100)
    codes.shape.append(0)
    assert session.get_outputs()[1].shape == ["N", 16, "H", "W"]


def test_profiles_have_a_row_a_step(session, images):
    rows = session.profile({"x": images(2, 16, 16)})
    pixels = 2 * 16 * 16
    macs = {
        "first": 16 * 27 * pixels,
        "depthwise": 16 * 9 * pixels,
        "pointwise": 256 * pixels,
        "product": 320,
    }
    assert sum(row.macs for row in rows) == sum(macs.values())
    for name, count in macs.items():
        [row] = [row for row in rows if name in row.name and row.macs]
        assert row.macs == count
        assert row.op == ("QGemm" if name == "product" else "QConv")
        assert row.kernel.startswith(row.tier)
    for row in rows:
        assert row.name
        assert row.kernel
        assert row.tier in octavo.tiers()
        assert 0 <= row.seconds < 60


def test_many_shapes_do_not_pile_up(network_bytes):
    session = octavo.Session(network_bytes, threads=1)

    def run(widths):
        for width in widths:
            session.run(None, {"x": np.zeros((1, 3, 64, width), np.float32)})

    run(range(600, 630))  # more than are kept
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    run(range(500, 600))  # a plan of these has an arena of 2 MB
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 40 << 10


def test_no_memory_for_an_output(program_of_one_node):
    size = {"shape": np.array([2**45], np.int64)}
    program = program_of_one_node("Expand", [Value("x", "f32", (1,))], [Value("y", "f32", None)], size)
    session = octavo.Session(program, threads=1)
    with pytest.raises(octavo.RunError, match="memory"):
        session.run(None, {"x": np.ones(1, np.float32)})
