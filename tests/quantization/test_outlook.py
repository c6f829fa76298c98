"""What int8 would be is what it becomes."""

import onnx.parser
from octavo.quantization.outlook import outlook
from octavo.session import load_program


def test_as_the_report_says_afterwards(model, quantized):
    seen = outlook(load_program(model))
    assert (seen.stays, seen.float_ops, seen.other_ops) == ([], {}, {})
    assert (seen.macs, seen.integer_macs) == (quantized.report.macs, quantized.report.integer_macs)


def test_what_stays_and_what_computes_no_floats():
    weights = ", ".join(["1"] * 16)
    text = f"""<ir_version: 10, opset_import: ["" : 21]> g (float[N,4] x) => (float[N,4] y, int64[2] s)
        <float[4,4] w = {{{weights}}}>
        {{ a = MatMul(x, w) b = LogSoftmax(a) y = MatMul(b, w) s = Shape(y) }}"""
    proto = onnx.parser.parse_model(text)
    for node in proto.graph.node:
        node.name = f"the_{node.op_type}_{node.output[0]}"
    seen = outlook(load_program(proto))
    assert sum(seen.integer_ops.values()) == 2
    assert (seen.float_ops, seen.other_ops) == ({"LogSoftmax": 1}, {"Shape": 1})
    (stay,) = seen.stays
    assert (stay.op, stay.expected) == ("LogSoftmax", False)
    assert seen.macs == seen.integer_macs == 32


def test_operators_are_in_the_order_of_their_names():
    text = """<ir_version: 10, opset_import: ["" : 21]> g (float[N,4] x) => (float[N,4] y, int64 r)
        { a = Tanh(x) b = Elu(a) d = Neg(b) y = Abs(d) s = Size(y) t = Shape(y) u = Mul(t, s)
          r = ReduceSum<keepdims=0>(u) }"""
    proto = onnx.parser.parse_model(text)
    seen = outlook(load_program(proto))
    assert list(seen.float_ops) == ["Abs", "Elu", "Neg", "Tanh"]
    assert list(seen.other_ops) == ["Mul", "ReduceSum", "Shape", "Size"]
