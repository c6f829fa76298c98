"""ResNets with random weights as ONNX models: `python benches/resnet.py OUT.onnx` writes a ResNet-50.

K. He et al.: Deep Residual Learning for Image Recognition, 2016, with the stride in the 3x3 convolution of a
block, as torchvision and most exporters have it. Weights are drawn as in K. He et al.: Delving Deep into
Rectifiers, 2015. Each convolution is followed by its BatchNormalization.
"""

import argparse
from pathlib import Path

import numpy as np
import onnx_ir as ir
from minilm import Graph

OPSET = 18
EPSILON = 1e-5
EXPANSION = 4  # a block's outputs per inner channel


class ResNet:
    """Builds one network."""

    def __init__(self, seed: int) -> None:
        self.g = Graph()
        self.rng = np.random.default_rng(seed)

    def conv(
        self, name: str, x: ir.Value, sizes: tuple[int, int, int], stride: int, relu: bool = True
    ) -> ir.Value:
        """Conv of sizes (inputs, outputs, kernel), BatchNormalization, Relu."""
        inputs, outputs, kernel = sizes
        spread = (2 / (inputs * kernel * kernel)) ** 0.5
        weight = self.rng.standard_normal((outputs, inputs, kernel, kernel), np.float32) * np.float32(spread)
        pads = [kernel // 2] * 4
        y = self.g.op(
            "Conv",
            f"{name}.conv",
            x,
            self.g.constant(f"{name}.conv.weight", weight),
            kernel_shape=[kernel, kernel],
            strides=[stride, stride],
            pads=pads,
        )
        statistics = (
            ("weight", self.rng.uniform(0.5, 1, outputs)),
            ("bias", self.rng.uniform(-0.1, 0.1, outputs)),
            ("running_mean", self.rng.uniform(-0.1, 0.1, outputs)),
            ("running_var", self.rng.uniform(0.5, 2, outputs)),
        )
        constants = [self.g.constant(f"{name}.bn.{k}", v.astype(np.float32)) for k, v in statistics]
        y = self.g.op("BatchNormalization", f"{name}.bn", y, *constants, epsilon=EPSILON)
        return self.g.op("Relu", f"{name}.relu", y) if relu else y

    def block(self, name: str, x: ir.Value, inputs: int, width: int, stride: int) -> ir.Value:
        """A bottleneck: 1x1, 3x3, 1x1, and what goes around it."""
        outputs = width * EXPANSION
        y = self.conv(f"{name}.1", x, (inputs, width, 1), 1)
        y = self.conv(f"{name}.2", y, (width, width, 3), stride)
        y = self.conv(f"{name}.3", y, (width, outputs, 1), 1, relu=False)
        if stride > 1 or inputs != outputs:
            x = self.conv(f"{name}.downsample", x, (inputs, outputs, 1), stride, relu=False)
        return self.g.op("Relu", f"{name}.relu", self.g.op("Add", f"{name}.add", y, x))

    def head(self, x: ir.Value, features: int, classes: int) -> ir.Value:
        y = self.g.op("Flatten", "flatten", self.g.op("GlobalAveragePool", "pool", x), axis=1)
        weight = self.rng.standard_normal((classes, features), np.float32) * np.float32(features**-0.5)
        bias = self.g.constant("fc.bias", np.zeros(classes, np.float32))
        return self.g.op("Gemm", "logits", y, self.g.constant("fc.weight", weight), bias, transB=1)


def resnet(
    blocks: tuple[int, ...] = (3, 4, 6, 3),
    width: int = 64,
    classes: int = 1000,
    size: int = 224,
    seed: int = 0,
) -> ir.Model:
    """A ResNet of bottleneck blocks, by default ResNet-50: input [batch, 3, size, size], output `logits`."""
    net = ResNet(seed)
    image = ir.Value(
        name="input", type=ir.TensorType(ir.DataType.FLOAT), shape=ir.Shape(["batch", 3, size, size])
    )
    x = net.conv("stem", image, (3, width, 7), 2)
    x = net.g.op("MaxPool", "stem.pool", x, kernel_shape=[3, 3], strides=[2, 2], pads=[1, 1, 1, 1])
    features = width
    for stage, count in enumerate(blocks):
        inner = width << stage
        for number in range(count):
            stride = 2 if stage and not number else 1
            x = net.block(f"layer{stage + 1}.{number}", x, features, inner, stride)
            features = inner * EXPANSION
    logits = net.head(x, features, classes)
    logits.type, logits.shape = ir.TensorType(ir.DataType.FLOAT), ir.Shape(["batch", classes])
    graph = ir.Graph(
        [image],
        [logits],
        nodes=net.g.nodes,
        initializers=list(net.g.constants.values()),
        opset_imports={"": OPSET},
        name="resnet",
    )
    return ir.Model(graph, ir_version=10, producer_name="octavo benches")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("out", type=Path, help="the ONNX file to write")
    ir.save(resnet(), parser.parse_args().out)


if __name__ == "__main__":
    main()
