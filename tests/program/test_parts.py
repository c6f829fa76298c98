"""Every part of a Program is of the type and within the bounds that it states, on both sides of each."""

from dataclasses import replace

import numpy as np
import pytest
from octavo.errors import ArtifactError
from octavo.program import DTYPES, Node, Program, Quant, Value
from octavo.program.validate import MAX_RANK, attribute_kind, validate

F = np.float32


@pytest.fixture
def program():
    values = {name: Value(name, "f32", (2, "N")) for name in "xy"}
    return Program(["x"], ["y"], values, {}, [Node("Relu", "node", ("x",), ("y",), {})])


def refused(program, says):
    with pytest.raises(ArtifactError) as raised:
        validate(program)
    assert str(raised.value).startswith("the program is not valid: ")
    assert says in str(raised.value)


def test_the_program_itself(program):
    validate(program)
    for other in (None, [program], {"nodes": []}):
        with pytest.raises(TypeError, match="a Program is needed, not an object of type"):
            validate(other)


NODE = Node("Relu", "node", ("x",), ("y",), {})
X = Value("x", "f32", (2, "N"))


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ({"inputs": "x"}, "its inputs are of type str, not a list"),
        ({"outputs": {"y": 1}}, "its outputs are of type dict, not a list"),
        ({"inputs": [b"x"]}, "its inputs hold b'x', which is no text"),
        ({"outputs": [1]}, "its outputs hold 1, which is no text"),
        ({"values": [X]}, "its values are of type list, not a dict"),
        ({"constants": []}, "its constants are of type list, not a dict"),
        ({"values": {"x": X, "y": "f32"}}, "its values hold 'y' of type str"),
        ({"values": {"x": X, 1: X}}, "its values hold 1 of type Value"),
        ({"constants": {"c": [1.0]}}, "its constants hold 'c' of type list"),
        ({"constants": {1: np.zeros(1)}}, "its constants hold 1 of type ndarray"),
        ({"nodes": {"n": NODE}}, "its nodes are of type dict, not a list"),
        ({"nodes": [("Relu",)]}, "a node is of type tuple"),
        ({"producer": None}, "its producer is no text, or its opset no integer"),
        ({"preprocessing": None}, "its preprocessing is no text"),
        ({"opset": 25.0}, "its producer is no text, or its opset no integer"),
        ({"opset": True}, "its producer is no text, or its opset no integer"),
        ({"opset": 24}, "its opset is 24, this octavo has 25"),
        ({"opset": 26}, "its opset is 26, this octavo has 25"),
        ({"nodes": [replace(NODE, op=1)]}, "the op 1 or the name 'node' of a node is no text"),
        ({"nodes": [replace(NODE, name=None)]}, "the op 'Relu' or the name None of a node is no text"),
        ({"nodes": [replace(NODE, inputs="x")]}, "the inputs of the Relu node 'node' are of type str"),
        ({"nodes": [replace(NODE, outputs=None)]}, "outputs of the Relu node 'node' are of type NoneType"),
        ({"nodes": [replace(NODE, inputs=(None,))]}, "the inputs of the Relu node 'node' hold None"),
        ({"nodes": [replace(NODE, attributes=[])]}, "the attributes of the Relu node 'node' are no dict"),
        ({"values": {"x": replace(X, name=1)}}, "the value 'x' has a name or a dtype that is no text"),
        ({"values": {"x": replace(X, dtype=F)}}, "the value 'x' has a name or a dtype that is no text"),
        ({"values": {"x": replace(X, shape=[2])}}, "the value 'x' has a shape that is no tuple"),
        ({"values": {"x": replace(X, quant=0.5)}}, "or a quant that is no Quant"),
        ({"values": {"x": replace(X, name="z")}}, "the value 'x' has no name, or another one"),
        ({"values": {"": replace(X, name="")}}, "the value '' has no name, or another one"),
        ({"values": {"x": replace(X, dtype="bf16")}}, "the value 'x' is of the unknown dtype 'bf16'"),
        ({"inputs": ["x", "q"]}, "the value 'q' is used but not described"),
        ({"outputs": ["q"]}, "the value 'q' is used but not described"),
        ({"nodes": [replace(NODE, inputs=("q",))]}, "the value 'q' is used but not described"),
        ({"nodes": [replace(NODE, outputs=("q",))]}, "the value 'q' is used but not described"),
        ({"inputs": ["x", "x"]}, "the input 'x' is listed twice, or is a constant"),
        ({"inputs": []}, "the Relu node 'node' reads 'x' before it is made"),
        ({"inputs": ["x", "y"]}, "the Relu node 'node' makes 'y', which is already defined"),
        ({"nodes": []}, "nothing makes the value 'y'"),
        ({"outputs": ["y", "y"]}, "an output is listed twice"),
        ({"outputs": []}, "it has no outputs"),
        ({"nodes": [replace(NODE, op="Rely")]}, "the node 'node' is of the unknown op 'Rely'"),
        ({"nodes": [replace(NODE, inputs=("x", "x"))]}, "cannot have 2 inputs"),
        ({"nodes": [replace(NODE, inputs=("",))]}, "lacks its input 'x'"),
        ({"nodes": [replace(NODE, outputs=("y", ""))]}, "cannot have 2 outputs"),
        ({"nodes": [replace(NODE, outputs=("",))]}, "nothing makes the value 'y'"),
        ({"nodes": [replace(NODE, attributes={"alpha": F(1)})]}, "has the unknown attribute 'alpha'"),
        ({"nodes": [replace(NODE, op="Elu")]}, "lacks the attribute 'alpha'"),
        ({"nodes": [replace(NODE, op="Elu", attributes={"alpha": 1})]}, "is of type int, not f32"),
        ({"nodes": [replace(NODE, op="Elu", attributes={"alpha": 1.0})]}, "is of type float, not f32"),
        ({"nodes": [replace(NODE, op="Elu", attributes={"alpha": np.float64(1)})]}, "type f64, not f32"),
        ({"nodes": [replace(NODE, op="Softmax", attributes={"axis": True})]}, "is of type bool, not int"),
        ({"nodes": [replace(NODE, op="Softmax", attributes={"axis": 2**63})]}, "is of type int, not int"),
    ],
)  # fmt: skip
def test_what_is_no_part_of_a_program(program, change, says):
    refused(replace(program, **change), says)


@pytest.mark.parametrize(
    ("attribute", "kind"),
    [
        (0, "int"), (2**63 - 1, "int"), (-(2**63), "int"), (2**63, None), (-(2**63) - 1, None), (True, None),
        ("", "str"), (b"", None), (F(1), "f32"), (np.float64(1), "f64"), (1.0, None), (np.int64(1), None),
        ([], "ints"), ([1, -(2**63)], "ints"), ([1, 2**63], None), ([-(2**63) - 1], None), ([True], None),
        ([F(1), F(2)], "f32s"), ([F(1), 2], None), ([1.0], None), (["a"], None), ((1, 2), None), (None, None),
    ],
)  # fmt: skip
def test_kinds_of_attributes(attribute, kind):
    assert attribute_kind(attribute) == kind


@pytest.mark.parametrize("dtype", DTYPES)
def test_the_largest_shape(program, dtype):
    """Fewer than 2^63 bytes, axes of no elements and free ones left out; at most MAX_RANK axes."""

    def of(*shape):
        return replace(program, values=program.values | {"x": Value("x", dtype, shape)})

    def size_of(program):
        try:
            validate(program)
        except ArtifactError as error:
            return "the shape of the value 'x' is too large" not in str(error)
        return True

    width = DTYPES[dtype].itemsize
    for shape, fits in (
        ((2**62 // width, 1), True),
        ((2**62 // width, 2), False),
        ((2**63 // width - 1,), True),
        ((2**63 // width,), False),
        ((2**62 // width, 0), True),
        ((2**62 // width, 2, 0), False),
        ((2**62 // width, "N"), True),
        ((1,) * MAX_RANK, True),
        (("N",) * MAX_RANK, True),
        ((1,) * (MAX_RANK + 1), False),
        (("N",) * (MAX_RANK + 1), False),
        (None, True),
    ):
        given = (
            of(*shape) if shape else replace(program, values=program.values | {"x": Value("x", dtype, None)})
        )
        assert size_of(given) == fits, shape


@pytest.mark.parametrize("axis", [-1, True, 1.0, None, "", np.int64(1)])
def test_axes_that_are_none(program, axis):
    values = program.values | {"x": Value("x", "f32", (2, axis))}
    refused(replace(program, values=values), "an axis that is no size and no symbol")


def quant(scale=(0.5,), zero=(3,), axis=None, block=None, kind=F, of=np.int64):
    return Quant(np.array(scale, kind), np.array(zero, of), axis, block)


QUANTS = [
    ("u8", (6,), quant(), ""),
    ("i8", (6,), quant(zero=(-128,)), ""),
    ("i8", (6,), quant(zero=(-129,)), "a zero point of the value 'q' is outside -128..127"),
    ("i8", (6,), quant(zero=(127,)), ""),
    ("i8", (6,), quant(zero=(128,)), "outside -128..127"),
    ("u8", (6,), quant(zero=(255,)), ""),
    ("u8", (6,), quant(zero=(256,)), "outside 0..255"),
    ("u8", (6,), quant(zero=(0,)), ""),
    ("u8", (6,), quant(zero=(-1,)), "outside 0..255"),
    ("f32", (6,), quant(), "the value 'q' is no integer but has a scale"),
    ("bool", (6,), quant(), "is no integer but has a scale"),
    ("u8", (6,), Quant([0.5], np.array([3])), "is no array"),
    ("u8", (6,), Quant(np.array([0.5], F), [3]), "is no array"),
    ("u8", (6,), quant(axis=0.0), "the axis or block of the value 'q' is no integer"),
    ("u8", (6,), quant(axis=0, block=2.0), "the axis or block of the value 'q' is no integer"),
    ("u8", (6,), quant(scale=((0.5,),), zero=((3,),)), "must be vectors of one length"),
    ("u8", (6,), quant(zero=(3, 3)), "must be vectors of one length"),
    ("u8", (6,), quant(scale=0.5, zero=3), "must be vectors of one length"),
    ("u8", (6,), quant(scale=(), zero=()), "the value 'q' has 0 scales"),
    ("u8", (2,), quant(scale=(1, 1), zero=(0, 0)), "the value 'q' has 2 scales"),
    ("u8", (6,), quant(kind=np.float64), "is not a positive float32"),
    ("u8", (6,), quant(scale=(0,)), "is not a positive float32"),
    ("u8", (6,), quant(scale=(-1,)), "is not a positive float32"),
    ("u8", (6,), quant(scale=(np.inf,)), "is not a positive float32"),
    ("u8", (6,), quant(scale=(np.nan,)), "is not a positive float32"),
    ("u8", (2,), quant(scale=(1, 0), zero=(0, 0), axis=0), "is not a positive float32"),
    ("u8", (2,), quant(scale=(1, 1), zero=(0, 300), axis=0), "outside 0..255"),
    ("u8", (6,), quant(of=np.float64), "are float64, not integers"),
    ("u8", (6,), quant(block=2), "has a block without an axis, or of no elements"),
    ("u8", (6,), quant(axis=0, block=0), "has a block without an axis, or of no elements"),
    ("u8", (6,), quant(axis=0, block=-1), "has a block without an axis, or of no elements"),
    ("u8", (3, 2), quant(scale=(1, 1), zero=(0, 0), axis=1), ""),
    ("u8", (3, 2), quant(scale=(1, 1), zero=(0, 0), axis=0), "the value 'q' has 2 scales for an axis of 3"),
    ("u8", (3, 2), quant(scale=(1, 1), zero=(0, 0), axis=2), "the value 'q' has no axis 2 for its scales"),
    ("u8", (3, 2), quant(scale=(1, 1), zero=(0, 0), axis=-1), "the value 'q' has no axis -1 for its scales"),
    ("u8", ("N", 2), quant(scale=(1, 1), zero=(0, 0), axis=0), ""),
    ("u8", None, quant(scale=(1, 1), zero=(0, 0), axis=9), ""),
    ("u8", (4,), quant(scale=(1, 1), zero=(0, 0), axis=0, block=2), ""),
    ("u8", (3,), quant(scale=(1, 1), zero=(0, 0), axis=0, block=2), ""),
    ("u8", (5,), quant(scale=(1, 1), zero=(0, 0), axis=0, block=2), "has 2 scales for an axis of 5"),
    ("u8", (2,), quant(scale=(1, 1), zero=(0, 0), axis=0, block=2), "has 2 scales for an axis of 2"),
    ("u8", (1,), quant(scale=(1,), zero=(0,), axis=0, block=9), ""),
]  # fmt: skip


@pytest.mark.parametrize(("dtype", "shape", "form", "says"), QUANTS)
def test_scales_and_zero_points(program, dtype, shape, form, says):
    values = program.values | {"q": Value("q", dtype, shape, form)}
    given = replace(program, values=values, inputs=["x", "q"])
    if says:
        refused(given, says)
    else:
        validate(given)


@pytest.mark.parametrize(
    ("array", "shape", "says"),
    [
        (np.zeros(2, F), (2,), ""),
        (np.zeros(2, F), (3,), "the constant 'c' is float32 (2,), its value f32 (3,)"),
        (np.zeros(2, F), (2, 1), "the constant 'c' is float32 (2,)"),
        (np.zeros(2, F), None, "the constant 'c' is float32 (2,)"),
        (np.zeros(2, ">f4"), (2,), "the constant 'c' is >f4 (2,)"),
        (np.zeros(2), (2,), "the constant 'c' is float64 (2,)"),
    ],
)
def test_constants_are_as_their_values_say(program, array, shape, says):
    given = replace(program, values=program.values | {"c": Value("c", "f32", shape)}, constants={"c": array})
    if says:
        refused(given, says)
    else:
        validate(given)


@pytest.mark.parametrize("byte", [0, 1, 2, 255])
def test_bools_are_of_0_and_1(program, byte):
    constant = np.array([0, byte, 1], np.uint8).view(np.bool_)
    given = replace(
        program, values=program.values | {"c": Value("c", "bool", (3,))}, constants={"c": constant}
    )
    if byte > 1:
        refused(given, "the constant 'c' of bool has a byte that is neither 0 nor 1")
    else:
        validate(given)


def test_a_constant_without_a_value(program):
    refused(replace(program, constants={"c": np.zeros(2, F)}), "the constant 'c' is no value")
