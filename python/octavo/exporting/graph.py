"""An ONNX graph under construction."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import numpy as np
import numpy.typing as npt
import onnx
from onnx import TensorProto, helper, numpy_helper

from octavo.errors import ModelError
from octavo.program import DTYPES, PACKED, Program, Value
from octavo.program.integers import pack, unpack

OPSETS = (21, 25)
"""The opsets that are written: the first that has all operators of the model."""

_IR_VERSIONS = {21: 10, 25: 13}
_PACKED = {"u4": TensorProto.UINT4, "i4": TensorProto.INT4}
"""What ONNX packs as a Program does; fewer bits are written as bytes."""

Array = npt.NDArray[Any]


class Graph:
    """The nodes and constants of an ONNX graph, beside the Program that they are made of.

    A value of the Program keeps its name, whatever holds it. reals: by the name of integers that have no form
    of their own here, the reals that they stand for.
    """

    def __init__(self, program: Program) -> None:
        self.program = program
        self._nodes: list[onnx.NodeProto] = []
        self._count = 0
        self._tensors: dict[str, onnx.TensorProto] = {}
        self._names = set(program.values)
        self._dequantized: dict[tuple[str, bytes, bytes], str] = {}
        self.reals: dict[str, str] = {}

    def fresh(self, base: str) -> str:
        """A name that no value has."""
        name, count = base, 1
        while name in self._names:
            name, count = f"{base}_{count}", count + 1
        self._names.add(name)
        return name

    def add(self, op: str, inputs: Sequence[str], outputs: Sequence[str], **attributes: Any) -> str:  # noqa: ANN401
        """Add a node, and the constants of the Program that it reads; its first output."""
        for name in inputs:
            if name in self.program.constants and name not in self._tensors:
                self._tensors[name] = tensor(self.program.values[name], self.program.constants[name])
        while inputs and not inputs[-1]:
            inputs = inputs[:-1]
        name = f"{op}_{self._count}"
        self._count += 1
        self._nodes.append(helper.make_node(op, inputs, outputs, name, **attributes))
        return outputs[0]

    @contextmanager
    def inside(self) -> Iterator[list[onnx.NodeProto]]:
        """The nodes that are added meanwhile, which are no nodes of the graph itself but of a sub-graph."""
        outer, known = self._nodes, dict(self._dequantized)
        self._nodes = []
        yield self._nodes
        self._nodes, self._dequantized = outer, known

    def made(self, op: str, inputs: Sequence[str], base: str, **attributes: Any) -> str:  # noqa: ANN401
        """Add a node whose result is a new value, with a name like `base`."""
        return self.add(op, inputs, [self.fresh(base)], **attributes)

    def constant(self, base: str, array: npt.ArrayLike) -> str:
        """A new constant, with a name like `base`."""
        name = self.fresh(base)
        self._tensors[name] = numpy_helper.from_array(np.asarray(array), name)
        return name

    def dequantized(self, name: str, scale: Array, zero_point: Array, axis: int | None) -> str:
        """The reals of an integer value, by one scale or, along `axis`, by several.

        zero_point: integers in the shape of `scale`.
        """
        key = name, scale.astype(np.float32).tobytes(), zero_point.astype(np.int64).tobytes()
        if key not in self._dequantized:
            inputs = [name, *self._quant(name, scale, zero_point, axis)]
            attributes = {} if axis is None else {"axis": axis}
            self._dequantized[key] = self.made("DequantizeLinear", inputs, f"{name}_reals", **attributes)
        return self._dequantized[key]

    def quantized(self, reals: str, name: str, scale: Array, zero_point: Array, axis: int | None) -> None:
        """The integer value of that name, from its reals."""
        attributes = {} if axis is None else {"axis": axis}
        inputs = [reals, *self._quant(name, scale, zero_point, axis)]
        self.add("QuantizeLinear", inputs, [name], **attributes)

    def _quant(self, name: str, scale: Array, zero_point: Array, axis: int | None) -> list[str]:
        if axis is None:
            scale, zero_point = scale.reshape(()), zero_point.reshape(())
        return [self.constant(f"{name}_scale", scale.astype(np.float32)), self.zero_points(name, zero_point)]

    def zero_points(self, name: str, zero_point: Array) -> str:
        """A constant of zero points in the dtype of a value, which may be a packed one."""
        dtype = self.program.values[name].dtype
        value = Value(self.fresh(f"{name}_zero_point"), dtype, zero_point.shape)
        array = pack(zero_point, dtype) if dtype in PACKED else zero_point.astype(DTYPES[dtype])
        self._tensors[value.name] = tensor(value, array)
        return value.name

    def model(self) -> onnx.ModelProto:
        """The whole, in the lowest opset that has its operators."""
        program, opset = self.program, self._opset()
        for name in program.outputs:  # an input, or a constant, that is an output as well
            if name in program.constants and name not in self._tensors:
                self._tensors[name] = tensor(program.values[name], program.constants[name])
        graph = helper.make_graph(
            self._nodes,
            "quantized",
            [port(program.values[name]) for name in program.inputs],
            [port(program.values[name]) for name in program.outputs],
            list(self._tensors.values()),
        )
        return helper.make_model(
            graph,
            producer_name="octavo",
            ir_version=_IR_VERSIONS[opset],
            opset_imports=[helper.make_opsetid("", opset)],
        )

    def _opset(self) -> int:
        for opset in OPSETS:
            if all(onnx.defs.has(node.op_type, max_inclusive_version=opset) for node in self._nodes):
                return opset
        raise ModelError(f"a node has no form in opset {OPSETS[-1]} of ONNX")


def tensor(value: Value, array: Array) -> onnx.TensorProto:
    """A constant of a Program as ONNX holds it."""
    if value.dtype not in PACKED:
        return numpy_helper.from_array(array, value.name)
    shape = tuple(size for size in value.shape or () if isinstance(size, int))
    if value.dtype not in _PACKED:
        return numpy_helper.from_array(unpack(array, value.dtype, shape), value.name)
    return helper.make_tensor(value.name, _PACKED[value.dtype], shape, array.tobytes(), raw=True)


def port(value: Value) -> onnx.ValueInfoProto:
    """An input or output of a graph."""
    return helper.make_tensor_value_info(
        value.name, helper.np_dtype_to_tensor_dtype(DTYPES[value.dtype]), value.shape
    )
