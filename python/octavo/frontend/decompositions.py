"""Operators that ONNX has no body for, written out with those that octavo has."""

import onnx
import onnx.parser
import onnx_ir as ir

from octavo.frontend.einsum import einsum_body
from octavo.frontend.linear import dequantize_body, quantize_body
from octavo.frontend.recurrence import recurrent_body
from octavo.frontend.steps import is_kept
from octavo.program import OPSET

_PLAIN = (ir.DataType.FLOAT, ir.DataType.FLOAT16)


def decomposition(node: ir.Node) -> bytes | None:
    """A body for the node, as a serialized proto; None where there is none for it.

    The types of the node's inputs, and the ranks that it depends on, must be known.
    """
    if node.domain != "" or node.op_type not in _BODIES or is_kept(node):
        return None
    lines = _BODIES[node.op_type](node)
    if lines is None:
        return None
    inputs = ", ".join(f"x{i}" for i in range(len(node.inputs)))
    outputs = ", ".join(_OUTPUTS.get(node.op_type, ("y",)))
    text = f'<domain: "", opset_import: ["": {OPSET}]> {node.op_type} ({inputs}) => ({outputs}) {{ {lines} }}'
    return bytes(onnx.parser.parse_function(text).SerializeToString())


def _rank(node: ir.Node, place: int) -> int | None:
    value = node.inputs[place] if place < len(node.inputs) else None
    return None if value is None or value.shape is None else len(value.shape)


def _dtype(node: ir.Node) -> ir.DataType | None:
    return None if node.inputs[0] is None else node.inputs[0].dtype


def _has(node: ir.Node, place: int) -> bool:
    return place < len(node.inputs) and node.inputs[place] is not None


def _number(node: ir.Node, name: str, default: float) -> float:
    return float(node.attributes[name].as_float()) if name in node.attributes else default


def _integer(node: ir.Node, name: str, default: int) -> int:
    return node.attributes[name].as_int() if name in node.attributes else default


def _shifted(node: ir.Node, place: int, axes: str | None, to: ir.DataType) -> str | None:
    """Operand `place` less its zero point, which is one number, or lies along an axis."""
    point = place + 2
    lines = f"w{place} = Cast <to = {to.value}> (x{place}) "
    if not _has(node, point):
        return lines + f"s{place} = Identity (w{place}) "
    rank = _rank(node, point)
    if rank is None:
        return None
    lines += f"p{place} = Cast <to = {to.value}> (x{point}) "
    value = node.inputs[point]
    is_list = rank == 1 and value is not None and value.shape is not None and value.shape[0] != 1
    if is_list and axes is not None:
        lines += f"a{place} = Constant <value_ints = {axes}> () q{place} = Unsqueeze (p{place}, a{place}) "
        return lines + f"s{place} = Sub (w{place}, q{place}) "
    return lines + f"s{place} = Sub (w{place}, p{place}) "


def _matmul_integer(node: ir.Node) -> str | None:
    left = _shifted(node, 0, "[1]", ir.DataType.INT32)
    right = _shifted(node, 1, None, ir.DataType.INT32)
    return None if left is None or right is None else left + right + "y = MatMul (s0, s1)"


def _conv_integer(node: ir.Node) -> str | None:
    """In float64, whose sums of such products are exact."""
    rank = _rank(node, 1)
    if rank is None:
        return None
    left = _shifted(node, 0, None, ir.DataType.DOUBLE)
    right = _shifted(node, 1, str(list(range(1, rank))), ir.DataType.DOUBLE)
    given = []
    for name, attribute in node.attributes.items():
        value = attribute.value
        given.append(f'{name} = "{value}"' if isinstance(value, str) else f"{name} = {_listed(value)}")
    attributes = f" <{', '.join(given)}>" if given else ""
    if left is None or right is None:
        return None
    return left + right + f"sum = Conv{attributes} (s0, s1) y = Cast <to = 6> (sum)"


def _listed(value: object) -> str:
    return str(list(value)) if isinstance(value, (list, tuple)) else str(value)


def _gemm(node: ir.Node) -> str | None:
    """Of float64 and integers; Gemm itself is of float32. Integers have factors of 1 alone."""
    dtype = _dtype(node)
    alpha, beta = _number(node, "alpha", 1.0), _number(node, "beta", 1.0)
    if dtype is None or dtype in _PLAIN or (dtype != ir.DataType.DOUBLE and (alpha, beta) != (1.0, 1.0)):
        return None
    lines = ""
    for place, name in enumerate(("transA", "transB")):
        op = "Transpose <perm = [1, 0]>" if _integer(node, name, 0) else "Identity"
        lines += f"t{place} = {op} (x{place}) "
    lines += "product = MatMul (t0, t1) "
    product, addend = "product", "x2"
    if alpha != 1.0:
        lines += (
            f"f0 = Constant <value_float = {alpha!r}> () a = CastLike (f0, x0) scaled = Mul (a, product) "
        )
        product = "scaled"
    if not _has(node, 2):
        return lines + f"y = Identity ({product})"
    if beta != 1.0:
        lines += f"f1 = Constant <value_float = {beta!r}> () b = CastLike (f1, x0) more = Mul (b, x2) "
        addend = "more"
    return lines + f"y = Add ({product}, {addend})"


def _hardmax(node: ir.Node) -> str | None:
    axis = _integer(node, "axis", -1)
    return (
        f"at = ArgMax <axis = {axis}, keepdims = 0> (x0) sizes = Shape (x0) "
        f"axis = Constant <value_ints = [{axis}]> () n = Gather <axis = 0> (sizes, axis) "
        "pair = Constant <value_floats = [0.0, 1.0]> () values = CastLike (pair, x0) "
        f"y = OneHot <axis = {axis}> (at, n, values)"
    )


def _lrn(node: ir.Node) -> str | None:
    """`x / (bias + alpha * mean)^beta`, the mean that of an AveragePool of squares over the channels."""
    size = _integer(node, "size", 1)
    before, after = (size - 1) // 2, size // 2
    alpha, beta, bias = (
        _number(node, name, default) for name, default in (("alpha", 1e-4), ("beta", 0.75), ("bias", 1.0))
    )
    return (
        "x = Cast <to = 1> (x0) square = Mul (x, x) sizes = Shape (x) "
        "one = Constant <value_ints = [1]> () rest = Constant <value_ints = [-1]> () "
        "n = Shape <start = 0, end = 1> (x) c = Shape <start = 1, end = 2> (x) "
        "image = Concat <axis = 0> (n, one, c, rest) seen = Reshape (square, image) "
        f"mean = AveragePool <kernel_shape = [{size}, 1], pads = [{before}, 0, {after}, 0], "
        "count_include_pad = 1> (seen) "
        f"back = Reshape (mean, sizes) alpha = Constant <value_float = {alpha!r}> () "
        f"bias = Constant <value_float = {bias!r}> () beta = Constant <value_float = {beta!r}> () "
        "scaled = Mul (alpha, back) base = Add (bias, scaled) power = Pow (base, beta) "
        "quotient = Div (x, power) y = CastLike (quotient, x0)"
    )


_BODIES = {
    "ConvInteger": _conv_integer,
    "DequantizeLinear": dequantize_body,
    "Einsum": einsum_body,
    "GRU": recurrent_body,
    "Gemm": _gemm,
    "Hardmax": _hardmax,
    "LRN": _lrn,
    "LSTM": recurrent_body,
    "MatMulInteger": _matmul_integer,
    "QuantizeLinear": quantize_body,
    "RNN": recurrent_body,
}
_OUTPUTS = {"GRU": ("y", "y1"), "LSTM": ("y", "y1", "y2"), "RNN": ("y", "y1")}
"""Of those that give more than y."""

DECOMPOSED = frozenset(_BODIES)
