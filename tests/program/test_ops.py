"""The table of ops: whole, and the same in the runtime."""

import re
from pathlib import Path

import pytest
from octavo.program import DTYPES, PACKED, ops
from octavo.program.bodies import BODIES
from octavo.program.ops import ATTRIBUTE_KINDS, DTYPE_SETS, AttributeSlot, Slot, marked, signatures
from octavo.reference import INTEGER_OPS, OPERATIONS
from octavo.reference.control import CONTROL_OPS

RUST = Path(__file__).resolve().parents[2] / "rust/runtime/src/program"


def test_the_runtime_holds_the_same_table():
    """The copies differ: make format copies the runtime's."""
    assert (RUST / "ops.txt").read_bytes() == Path(ops.__file__).with_name("ops.txt").read_bytes()


def test_the_runtime_has_the_same_ops():
    (names,) = re.findall(r"\nops! \{\n(.*?)\}", (RUST / "op.rs").read_text(), re.DOTALL)
    assert [name.strip() for name in names.split(",") if name.strip()] == list(signatures())


def test_every_type_of_the_table_is_known():
    for forms in signatures().values():
        for form in forms:
            for slot in (*form.inputs, *form.outputs):
                assert slot.dtype in DTYPES or slot.dtype in DTYPE_SETS
                assert not slot.variadic or slot in (form.inputs[-1], form.outputs[-1])
            for slot in form.attributes.values():
                assert slot.kind in ATTRIBUTE_KINDS
                assert slot.limits is None or slot.kind in ("int", "ints")
                assert not slot.choices or slot.kind == "str"
    for dtypes in DTYPE_SETS.values():
        assert {*dtypes} <= {*DTYPES, *PACKED}
        assert len(dtypes) == len({*dtypes})


# What follows was read from the text by eye.
READ = {
    ("Resize", "mode"): AttributeSlot("str", False, ("nearest", "linear", "cubic"), None),
    ("Conv", "auto_pad"): AttributeSlot("str", True, ("SAME_UPPER", "SAME_LOWER"), None),
    ("Conv", "group"): AttributeSlot("int", False, (), (1, 2147483647)),
    ("Col2Im", "pads"): AttributeSlot("ints", True, (), (0, 2147483647)),
    ("QAdd", "a_multiplier"): AttributeSlot("int", False, (), (-32767, 32767)),
    ("LpNormalization", "p"): AttributeSlot("int", False, (), (1, 2)),
    ("TopK", "largest"): AttributeSlot("int", False, (), (0, 1)),
    ("Softmax", "axis"): AttributeSlot("int", False, (), None),
    ("Shape", "end"): AttributeSlot("int", True, (), None),
}


@pytest.mark.parametrize(("op", "name"), READ)
def test_what_an_attribute_may_be(op, name):
    assert signatures()[op][0].attributes[name] == READ[op, name]


def test_slots():
    _, by_tensors = signatures()["Dequantize"]
    assert by_tensors.inputs[2] == Slot("zero_point", "Z", True, True, False, False)
    assert signatures()["Split"][0].outputs == (Slot("outputs", "T", False, False, True, False),)
    assert signatures()["If"][0].outputs == (Slot("y", "T", False, True, True, True),)


def test_marks():
    assert marked("reshapes") == ("Reshape", "Flatten", "Squeeze", "Unsqueeze")
    assert {"Abs", "Gelu", "Clip"} <= {*marked("unary")}
    assert not {*marked("unary")} & {*marked("elementwise"), *marked("pairwise"), *marked("moves")}
    with pytest.raises(KeyError, match="~moved"):
        marked("moved")


@pytest.mark.parametrize(
    "attribute", ["p", "p:int[..2]", "p:int[1-2]", "p:str{a b}", "p:int??", "~unary p:int"]
)
def test_an_attribute_that_cannot_be_read_is_an_error(attribute):
    with pytest.raises(ValueError, match="cannot be read"):
        ops._signature(f"Op(x:f32) -> y:f32 | {attribute}")


@pytest.mark.parametrize("line", ["Op(x:f32) -> y:f32", "Op(x) -> y:f32 |", "Op(x:f32?!) -> y:f32 |", "Op x"])
def test_a_line_that_cannot_be_read_is_an_error(line):
    with pytest.raises(ValueError, match="cannot be read"):
        ops._signature(line)


def test_forms_of_an_op_differ_in_how_many_inputs_they_take_or_in_what_they_make():
    for forms in signatures().values():
        for count in range(10):
            fitting = [form for form in forms if form.accepts(count)]
            for dtype in DTYPE_SETS["T"] if len(fitting) > 1 else ():
                assert sum(form.makes(dtype) for form in fitting) <= 1


def test_the_reference_runs_every_op_of_the_table_and_no_other():
    assert signatures().keys() == OPERATIONS.keys() | INTEGER_OPS.keys() | CONTROL_OPS.keys()


def test_the_ops_with_bodies_are_those_that_run_some():
    assert {*marked("runs")} == BODIES.keys()
