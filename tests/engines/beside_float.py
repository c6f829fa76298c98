"""int8 beside octavo's own float, operator by operator: a grid of shapes over every family of kernels.

Each case is a model of one operator, in integers and in float. What is timed are the steps of the operator
itself, in turns, on one thread; the least of many turns counts, and what seems to lose is measured again
before it is said to lose.
"""

import itertools
import time
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
import octavo
import onnx
from octavo.program import Node, Program

MOST = 1.05
"""How much longer int8 may take."""
TURNS = 12
"""Turns of a measurement at least."""
ENOUGH = 0.1
"""Seconds after which a measurement has no further turn..."""
RETRIES = 6
"""... and how often one that seems to lose is taken again: the least of all counts."""
STEP = 5e-7
"""Seconds that a step may take longer however short it is: what it costs beside its arithmetic."""
NODE = "node"
"""The operator's name: steps of other names lay out what comes and goes."""


@dataclass(frozen=True)
class Case:
    """A model of one operator. inputs: shapes; constants: shapes of what follows them."""

    family: str
    op: str
    inputs: tuple[tuple[int, ...], ...]
    constants: tuple[tuple[int, ...], ...] = ()
    attributes: dict[str, Any] = field(default_factory=dict, hash=False)
    arrays: tuple[Any, ...] = field(default=(), hash=False)
    """Constants of given values, behind the others; None is left out."""

    def __str__(self) -> str:
        shapes = " ".join("x".join(map(str, shape)) for shape in (*self.inputs, *self.constants))
        attributes = " ".join(f"{name}={value}" for name, value in self.attributes.items())
        return f"{self.family}: {self.op} {shapes} {attributes}".strip()

    def model(self) -> onnx.ModelProto:
        """In float, from float to float."""
        rng = np.random.default_rng(0)
        names = [f"x{place}" for place in range(len(self.inputs))]
        weights = {
            f"w{place}": rng.normal(0, 0.1, shape).astype(np.float32)
            for place, shape in enumerate(self.constants)
        }
        given = {f"c{place}": array for place, array in enumerate(self.arrays) if array is not None}
        tail = [f"c{place}" if array is not None else "" for place, array in enumerate(self.arrays)]
        node = onnx.helper.make_node(self.op, [*names, *weights, *tail], ["y"], NODE, **self.attributes)
        graph = onnx.helper.make_graph(
            [node],
            "one",
            [
                onnx.helper.make_tensor_value_info(name, onnx.TensorProto.FLOAT, shape)
                for name, shape in zip(names, self.inputs, strict=True)
            ],
            [onnx.helper.make_tensor_value_info("y", onnx.TensorProto.FLOAT, None)],
            [onnx.numpy_helper.from_array(array, name) for name, array in (weights | given).items()],
        )
        return onnx.helper.make_model(graph, opset_imports=[onnx.helper.make_opsetid("", 21)])


def _conv(
    family: str,
    channels: int,
    outputs: int,
    kernel: tuple[int, ...],
    side: int,
    stride: int = 1,
    dilation: int = 1,
    group: int = 1,
) -> Case:
    rank = len(kernel)
    pads = [(taps - 1) * dilation // 2 for taps in kernel]
    return Case(
        family,
        "Conv",
        ((1, channels, *[side] * rank),),
        ((outputs, channels // group, *kernel), (outputs,)),
        {
            "kernel_shape": list(kernel),
            "strides": [stride] * rank,
            "dilations": [dilation] * rank,
            "pads": pads + pads,
            "group": group,
        },
    )


def _convolutions() -> Iterator[Case]:
    for channels, outputs, side in [
        (16, 96, 56), (96, 24, 56), (8, 8, 56), (24, 144, 28), (64, 64, 28), (64, 384, 14), (576, 96, 14),
        (160, 960, 7), (960, 320, 7), (4, 16, 56), (32, 5, 28), (512, 512, 7),
    ]:  # fmt: skip
        yield _conv("1x1", channels, outputs, (1, 1), side)
    yield _conv("1x1", 64, 128, (1, 1), 28, stride=2)
    for channels, outputs, side in [
        (16, 16, 32), (8, 8, 28), (32, 64, 28), (64, 64, 56), (128, 128, 14), (256, 256, 7), (24, 10, 20),
    ]:  # fmt: skip
        for stride in (1, 2):
            yield _conv("3x3", channels, outputs, (3, 3), side, stride)
    yield _conv("5x5", 32, 32, (5, 5), 28)
    yield _conv("3x3 dilated", 64, 64, (3, 3), 28, dilation=2)
    yield _conv("1-D", 64, 64, (9,), 400)
    yield _conv("1-D", 80, 128, (3,), 300, stride=2)
    for channels in (1, 2, 3, 4):
        yield _conv("first", channels, 32, (3, 3), 112, stride=2)
        yield _conv("first", channels, 16, (3, 3), 32)
        yield _conv("first", channels, 64, (7, 7), 112, stride=2)
        yield _conv("first", channels, 6, (5, 5), 28)
    for group, width, kernel in [
        (32, 4, 3),
        (32, 8, 3),
        (8, 16, 3),
        (2, 64, 3),
        (4, 8, 1),
        (3, 64, 1),
        (2, 24, 1),
    ]:
        yield _conv("grouped", group * width, group * width, (kernel, kernel), 28, group=group)


def _depthwise() -> Iterator[Case]:
    for channels in (1, 2, 3, 5, 8, 12, 16, 24, 32, 96, 144, 512):
        for kernel, stride in itertools.product((3, 5), (1, 2)):
            side = 56 if channels < 100 else 14
            yield _conv("depthwise", channels, channels, (kernel, kernel), side, stride, group=channels)
    for channels in (4, 40, 96):
        yield _conv("depthwise 7x7", channels, channels, (7, 7), 28, group=channels)
        yield _conv("depthwise dilated", channels, channels, (3, 3), 28, dilation=2, group=channels)
        for taps in (5, 31):
            yield _conv("depthwise 1-D", channels, channels, (taps,), 400, group=channels)


def _transposed() -> Iterator[Case]:
    for channels, outputs, kernel, stride, side, group in [
        (64, 32, 2, 2, 28, 1), (32, 16, 4, 2, 28, 1), (16, 16, 3, 2, 28, 1), (128, 64, 4, 2, 7, 1),
        (8, 3, 4, 2, 28, 1), (32, 32, 4, 2, 28, 32), (8, 8, 4, 2, 28, 8), (64, 64, 2, 2, 14, 4),
    ]:  # fmt: skip
        pad = (kernel - stride + 1) // 2
        yield Case(
            "transposed",
            "ConvTranspose",
            ((1, channels, side, side),),
            ((channels, outputs // group, kernel, kernel), (outputs,)),
            {"strides": [stride] * 2, "pads": [pad] * 4, "group": group, "kernel_shape": [kernel] * 2},
        )


def _products() -> Iterator[Case]:
    for k, n in [(1280, 1000), (64, 10), (256, 256), (16, 16), (3, 64)]:
        for rows in (1, 3, 32, 200):
            yield Case("fully connected", "Gemm", ((rows, k),), ((k, n), (n,)))
            yield Case("MatMul", "MatMul", ((rows, k),), ((k, n),))
    for batch, rows, k, n in [(8, 128, 64, 128), (8, 128, 128, 64), (1, 32, 32, 32), (4, 1, 64, 128)]:
        yield Case("MatMul of activations", "MatMul", ((batch, rows, k), (batch, k, n)))


def _elementwise() -> Iterator[Case]:
    shapes = [
        ((1, 64, 56, 56), (1, 64, 56, 56)),
        ((1, 64, 56, 56), (1, 64, 1, 1)),
        ((1, 64, 56, 56), (1, 1, 56, 56)),
        ((1, 24, 14, 14), (1, 24, 14, 14)),
        ((1, 3, 64, 64), (1, 3, 64, 64)),
        ((128, 384), (128, 384)),
        ((128, 384), (384,)),
    ]
    for op, (shape, other) in itertools.product(("Add", "Mul", "Sub", "Max"), shapes):
        yield Case("elementwise", op, (shape, other))
    for op in ("Sigmoid", "HardSwish", "Tanh", "LeakyRelu", "Exp"):
        yield Case("table", op, ((1, 64, 28, 28),))


def _pools() -> Iterator[Case]:
    for channels, side in [(64, 56), (16, 28), (3, 56), (256, 7), (1, 64)]:
        for op in ("MaxPool", "AveragePool"):
            for kernel, stride in [(2, 2), (3, 2), (3, 1), (5, 1)]:
                pads = [kernel // 2 * (kernel % 2)] * 4
                attributes = {"kernel_shape": [kernel] * 2, "strides": [stride] * 2, "pads": pads}
                yield Case("pool", op, ((1, channels, side, side),), attributes=attributes)
        yield Case("pool", "GlobalAveragePool", ((1, channels, side, side),))
    yield Case("pool", "ReduceMean", ((128, 384),), arrays=(np.array([-1]),))


def _moves() -> Iterator[Case]:
    for mode, channels, side in [
        ("nearest", 32, 28),
        ("linear", 32, 28),
        ("nearest", 3, 56),
        ("linear", 3, 56),
    ]:
        scales = np.array([1, 1, 2, 2], np.float32)
        yield Case(
            "resize", "Resize", ((1, channels, side, side),), attributes={"mode": mode}, arrays=(None, scales)
        )
    for axis, shape, other in [
        (1, (1, 64, 28, 28), (1, 64, 28, 28)), (1, (1, 24, 28, 28), (1, 40, 28, 28)),
        (2, (1, 64, 28, 28), (1, 64, 28, 28)), (1, (128, 64), (128, 320)), (0, (128, 64), (128, 64)),
    ]:  # fmt: skip
        yield Case("concat", "Concat", (shape, other), attributes={"axis": axis})
    for shape, order in [
        ((1, 64, 56, 56), (0, 2, 3, 1)), ((1, 56, 56, 64), (0, 3, 1, 2)), ((128, 12, 32), (1, 0, 2)),
        ((128, 12, 32), (1, 2, 0)), ((256, 384), (1, 0)), ((512, 512), (1, 0)),
    ]:  # fmt: skip
        yield Case("transpose", "Transpose", (shape,), attributes={"perm": list(order)})
    for shape in [(1, 1000), (128, 10), (8, 128, 128), (1, 64, 28, 28)]:
        yield Case("softmax", "Softmax", (shape,), attributes={"axis": -1})


CASES = [*_convolutions(), *_depthwise(), *_transposed(), *_products(), *_elementwise(), *_pools(), *_moves()]


@dataclass(frozen=True)
class Beside:
    """A case in integers and in float.

    kept: why there are no integers to compare, or "". is_named: whether the report says that float can be
    faster.
    """

    integers: Any
    floats: Any
    kept: str = ""
    is_named: bool = False

    @staticmethod
    def of(case: Case) -> "Beside":
        """As lowering has it: a product is in integers wherever its kernels are fast, beside float's.

        All else is in integers where its neighbours are, so that in float it has to convert.
        """
        rng = np.random.default_rng(1)
        samples = {f"x{place}": rng.normal(0, 1, shape) for place, shape in enumerate(case.inputs)}
        feeds = {name: array.astype(np.float32) for name, array in samples.items()}
        floats = case.model()
        lone = octavo.quantize(floats, [feeds, feeds], effort="fast")
        if any(node.name == NODE and node.op.startswith("Q") for node in lone.program.nodes):
            return Beside(lone, floats, is_named=bool(lone.report.slower))
        if reason := _slow(lone):
            return Beside(None, floats, reason)
        try:
            strict = octavo.quantize(floats, [feeds, feeds], recipe="int8-strict", io="uint8", effort="fast")
        except octavo.ModelError as error:
            return Beside(None, floats, str(error))
        return Beside(strict, _converting(lone.program, strict.program))

    def times(self, tier: str) -> tuple[float, float]:
        """The seconds that the operator takes in integers and in float."""
        sessions = [octavo.Session(model, threads=1, isa=tier) for model in (self.integers, self.floats)]
        feeds = [_feeds(session) for session in sessions]
        least = [np.inf, np.inf]
        for _ in range(RETRIES):
            begun, turn = time.perf_counter(), 0
            while turn < TURNS or time.perf_counter() - begun < ENOUGH:
                for form in (0, 1):
                    least[form] = min(least[form], _seconds(sessions[form].profile(feeds[form])))
                turn += 1
            if not is_slower(*least):
                break
        return least[0], least[1]


def is_slower(integers: float, floats: float) -> bool:
    """Whether int8 takes longer than it may."""
    return integers > MOST * floats + STEP


def _seconds(rows: list[Any]) -> float:
    """What an operator takes with its conversions, without what lays out the model's inputs and outputs."""
    own = [row for row in rows if row.name.startswith(NODE)] or rows
    return sum(row.seconds for row in own)


def _slow(model: octavo.QuantizedModel) -> str:
    """What the report says of an operator without a fast kernel, or ""."""
    reasons = [line for line in str(model.report).splitlines() if "has no fast integer kernel" in line]
    return reasons[0].strip() if reasons else ""


def _converting(program: Program, integers: Program) -> Program:
    """The operator in float, from and to the integers that another Program has for its inputs and outputs."""
    values = {
        f"{NODE}.{name}": replace(value, name=f"{NODE}.{name}") for name, value in program.values.items()
    }
    nodes = []
    constants = {f"{NODE}.{name}": array for name, array in program.constants.items()}
    for name in (*integers.inputs, *integers.outputs):
        values[name] = integers.values[name]
        quant = integers.values[name].quant
        numbers = {"scale": np.float32(quant.scale.item()), "zero_point": int(quant.zero_point.item())}
        real = f"{NODE}.{name}"
        ends = ("Dequantize", name, real) if name in integers.inputs else ("Quantize", real, name)
        nodes.append(Node(ends[0], f"{NODE}.{ends[0]}.{name}", (ends[1],), (ends[2],), numbers))
    inner = [
        replace(
            node,
            inputs=tuple(f"{NODE}.{name}" if name else "" for name in node.inputs),
            outputs=tuple(f"{NODE}.{name}" for name in node.outputs),
        )
        for node in program.nodes
    ]
    count = len(integers.inputs)
    nodes[count:count] = inner
    return replace(program, values={**values}, constants=constants, nodes=nodes)


def _feeds(session: octavo.Session) -> dict[str, np.ndarray]:
    """Noise for the inputs."""
    rng = np.random.default_rng(2)
    return {
        entry.name: rng.normal(0, 1, entry.shape).astype(np.float32)
        if entry.type == "tensor(float)"
        else rng.integers(0, 256, entry.shape, np.uint8)
        for entry in session.get_inputs()
    }
