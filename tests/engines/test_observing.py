"""What sessions show of any value, integers as the reals that they stand for, against the reference."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import octavo
import octavo.reference
import pytest
from octavo import _core
from octavo.calibration import Statistics
from octavo.program import DTYPES, Node, Program, Quant, Value
from tier_coverage import compared

ALL = _core.statistics()
DEMO = Path(octavo.__file__).parent / "demo"
CAST = {"f16": 10, "f64": 11}


def reals(value, array):
    """The elements as float32, in float64 on the way."""
    if value.quant is None:
        with np.errstate(over="ignore"):
            return array.astype(np.float32)
    scale, zero = (part.astype(np.float64) for part in (value.quant.scale, value.quant.zero_point))
    if value.quant.axis is not None:
        block, length = value.quant.block or 1, array.shape[value.quant.axis]
        along = [length if axis == value.quant.axis else 1 for axis in range(array.ndim)]
        scale, zero = (np.repeat(part, block)[:length].reshape(along) for part in (scale, zero))
    return (scale * (array.astype(np.float64) - zero)).astype(np.float32)


def passed_on(arrays):
    """The statistics of these arrays of float32, which inputs of another session are."""
    values = {f"{n}{end}": Value(f"{n}{end}", "f32", None) for n in arrays for end in ("", "'")}
    nodes = [Node("Identity", n, (n,), (f"{n}'",)) for n in arrays]
    session = octavo.Session(Program(list(arrays), [f"{n}'" for n in arrays], values, {}, nodes), threads=1)
    kept = Statistics(list(arrays), ALL)
    session.observe(arrays, kept)
    return kept


def assert_seen(program, feeds, names=None):
    """Every tier shows of each value what the reference computes; the bytes of the statistics are equal."""
    made = [*program.inputs, *(name for node in program.nodes for name in node.outputs)]
    names = names or [
        n for n in made if program.values[n].quant or program.values[n].dtype in ("f16", "f32", "f64")
    ]
    arrays = octavo.reference.run(program, feeds, names)
    wanted = passed_on({n: reals(program.values[n], a) for n, a in zip(names, arrays, strict=True)})
    for isa in octavo.tiers():
        session = octavo.Session(program, threads=2, isa=isa)
        kept = Statistics(names, ALL)
        session.observe(feeds, kept)
        assert kept.to_bytes() == wanted.to_bytes(), isa
        compared.add(isa)
    return kept


def test_every_value_of_an_integer_program():
    """A network as quantize makes them: channels last, padded, joined with its Relu, pooled."""
    with np.load(DEMO / "calibration.npz") as file:
        images = file["images"][:12].reshape(-1, 1, 28, 28).astype(np.float32) / np.float32(255)
    program = octavo.quantize(DEMO / "mnist-cnn.onnx", images).program
    kept = assert_seen(program, {program.inputs[0]: images[:2]})
    assert len([v for v in program.values.values() if v.quant and v.name in kept.values]) == 4
    assert kept.read(program.inputs[0], "counts")["elements"] == images[:2].size


@pytest.mark.parametrize("channels", [1, 3, 5, 16, 30])
def test_a_convolution_between_scales_of_its_channels(build, channels):
    """The tensors lie with their channels last, and no lane of padding is shown."""
    rng = np.random.default_rng(channels)
    x = build.input("x", "f32", ("N", 3, 5, 7))
    q = build.node("Quantize", [x], scale=np.float32(0.02), zero_point=128)
    inputs = [
        q,
        build.constant("w", rng.integers(-127, 128, (channels, 3, 3, 3), np.int8)),
        build.constant("b", rng.integers(-500, 500, channels, np.int32)),
        build.constant("m", np.full(channels, 2**30 + 128, np.int32)),
        build.constant("s", np.full(channels, 39, np.int32)),
    ]
    square = {"strides": [1, 1], "pads": [1] * 4, "dilations": [1, 1], "group": 1}
    y = build.node("QConv", inputs, x_zero_point=128, y_zero_point=100, lo=0, hi=255, **square)
    program = build.program(build.node("MaxPool", [y], kernel_shape=[2, 2], **pool()))
    quant = Quant(
        np.linspace(0.01, 3, channels, dtype=np.float32), np.arange(channels).astype(np.int64) * 3, 1
    )
    for name in (y, program.outputs[0]):
        program.values[name] = replace(program.values[name], quant=quant)
    program.values[q] = replace(program.values[q], quant=Quant(np.array([0.02], "f4"), np.array([128])))
    assert_seen(
        program, {"x": rng.standard_normal((2, 3, 5, 7)).astype(np.float32)}, [y, q, *program.outputs]
    )


def pool():
    return {
        "strides": [1, 1], "pads": [0] * 4, "dilations": [1, 1], "ceil_mode": 0, "storage_order": 0,
    }  # fmt: skip


@pytest.mark.parametrize("dtype", ["u8", "i8", "i16", "i32", "i64"])
@pytest.mark.parametrize(("axis", "block", "count"), [(None, None, 1), (0, None, 4), (1, None, 6), (1, 4, 2)])
def test_integers_of_every_type(dtype, axis, block, count):
    rng = np.random.default_rng(0)
    info = np.iinfo(DTYPES[dtype])
    low, high = max(info.min, -(2**40)), min(info.max, 2**40)
    zero = rng.integers(max(low, -1000), min(high, 1000) + 1, count)
    quant = Quant(rng.uniform(1e-6, 3, count).astype(np.float32), zero, axis, block)
    values = {name: Value(name, dtype, ("N", 6, 5), quant) for name in ("x", "t")}
    values["y"] = Value("y", dtype, None)
    nodes = [
        Node("Identity", "i", ("x",), ("t",)), Node("Transpose", "p", ("t",), ("y",), {"perm": [0, 2, 1]})
    ]  # fmt: skip
    x = rng.integers(low, high, (4, 6, 5), DTYPES[dtype], endpoint=True)
    x.flat[:2] = low, high
    assert_seen(Program(["x"], ["y"], values, {}, nodes), {"x": x})


@pytest.mark.parametrize("dtype", CAST)
def test_other_floats_are_seen_as_float32(build, dtype):
    x = build.input("x", "f32", ("N",))
    y = build.node("Cast", [x], dtype, to=CAST[dtype])
    z = build.node("Mul", [y, y], dtype) if dtype == "f64" else build.node("Identity", [y], dtype)
    program = build.program(z)
    edges = [1e-45, -1e-45, 1e-7, -0.0, 0.1, 65519, 65520, 3e38, np.inf, -np.inf, np.nan]
    kept = assert_seen(program, {"x": np.array(edges, np.float32)})
    counts = kept.read(program.outputs[0], "counts")
    # 65520 and 3e38 are infinite as float16; the square of 3e38 is, as float32, though no float64.
    assert counts == {"elements": 11, "nans": 1, "infinities": 4 if dtype == "f16" else 3}


def test_names_that_no_value_has_or_that_stand_for_no_reals(build):
    x = build.input("x", "f32", ("N", 3))
    shape = build.node("Shape", [x], "i64", start=0)
    whether = build.node("Equal", [x, x], "bool")
    q = build.node("Quantize", [x], scale=np.float32(1), zero_point=0)
    session = octavo.Session(build.program(shape, whether, q), threads=1)
    feeds = {"x": np.zeros((2, 3), np.float32)}
    for name, says in (
        (shape, f"value '{shape}' is of i64 without a scale: it stands for no reals"),
        (whether, f"value '{whether}' is of bool without a scale"),
        (q, f"value '{q}' is of u8 without a scale"),
        ("z", "the model has no value 'z'"),
        ("\udcff", "the model has no value"),
    ):
        kept = Statistics(["x", name], ["counts"])
        with pytest.raises(octavo.RunError, match=f"^{says}"):
            session.observe(feeds, kept)
        assert kept.read("x", "counts")["elements"] == 0


def test_scales_that_the_shape_of_a_run_does_not_have():
    quant = Quant(np.ones(3, np.float32), np.zeros(3, np.int64), 1)
    values = {name: Value(name, "u8", ("N", "C"), quant) for name in "xy"}
    program = Program(["x"], ["y"], values, {}, [Node("Identity", "n", ("x",), ("y",))])
    session, kept = octavo.Session(program, threads=1), Statistics(["x"], ["counts"])
    session.observe({"x": np.zeros((2, 3), np.uint8)}, kept)
    with pytest.raises(octavo.RunError, match=r"'x' of shape \[2, 4\] has 3 scales on axis 1"):
        session.observe({"x": np.zeros((2, 4), np.uint8)}, kept)
    assert kept.read("x", "counts")["elements"] == 6


@pytest.mark.parametrize("given", [None, ["x"], "x", {}])
def test_statistics_of_another_type(build, given):
    session = octavo.Session(build.program(build.input("x", "f32", ("N",))), threads=1)
    says = f"statistics is of type {type(given).__name__}: give an octavo.calibration.Statistics"
    with pytest.raises(TypeError, match=says):
        session.observe({"x": np.zeros(1, np.float32)}, given)
