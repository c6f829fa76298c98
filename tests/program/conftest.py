"""Programs to save and to damage, and the forging of artifacts."""

import json
import zlib

import numpy as np
import pytest
from octavo.program import DTYPES, Body, Node, Program, Quant, Value
from octavo.program.integers import pack

MARK = rb"crc32\":\""


def add_constant(values, constants, name, array, quant=None):
    dtype = next(key for key, dtype in DTYPES.items() if dtype == array.dtype)
    values[name] = Value(name, dtype, array.shape, quant)
    constants[name] = array


@pytest.fixture
def every_encoding():
    """A small valid Program with each dtype, kind of attribute and kind of shape that the format has."""
    values, constants = {}, {}
    per_channel = Quant(np.array([0.5, 0.25], np.float32), np.zeros(2, np.int64), axis=0)
    weights = np.array([-127, 5, 0, 1, 127, -3], np.int8).reshape(2, 3, 1, 1)
    add_constant(values, constants, "weights", weights, per_channel)
    add_constant(values, constants, "bias", np.array([100, -100], np.int32))
    add_constant(values, constants, "multiplier", np.array([2**30 + 128, 2**31 - 128], np.int32))
    add_constant(values, constants, "shift", np.array([40, 1], np.int32))
    add_constant(values, constants, "table", np.arange(255, -1, -1, dtype=np.uint8))
    add_constant(values, constants, "shape", np.array([0, -1], np.int64))
    add_constant(values, constants, "empty", np.zeros((0, 3), np.float64))
    for dtype in ("f16", "f32", "f64", "i16", "bool"):
        add_constant(values, constants, f"scalar {dtype}", np.array(1, DTYPES[dtype]))
    fine = Quant(np.array([0.1], np.float32), np.array([3]))
    for name, dtype, shape, quant in (
        ("x", "f32", ("N", 3, "höhe", 4), None),
        ("q", "u8", ("N", 3, "höhe", 4), fine),
        ("c", "u8", None, fine),
        ("p", "u8", None, fine),
        ("l", "u8", None, None),
        ("y", "u8", ("N", "flat"), fine),
        ("r", "f32", None, None),
    ):
        values[name] = Value(name, dtype, shape, quant)
    clamp = {"x_zero_point": 3, "y_zero_point": 7, "lo": 7, "hi": 200}
    window = {"strides": [1, 1], "pads": [0, 1, 0, 1], "dilations": [1, 1]}
    pool = {"kernel_shape": [2, 2], "ceil_mode": 0, "count_include_pad": 1, "ratio": np.float64(1 / 3)}
    nodes = [
        Node("Quantize", "quantize", ("x",), ("q",), {"scale": np.float32(0.1), "zero_point": 3}),
        Node(
            "QConv",
            'conv "1" \\ ☃',
            ("q", "weights", "bias", "multiplier", "shift"),
            ("c",),
            {**window, **clamp, "group": 1},
        ),
        Node("QAveragePool", "pool", ("c",), ("p",), {**window, **clamp, **pool}),
        Node("Lookup", "", ("p", "table"), ("l",)),
        Node("Reshape", "reshape", ("l", "shape"), ("y",), {"allowzero": 0}),
        Node(
            "Resize",
            "resize",
            ("x", "", "", "sizes"),
            ("r",),
            {
                "mode": "nearest",
                "coordinate_transformation_mode": "asymmetric",
                "nearest_mode": "floor",
                "keep_aspect_ratio_policy": "stretch",
                "extrapolation_value": np.float32("-inf"),
                "axes": [2, 3],
            },
        ),
    ]
    add_constant(values, constants, "sizes", np.array([2, 2], np.int64))
    values["packed"] = Value("packed", "i3", (3, 2, 1))
    constants["packed"] = pack(np.array([-4, 3, -1, 0, 2, 1]).reshape(3, 2, 1), "i3")
    add_constant(values, constants, "scales", np.array([[[0.5], [0.25]], [[2], [1]]], np.float32))
    values["unpacked"] = Value("unpacked", "f32", (3, 2, 1))
    nodes.append(
        Node("Dequantize", "unpack", ("packed", "scales"), ("unpacked",), {"axis": 0, "block": 2}),
    )
    more_weights = np.array([-127, 64, 1, 5, -9, 127, 127, 0, 0], np.int8).reshape(3, 3, 1, 1)
    more = Quant(np.array([0.03, 0.5, 2.0], np.float32), np.zeros(3, np.int64), axis=0)
    add_constant(values, constants, "more weights", more_weights, more)
    add_constant(values, constants, "more bias", np.array([1, 0, -1], np.int32))
    values["d"] = Value("d", "u8", None, fine)
    # As 0.1 * 0.03 / 0.1 and the like give them, so that the file does not hold them.
    add_constant(
        values, constants, "more multiplier", np.array([2061584256, 2**30 + 128, 2**30 + 128], np.int32)
    )
    add_constant(values, constants, "more shift", np.array([36, 31, 29], np.int32))
    reads = ("q", "more weights", "more bias", "more multiplier", "more shift")
    nodes.append(Node("QConv", "more", reads, ("d",), {**window, **clamp, "group": 1}))
    integers = np.arange(-7, 57).reshape(1, 2, 32) % 15 - 7
    factored = (integers * np.array([[[18], [5]]])).astype(np.int8).reshape(2, 32)
    add_constant(values, constants, "factored", factored)
    values["multiplied"] = Value("multiplied", "f32", (2, 32))
    nodes.append(Node("Dequantize", "multiply", ("factored", "scale"), ("multiplied",), {}))
    add_constant(values, constants, "scale", np.array([0.5], np.float32))
    return Program(["x"], ["y", "r"], values, constants, nodes, producer="octavo test")


@pytest.fixture
def one_node():
    """Makes a Program of one node; arrays among the inputs are constants, the others dtypes.

    A packed constant is its dtype, its shape, and its bytes. bodies: by name, what they take and give.
    """

    def make(op, inputs, outputs, attributes, bodies=None):
        values, constants, names = {}, {}, ["", ""]
        feeds = []
        for side, (kind, slots) in enumerate((("in", inputs), ("out", outputs))):
            listed = []
            for place, slot in enumerate(slots):
                name = f"{kind}{place}"
                if slot is None:
                    listed.append("")
                    continue
                listed.append(name)
                if isinstance(slot, np.ndarray):
                    add_constant(values, constants, name, slot)
                    continue
                dtype, shape, *packed = slot if isinstance(slot, tuple) else (slot, None)
                if packed:
                    values[name], constants[name] = Value(name, dtype, shape), packed[0]
                    continue
                values[name] = Value(name, dtype, shape)
                if kind == "in":
                    feeds.append(name)
            names[side] = tuple(listed)
        made = {}
        for key, body in (bodies or {}).items():
            takes = tuple(f"{key}{place}" for place in range(len(body["takes"])))
            values |= {
                name: Value(name, dtype, None) for name, dtype in zip(takes, body["takes"], strict=True)
            }
            made[key] = Body(takes, tuple(body["gives"]), ())
        nodes = [Node(op, "node", names[0], names[1], attributes, made)]
        return Program(feeds, [name for name in names[1] if name], values, constants, nodes)

    return make


@pytest.fixture
def forge():
    """An artifact changed and sealed again.

    `edit` and `layout` change its program and its header in place; `text` is a part of the program's JSON and
    what it becomes; `tail` comes behind the last byte; `changed` are bytes of the constants, by place.
    """

    def make(data, edit=None, layout=None, text=None, tail=b"", changed=None):
        length = int.from_bytes(data[:8], "little")
        header = json.loads(data[8 : 8 + length])
        document = json.loads(header["__metadata__"]["octavo"])
        if edit is not None:
            edit(document)
        written = json.dumps(document, separators=(",", ":"), ensure_ascii=False)
        if text is not None:
            assert written.count(text[0]) == 1
            written = written.replace(*text)
        header["__metadata__"] = {"octavo": written}
        if layout is not None:
            layout(header)
        text = json.dumps(header, separators=(",", ":"), ensure_ascii=False).encode()
        constants = bytearray(data[8 + length :])
        for at, byte in (changed or {}).items():
            constants[at] = byte
        return seal(len(text).to_bytes(8, "little") + text + constants + tail)

    return make


def seal(data):
    """The bytes with the checksum that they give."""
    if MARK not in data:
        return data
    at = data.index(MARK) + len(MARK)
    data = data[:at] + b"00000000" + data[at + 8 :]
    return data[:at] + f"{zlib.crc32(data):08x}".encode() + data[at + 8 :]
