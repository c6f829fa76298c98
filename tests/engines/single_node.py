"""A node by itself: as a Program, and as ONNX's reference evaluator answers it."""

from dataclasses import dataclass, field
from typing import Any

import numpy as np
import onnx
from octavo.program import DTYPES, OPSET, Node, Program, Value
from onnx.reference import ReferenceEvaluator

NAMES = {dtype: name for name, dtype in DTYPES.items()}


def multipliers(rng: np.random.Generator, count: int) -> np.ndarray:
    """Multipliers of full range: odd integers of 24 bits times 2^7."""
    return (256 * rng.integers(2**22, 2**23, count) + 128).astype(np.int32)


@dataclass
class Case:
    """inputs: None is left out. outputs: the dtype of each, empty where nobody wants it."""

    op: str
    inputs: list[Any]
    attributes: dict[str, Any]
    outputs: tuple[str, ...]
    close: dict[str, float] = field(default_factory=dict)
    """How far from ONNX's answer; exactly it where empty."""
    answer: list[Any] | None = None
    """What ONNX's text says, where its reference evaluator departs from it."""

    def program(self, constants: tuple[int, ...] = ()) -> tuple[Program, dict[str, Any]]:
        """The Program and what it is fed; the inputs at these places are its constants."""
        arrays = {f"in{place}": array for place, array in enumerate(self.inputs) if array is not None}
        values = {name: Value(name, NAMES[array.dtype], array.shape) for name, array in arrays.items()}
        fixed = {f"in{place}": arrays[f"in{place}"] for place in constants if f"in{place}" in arrays}
        feeds = {name: array for name, array in arrays.items() if name not in fixed}
        inputs = tuple("" if array is None else f"in{place}" for place, array in enumerate(self.inputs))
        made = tuple(f"out{place}" if dtype else "" for place, dtype in enumerate(self.outputs))
        values |= {
            name: Value(name, dtype, None) for name, dtype in zip(made, self.outputs, strict=True) if name
        }
        node = Node(self.op, "node", inputs, made, self.attributes)
        return Program(list(feeds), list(filter(None, made)), values, fixed, [node]), feeds

    def onnx(self) -> list[Any]:
        """What ONNX's reference evaluator gives for the outputs that are wanted."""
        if self.answer is not None:
            return self.answer
        names = ["" if array is None else f"in{place}" for place, array in enumerate(self.inputs)]
        feeds = {name: array for name, array in zip(names, self.inputs, strict=True) if name}
        made = [f"out{place}" for place in range(len(self.outputs))]
        attributes = {k: float(v) if isinstance(v, np.float32) else v for k, v in self.attributes.items()}
        node = onnx.helper.make_node(self.op, names, made, **attributes)
        described = [
            onnx.helper.make_tensor_value_info(name, onnx.helper.np_dtype_to_tensor_dtype(array.dtype), None)
            for name, array in feeds.items()
        ]
        results = [
            onnx.helper.make_tensor_value_info(name, onnx.TensorProto.UNDEFINED, None) for name in made
        ]
        graph = onnx.helper.make_graph([node], "graph", described, results)
        model = onnx.helper.make_model(graph, opset_imports=[onnx.helper.make_opsetid("", OPSET)])
        with np.errstate(all="ignore"):
            answers = ReferenceEvaluator(model).run(None, feeds)
        return [answer for answer, dtype in zip(answers, self.outputs, strict=True) if dtype]

    def check(self, found: list[Any]) -> None:
        """Compare with ONNX's answer."""
        for ours, theirs in zip(found, self.onnx(), strict=True):
            if self.close:
                assert (ours.dtype, ours.shape) == (theirs.dtype, theirs.shape)
                np.testing.assert_allclose(ours, theirs, **self.close)
            else:
                np.testing.assert_array_equal(ours, theirs, strict=True)
