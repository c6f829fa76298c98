"""The report's numbers, each of them counted by hand."""

from dataclasses import replace

import numpy as np
import octavo
import onnx
import onnx.parser
import pytest
from octavo.lowering import Stay
from octavo.program import Node, Program, Value
from octavo.quantization.macs import macs, stated_sizes
from octavo.quantization.report import Report, Seen


def model(text, **constants):
    proto = onnx.parser.parse_model(f'<ir_version: 10, opset_import: ["" : 21]> {text}')
    for name, array in constants.items():
        proto.graph.initializer.append(onnx.numpy_helper.from_array(np.asarray(array, "f4"), name))
    for node in proto.graph.node:
        node.name = f"the_{node.output[0]}"
    return proto


CHAIN = (
    "g (float[N,4] x) => (float[N,3] y) { a = MatMul(x, w) b = Relu(a) c = MatMul(b, v) y = MatMul(c, u) }"
)
WEIGHTS = {"w": np.ones((4, 5)), "v": np.ones((5, 2)), "u": np.ones((2, 3))}
PRODUCTS = {"the_a": 20, "the_c": 10, "the_y": 6}


@pytest.mark.parametrize("excluded", [[], ["the_a"], ["the_c"], ["the_y"], ["the_a", "the_y"], [*PRODUCTS]])
def test_products_that_stay_float_are_not_among_those_in_integers(excluded):
    report = octavo.quantize(model(CHAIN, **WEIGHTS), np.ones((2, 4), "f4"), exclude=excluded).report
    assert report.macs == 36
    assert report.integer_macs == 36 - sum(PRODUCTS[name] for name in excluded)
    assert report.integer_ops.get("QGemm", 0) == 3 - len(excluded)
    assert report.float_ops.get("MatMul", 0) == len(excluded)
    assert [stay.name for stay in report.stays if stay.op == "MatMul"] == excluded
    assert f"{100 * report.integer_macs / 36:.1f} % of 36 multiply-accumulates" in str(report)


def test_bytes_of_the_constants():
    report = octavo.quantize(model(CHAIN, **WEIGHTS), np.ones((2, 4), "f4")).report
    assert report.float_bytes == 4 * (20 + 10 + 6)
    # weights of one byte; bias of four a channel, multiplier and shift left out; bias and scale of the last
    assert report.integer_bytes == 36 + 4 * (5 + 2) + 4 * 2 * 3


def test_conversions_count_no_op():
    text = "g (float[N,4] x) => (float[N,4] y) { a = MatMul(x, w) b = LogSoftmax(a) y = MatMul(b, w) }"
    report = octavo.quantize(model(text, w=np.eye(4)), np.ones((2, 4), "f4")).report
    assert (report.integer_ops, report.float_ops, report.conversions) == ({"QGemm": 2}, {"LogSoftmax": 1}, 2)
    assert report.samples == 2
    (seen,) = report.inputs
    assert (seen.name, seen.minimum, seen.maximum, seen.nans, seen.infinities) == ("x", 1.0, 1.0, 0, 0)


def test_shapes_compute_nothing():
    text = """g (float[N,4] x) => (float[N,4] y, int64[2] s)
        { a = MatMul(x, w) s = Shape(x) y = LogSoftmax(a) }"""
    report = octavo.quantize(model(text, w=np.eye(4)), np.ones((2, 4), "f4")).report
    assert (report.integer_ops, report.float_ops) == ({"QGemm": 1}, {"LogSoftmax": 1})


def test_the_extremes_of_the_inputs():
    x = np.array([[1, -2, 3, 0.5], [7, 0, -9, 1]], "f4")
    report = octavo.quantize(model(CHAIN, **WEIGHTS), x).report
    (seen,) = report.inputs
    assert (seen.name, seen.minimum, seen.maximum) == ("x", -9.0, 7.0)
    assert "input x: values from -9 to 7" in str(report)
    assert report.not_finite == []


STAYS = [
    Stay("n1", "Elu", "for a reason", False),
    Stay("n2", "Pow", "for a reason", False),
    Stay("n3", "Elu", "for another", False),
    Stay("n4", "Softmax", "it is last", True),
]
REPORT = Report(
    recipe="int8",
    samples=7,
    inputs=[Seen("x", -1.5, 2.0, 0, 0)],
    integer_ops={"QAdd": 1, "QConv": 2},
    float_ops={},
    conversions=4,
    macs=8000,
    integer_macs=6000,
    stays=STAYS,
    not_finite=[Seen("t", 0.0, 1.0, 3, 4)],
    float_bytes=4096,
    integer_bytes=1024,
)


def test_the_text_of_a_report():
    assert str(REPORT).splitlines() == [
        "3 nodes in integers: 1 QAdd, 2 QConv",
        "0 nodes in float: none",
        "conversions between the two: 4",
        "75.0 % of 8,000 multiply-accumulates a sample are in integers",
        "constants: 4,096 bytes in float, 1,024 now",
        "3 ops of the model stay float for want of an integer form:",
        "  for a reason:",
        "    Elu n1, Pow n2",
        "  for another:",
        "    Elu n3",
        "1 ops of the model stay float by choice or because it is better:",
        "  it is last:",
        "    Softmax n4",
        "calibrated over 7 samples",
        "  input x: values from -1.5 to 2",
        "  t: 3 NaN and 4 infinite values left out of its range",
    ]


@pytest.mark.parametrize(
    ("op", "shape", "group", "named"),
    [
        ("Conv", (8, 18, 1, 1), 1, True),
        ("Conv", (8, 19, 1, 1), 1, False),
        ("Conv", (8, 2, 3, 3), 1, True),
        ("Conv", (8, 3, 3, 3), 1, False),
        ("Conv", (8, 6, 1, 3), 1, True),
        ("Conv", (8, 7, 1, 3), 1, False),
        ("Conv", (32, 16, 1, 1), 2, True),
        ("Conv", (38, 19, 1, 1), 2, False),
        ("Conv", (32, 1, 3, 3), 32, False),
        ("Conv", (32, 1, 3, 3), 1, True),
        ("ConvTranspose", (16, 20, 2, 2), 1, True),
        ("ConvTranspose", (17, 20, 2, 2), 1, False),
        ("ConvTranspose", (32, 20, 2, 2), 2, True),
        ("Gemm", (18, 40), 1, True),
        ("Gemm", (19, 40), 1, False),
    ],
)
def test_products_of_short_sums_are_named(op, shape, group, named):
    channels = shape[0] if op != "Conv" else shape[1] * group
    size = (9, channels) if op == "Gemm" else (1, channels, 9, 9)
    attributes = "" if op == "Gemm" else f"<group = {group}>"
    text = f"g (float[{','.join(map(str, size))}] x) => (float y) {{ y = {op} {attributes} (x, w) }}"
    rng = np.random.default_rng(1)
    quantized = octavo.quantize(
        model(text, w=rng.normal(size=shape)), rng.normal(size=(36, *size[1:])).astype("f4"), effort="fast"
    )
    assert quantized.report.slower == (["the_y"] if named else [])
    line = "1 products of short sums can take longer than in float, on AVX2 above all:"
    assert (line in str(quantized.report).splitlines()) == named


def test_a_report_as_data():
    data = REPORT.to_dict()
    assert data["stays"][3] == {"name": "n4", "op": "Softmax", "reason": "it is last", "expected": True}
    assert data["not_finite"] == [{"name": "t", "minimum": 0.0, "maximum": 1.0, "nans": 3, "infinities": 4}]
    counts = {"samples": 7, "macs": 8000, "integer_macs": 6000, "float_bytes": 4096, "integer_bytes": 1024}
    assert counts.items() <= data.items()


@pytest.mark.parametrize(
    ("op", "shapes", "attributes", "count"),
    [
        ("Conv", [(1, 6, 9, 9), (4, 3, 5, 2), (2, 4, 5, 8)], {}, 2 * 4 * 5 * 8 * 3 * 5 * 2),
        ("Conv", [("N", 6, 9), (4, 6, 5), ("N", 4, 5)], {}, 4 * 5 * 6 * 5),
        ("MatMul", [("N", 7), (7, 3), ("N", 3)], {}, 7 * 3),
        ("MatMul", [(2, 5, 7), (2, 7, 3), (2, 5, 3)], {}, 2 * 5 * 3 * 7),
        ("MatMul", [(5, 7), (7,), (5,)], {}, 5 * 7),
        ("Gemm", [(5, 7), (7, 3), (5, 3)], {"transB": 0}, 5 * 3 * 7),
        ("Gemm", [(5, 7), (3, 7), (5, 3)], {"transB": 1}, 5 * 3 * 7),
        ("Add", [(5, 7), (5, 7), (5, 7)], {}, 0),
        ("Relu", [(5, 7), (5, 7)], {}, 0),
        ("MatMul", [None, None, (5, 3)], {}, 0),
        ("MatMul", [(5, 7), (7, 3), None], {}, 0),
    ],
)
def test_multiply_accumulates_of_a_node(op, shapes, attributes, count):
    names = [f"v{i}" for i in range(len(shapes))]
    values = {name: Value(name, "f32", shape) for name, shape in zip(names, shapes, strict=True)}
    node = Node(op, "n", tuple(names[:-1]), (names[-1],), attributes)
    assert macs(node, stated_sizes(Program([], [], values, {}, [node]))) == count


@pytest.mark.parametrize(
    "window",
    [
        "strides = [2,2]",
        "strides = [2,3], pads = [1,0,1,2], output_padding = [1,0]",
        "strides = [3,1], dilations = [2,2], group = 2",
        'auto_pad = "SAME_UPPER", strides = [2,2]',
        'auto_pad = "SAME_LOWER", strides = [3,2], dilations = [1,2]',
        "output_shape = [12,9], strides = [2,2]",
    ],
)
@pytest.mark.parametrize("sizes", ["5,4", "H,W"])
def test_multiply_accumulates_are_those_of_a_profile(window, sizes):
    """Of free sizes, those that the data have; a transposed convolution's too."""
    group = 2 if "group" in window else 1
    proto = model(
        f"""g (float[N,4,{sizes}] x) => (float[N,3,h,w] y) {{
        a = Conv<pads = [1,1,1,1]>(x, w) b = ConvTranspose<{window}>(a, v) y = Conv(b, u) }}""",
        w=np.ones((4, 4, 3, 3)),
        v=np.ones((4, 6 // group, 3, 2)),
        u=np.ones((3, 6, 1, 1)),
    )
    data = np.random.default_rng(3).normal(size=(2, 4, 5, 4)).astype("f4")
    rows = octavo.Session(proto, threads=1).profile({"x": data[:1]})
    quantized = octavo.quantize(proto, data)
    report = quantized.report
    assert report.macs == sum(row.macs for row in rows)
    assert (
        sum(row.macs for row in octavo.Session(quantized, threads=1).profile({"x": data[:1]})) == report.macs
    )
    transposed = sum(row.macs for row in rows if row.op == "ConvTranspose")
    assert transposed > 0
    # One by narrow groups stays float.
    assert report.integer_macs == report.macs - (transposed if group > 1 else 0)


def test_long_lists_and_warnings_are_wrapped():
    stays = [Stay(f"block-{index:02}/conv", "ConvTranspose", "for a reason", True) for index in range(9)]
    long = "word-" * 40
    warnings = [f"{'word' * 40}: {' '.join(['nine more'] * 20)}", "short"]
    text = str(replace(REPORT, stays=[*stays, Stay(long, "Pow", "for a reason", True)], warnings=warnings))
    lines = text.splitlines()
    at = lines.index("  for a reason:")
    names = [f"ConvTranspose block-{index:02}/conv" for index in range(9)] + [f"Pow {long}"]
    listed = lines[at + 1 : lines.index("calibrated over 7 samples")]
    assert " ".join(line.strip() for line in listed) == ", ".join(names)
    assert all(line.startswith("    ") and line[4] != " " for line in listed)
    assert all(len(line) <= 110 or line.strip() == long for line in listed)
    assert len(listed) == 4  # three names a line, then one that is longer than a line
    assert lines[-5:] == [
        "warning:",
        f"  {'word' * 40}:",
        "  " + " ".join(["nine more"] * 10) + " nine",
        "  more " + " ".join(["nine more"] * 9),
        "warning: short",
    ]


def test_names_and_warnings_of_a_report_are_printable():
    hostile = Stay("a\n\x1b[2J", "Elu", "for\na reason", False)
    text = str(replace(REPORT, stays=[hostile], warnings=["b\x07"], inputs=[Seen("c\r", 0.0, 1.0, 0, 0)]))
    assert all(line.isprintable() for line in text.splitlines())
    for part in ("Elu a\\n\\x1b[2J", "for\\na reason:", "warning: b\\x07", "input c\\r: values from 0 to 1"):
        assert part in text


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ({}, "int8: 3 nodes in integers, 0 in float, constants of 4,096 bytes now 1,024, 7 samples"),
        (
            {"samples": 0, "warnings": ["a", "b"], "float_ops": {"Elu": 2, "Pow": 1}},
            "int8: 3 nodes in integers, 3 in float, constants of 4,096 bytes now 1,024, warnings: 2",
        ),
    ],
)
def test_a_report_in_one_line(changes, says):
    report = replace(REPORT, **changes)
    assert report.summary() == says
    assert repr(report) == f"Report({says})"


def test_what_a_report_leaves_out():
    text = str(replace(REPORT, stays=[], macs=0, integer_macs=0, samples=0, inputs=[], not_finite=[]))
    assert text.splitlines()[3:] == [
        "constants: 4,096 bytes in float, 1,024 now",
        "no op of the model stays float",
        "made without data",
    ]


def test_values_of_which_nothing_is_finite():
    """They are told with how many they were of each kind; the least of nothing is above the greatest."""
    x = np.full((2, 4), 1, "f4")
    text = "g (float[N,4] x) => (float[N,4] y) { a = Log(x) b = Div(k, a) c = Mul(a, b) y = MatMul(c, w) }"
    report = octavo.quantize(model(text, w=np.eye(4), k=np.ones(4)), x).report
    found = {
        seen.name: (seen.minimum, seen.maximum, seen.nans, seen.infinities) for seen in report.not_finite
    }
    nothing = (float("inf"), float("-inf"))
    assert found == {"b": (*nothing, 0, 8), "c": (*nothing, 8, 0), "y": (*nothing, 8, 0)}
    assert "  c: 8 NaN and 0 infinite values left out of its range" in str(report).splitlines()
