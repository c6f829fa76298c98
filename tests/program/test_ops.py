"""The table of ops: whole, and the same in the runtime."""

import re
from pathlib import Path

from octavo.program import DTYPES
from octavo.program.ops import ATTRIBUTE_KINDS, DTYPE_SETS, TABLE, signatures
from octavo.reference import INTEGER_OPS, OPERATIONS

RUST = Path(__file__).resolve().parents[2] / "rust/runtime/src/program"


def test_the_runtime_holds_the_same_table():
    text = (RUST / "signature.rs").read_text()
    (table,) = re.findall(r'const TABLE: &str = "\n(.*?)";', text, re.DOTALL)
    assert table.split("\n") == [*TABLE.strip("\n").split("\n"), ""]


def test_the_runtime_has_the_same_ops():
    (names,) = re.findall(r"\nops! \{\n(.*?)\}", (RUST / "op.rs").read_text(), re.DOTALL)
    assert [name.strip() for name in names.split(",") if name.strip()] == list(signatures())


def test_every_type_of_the_table_is_known():
    for forms in signatures().values():
        for form in forms:
            for slot in (*form.inputs, *form.outputs):
                assert slot.dtype in DTYPES or slot.dtype in DTYPE_SETS
                assert not slot.variadic or slot in (form.inputs[-1], form.outputs[-1])
            assert all(kind in ATTRIBUTE_KINDS for kind, _ in form.attributes.values())


def test_forms_of_an_op_differ_in_how_many_inputs_they_take_or_in_what_they_make():
    for forms in signatures().values():
        for count in range(10):
            fitting = [form for form in forms if form.accepts(count)]
            for dtype in DTYPE_SETS["T"] if len(fitting) > 1 else ():
                assert sum(form.makes(dtype) for form in fitting) <= 1


def test_the_reference_runs_every_op_of_the_table_and_no_other():
    assert signatures().keys() == OPERATIONS.keys() | INTEGER_OPS.keys()
