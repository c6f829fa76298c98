"""Every operator on inputs of rank 0 to 6 with attributes at their extremes: an answer, or an error of ours.

No panic of the runtime may hide behind an error, and what both the runtime and the reference answer is the
same.
"""

import numpy as np
import octavo
import octavo.reference
import pytest
from octavo.program import DTYPES, Node, Program, Value
from octavo.program.checks import ONNX_DTYPES
from octavo.program.integers import ACTIVATIONS
from octavo.program.ops import DTYPE_SETS, marked, signatures

CASES = 24
"""Programs of each operator."""

EXTREMES = (0, 1, 2, -1, 3, 255, 256, 2**30, 2**31 - 1, -(2**31), 2**40, 2**62, 2**63 - 1, -(2**63))
FLOATS = (0.0, 1.0, -1.0, 1e-38, 1e30, np.inf, -np.inf, np.nan)
PLAIN = {"multiplier": 2**30 + 128, "shift": 20, "lo": 0, "hi": 255}


PLAIN_INTEGERS = ("u8", "i8", "i16", "i32")
RUN = {"W": PLAIN_INTEGERS, "Z": PLAIN_INTEGERS}
"""Of the dtypes of integer ops, those that kernels are there for, and that can be fed."""


class Draw:
    """Parts of a Program of one node; the same for the same seed."""

    def __init__(self, op, seed):
        self.rng = np.random.default_rng([seed, *op.encode()])
        self.op = op
        self.form = self.one(signatures()[op])
        self.rank = int(self.rng.integers(0, 7))
        self.sizes = self.one(((0, 1, 1, 2), (1, 2, 3)))
        self.shape = self.numbers(self.sizes, self.rank)
        self.wild = bool(self.rng.integers(0, 2))
        self.dtypes = {}

    def one(self, options):
        return options[int(self.rng.integers(0, len(options)))]

    def numbers(self, options, count):
        return tuple(self.one(options) for _ in range(count))

    def chance(self, share):
        return self.rng.random() < share

    def dtype(self, slot):
        if slot.dtype not in DTYPE_SETS:
            return slot.dtype
        if slot.dtype == "S":  # what the sums of the input need, as all but hostile nodes have it
            return ACTIVATIONS[self.dtypes.get("Q", "u8")].accumulator
        return self.dtypes.setdefault(slot.dtype, self.one(RUN.get(slot.dtype, DTYPE_SETS[slot.dtype])))

    def shape_of(self, slot, place):
        if self.chance(0.15):
            return self.numbers(self.sizes, int(self.rng.integers(0, 7)))
        if slot.name == "table":
            return (ACTIVATIONS[self.dtypes.get("Q", "u8")].count,)
        if slot.name == "sums":
            return (*self.shape[:-1], 2)
        if place == 0 and self.form.inputs[-1].name == "sums":
            return (*self.shape[:-1], *(2 * n for n in self.shape[-1:]))  # digits
        if slot.name == "w" and self.op != "QGemm":
            return (2, *self.shape[1:2], *self.numbers((1, 2), max(self.rank - 2, 0)))
        if slot.name in ("bias", "multiplier", "shift", "scale", "mean", "var"):
            return (2,) if self.op in marked("weighs") else self.shape[1:2]
        if place == 0 or self.dtype(slot) not in ("i64", "i32"):
            return self.shape
        return self.one(((), (1,), (2,), (self.rank,), (2 * self.rank,), self.shape))

    def array(self, slot, shape):
        dtype = DTYPES[self.dtype(slot)]
        if slot.name in ("multiplier", "shift"):
            return np.full(shape, PLAIN[slot.name], dtype)
        if slot.name == "table" and dtype == np.int32:
            return np.linspace(1 << 22, 0, 256).astype(dtype)
        array = np.asarray(self.rng.integers(0 if dtype.kind in "ub" else -2, 4, shape)).astype(dtype)
        if self.wild and array.size and self.chance(0.3):
            extreme = self.one(FLOATS) if dtype.kind == "f" else self.one(EXTREMES)
            with np.errstate(over="ignore"):
                array[...] = np.array(extreme).astype(dtype)
        return array

    def attribute(self, name, is_wild):
        slot = self.form.attributes[name]
        kind = slot.kind
        if kind == "str":
            return self.one((*slot.choices, *["", "bogus"] * is_wild))
        if kind == "int":
            least, greatest = slot.limits or (0, 1)
            plain = self.one((least, least, min(least + 1, greatest)))
            if name.endswith("zero_point") and self.dtypes.get("Q") == "i16":
                plain = 0
            return self.one(EXTREMES) if is_wild else PLAIN.get(name, plain)
        if kind == "ints":
            axes = max(self.rank - 2, 0)
            count = self.one((0, 1, 3, 40)) if is_wild else 2 * axes if name == "pads" else axes
            if name == "perm" and not is_wild:
                return [int(axis) for axis in self.rng.permutation(self.rank)]
            return list(self.numbers(EXTREMES if is_wild else (0, 1) if "pad" in name else (1, 2), count))
        if kind == "f32s":
            return [np.float32(x) for x in self.numbers(FLOATS, 2)]
        return (np.float64 if kind == "f64" else np.float32)(self.one(FLOATS) if is_wild else 0.5)

    def program(self):
        """The Program and what it is fed."""
        values, constants, feeds, inputs = {}, {}, {}, []
        slots = [slot for slot in self.form.inputs for _ in range(1 + slot.variadic * self.one((0, 1, 2)))]
        for place, slot in enumerate(slots):
            if slot.optional and self.chance(0.4):
                inputs.append("")
                continue
            name = f"in{place}"
            array = self.array(slot, self.shape_of(slot, place))
            known = slot.constant or (place > 0 and array.dtype.kind == "i" and self.chance(0.6))
            (constants if known else feeds)[name] = array
            values[name] = Value(name, self.dtype(slot), array.shape if known or self.chance(0.3) else None)
            inputs.append(name)
        while inputs and not inputs[-1]:
            inputs.pop()
        outputs = [
            f"out{place}"
            for place, slot in enumerate(self.form.outputs)
            if not slot.optional or self.chance(0.5)
        ]
        values |= {
            name: Value(name, self.dtype(slot), None)
            for name, slot in zip(outputs, self.form.outputs, strict=False)
        }
        names = [name for name, slot in self.form.attributes.items() if not slot.optional or self.chance(0.5)]
        if {"pads", "auto_pad"} <= self.form.attributes.keys() and self.chance(0.9):
            pads = self.one(("pads", "auto_pad"))  # one of them, as all but hostile nodes have it
            names = [*(name for name in names if name not in ("pads", "auto_pad")), pads]
        wild = self.one(names) if names and self.wild else None
        attributes = {name: self.attribute(name, name == wild) for name in names}
        if self.op == "Cast":
            attributes["to"] = ONNX_DTYPES[values[outputs[0]].dtype]
        node = Node(self.op, "the node", tuple(inputs), tuple(outputs), attributes)
        return Program(list(feeds), outputs, values, constants, [node]), feeds


def answer(run):
    """The outputs, or None and the text of the error, which is never a panic's."""
    try:
        return run(), ""
    except octavo.Error as error:
        text = str(error)
        assert "internal" not in text, text
        assert text.isprintable()
        return None, text


@pytest.mark.parametrize("op", sorted(signatures()))
def test_extremes(op):
    answered = 0
    for seed in range(CASES):
        program, feeds = Draw(op, seed).program()
        given, text = answer(lambda: octavo.Session(program, threads=1 + seed % 2).run(None, feeds))  # noqa: B023
        if given is None:
            assert "node" in text or "'in" in text or '"in' in text or "out0" in text, text
            continue
        answered += 1
        wanted, text = answer(lambda: octavo.reference.run(program, feeds))  # noqa: B023
        assert wanted is not None, text
        for ours, theirs in zip(given, wanted, strict=True):
            np.testing.assert_array_equal(ours, theirs, strict=True)
    if op not in SELDOM:
        assert answered, "no case of this operator came to run"


# fmt: off
SELDOM = {
    "BatchNormalization", "Col2Im", "Conv", "ConvTranspose", "DepthToSpace", "EyeLike", "GridSample",
    "GroupNormalization", "If", "InstanceNormalization", "Loop", "MaxUnpool", "NonMaxSuppression", "OneHot",
    "Pad", "QConv", "QConvTranspose", "QGemm", "Resize", "RoiAlign", "ScatterElements", "ScatterND",
    "SpaceToDepth", "Split", "TensorScatter", "TopK",
}
# fmt: on
"""Operators whose inputs, or bodies, must fit together so closely that these cases hardly ever run."""
