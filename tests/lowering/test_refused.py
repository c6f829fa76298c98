"""Graphs that no Program can hold are refused by name, and what only looks odd is not."""

import numpy as np
import onnx_ir as ir
import pytest
from octavo import reference
from octavo.errors import ModelError
from octavo.lowering import lower
from octavo.lowering.graph import float_program

F = ir.DataType.FLOAT


def value(name, dtype=F, shape=(2, 3), kind=ir.TensorType):
    return ir.Value(
        name=name,
        type=None if dtype is None else kind(dtype),
        shape=None if shape is None else ir.Shape(shape),
    )


def constant(name, array):
    tensor = ir.Tensor(array, name=name)
    return ir.Value(name=name, type=ir.TensorType(tensor.dtype), shape=tensor.shape, const_value=tensor)


def graph(nodes, inputs, outputs, constants=()):
    made = ir.Graph(inputs, outputs, nodes=nodes, initializers=constants, opset_imports={"": 25}, name="g")
    return ir.Model(made, ir_version=10)


def one(op, *inputs, made=None, name="node", **attributes):
    """A model of one node of these inputs (None: left out)."""
    outputs = made or [value("y")]
    node = ir.Node("", op, inputs, ir.convenience.convert_attributes(attributes), outputs=outputs, name=name)
    read = [v for v in dict.fromkeys(inputs) if v is not None]
    fed, fixed = [v for v in read if v.const_value is None], [v for v in read if v.const_value is not None]
    return graph([node], fed, [v for v in outputs if v.name], fixed)


def refused(model, *says):
    with pytest.raises(ModelError) as raised:
        float_program(model)
    for part in says:
        assert part in str(raised.value)


X = "x"


@pytest.mark.parametrize(
    ("model", "says"),
    [
        (lambda: one("Relu", value("")), "a value of the graph has no name; save the model again"),
        (lambda: one("Relu", value(X, None)), "the type of the value 'x' is not known; run shape inference"),
        (lambda: one("Relu", value(X), made=[value("y", None)]), "the type of the value 'y' is not known"),
        (lambda: one("Identity", value(X, kind=ir.SequenceType)), "the value 'x' is a sequence or optional"),
        (
            lambda: one("Relu", value(X, ir.DataType.BFLOAT16)),
            "the value 'x' is bfloat16, which octavo cannot",
        ),
        (
            lambda: one("Relu", value(X, ir.DataType.UINT16)),
            "the value 'x' is uint16, which octavo cannot hold",
        ),
        (
            lambda: one("Add", value(X), constant("c", np.zeros(2, np.uint32))),
            "the constant 'c' is uint32, which octavo cannot hold",
        ),
        (
            lambda: one("Transpose", value(X, shape=None)),
            "Transpose of 'x': without perm, the rank must be known",
        ),
        (
            lambda: one("Conv", value(X), value("w", shape=None)),
            "Conv by 'w': the size of its kernel must be",
        ),
        (lambda: one("Conv", value(X), value("w", shape=(1, 1, "K"))), "Conv by 'w': the size of its kernel"),
        (
            lambda: one("ConvTranspose", value(X), value("w", shape=None)),
            "ConvTranspose by 'w': the number of its axes must be known",
        ),
        (lambda: one("Softmax", value(X), odd=3), "node 'node': octavo's Softmax does not have odd = 3"),
        (
            lambda: one("Softmax", value(X), odd=ir.Tensor(np.zeros(1))),
            "node 'node': attribute 'odd' of Softmax is of the kind TENSOR",
        ),
        (lambda: one("Elu", value(X, ir.DataType.INT32)), "the model asks for what octavo does not have: "),
        (lambda: one("Relu", value(X), value("z")), "the model asks for what octavo does not have: "),
        (
            lambda: one("BitwiseNot", value(X, ir.DataType.FLOAT16), made=[value("y", ir.DataType.FLOAT16)]),
            "'x' of f16",
        ),
        (lambda: one("Add", value(X)), "the model asks for what octavo does not have: "),
        (lambda: one("Det", value(X)), "octavo has no operator Det (node 'node')"),
    ],
)
def test_what_a_program_cannot_hold(model, says):
    refused(model(), says)


def test_a_constant_that_cannot_be_read():
    """Its value is an attribute of a function that is not there."""
    x = value(X)
    of_function = ir.RefAttr("value", "outer", ir.AttributeType.TENSOR)
    node = ir.Node("", "Constant", [], [of_function], outputs=[value("k", shape=(1,))])
    last = ir.Node("", "Add", [x, node.outputs[0]], outputs=[value("y")], name="a")
    refused(graph([node, last], [x], [last.outputs[0]]), "the constant 'k' has no value that can be read")


def test_sub_graphs():
    body = ir.Graph([], [value("t")], nodes=[ir.Node("", "Relu", [value(X)], outputs=[value("t")])], name="b")
    refused(one("Identity", value(X), inner=body), "Identity has a sub-graph, which octavo cannot run")


def dropouts(count, mode, op=None):
    """A row of Dropouts in training mode: not said, constant, or fed; and one more operator, if any."""
    x, ratio = value(X), constant("r", np.float32(0.5))
    flag = {None: None, True: constant("t", np.array(True)), "fed": value("t", ir.DataType.BOOL, ())}[mode]
    given, nodes = x, []
    for index in range(count):
        inputs = [given, ratio, *([] if flag is None else [flag])]
        nodes.append(ir.Node("", "Dropout", inputs, outputs=[value(f"d{index}")], name=f"n{index}"))
        given = nodes[-1].outputs[0]
    if op is not None:
        nodes.append(ir.Node("", op, [given], outputs=[value("e")], name="more"))
    fed, fixed = [x, *([flag] if mode == "fed" else [])], [ratio, *([flag] if mode is True else [])]
    return graph(nodes, fed, [nodes[-1].outputs[0]], fixed)


@pytest.mark.parametrize("count", [1, 2, 3])
@pytest.mark.parametrize("mode", [None, True, "fed"])
def test_dropouts_that_drop(count, mode):
    who = "node 'n0' (Dropout)" + (f" and {count - 1} more drop" if count > 1 else " drops")
    where = f"{who} at random{' where ' if mode == 'fed' else ''}" + (
        "'t' is true: " if mode == "fed" else ": "
    )
    refused(dropouts(count, mode), where + "octavo runs inference alone")
    refused(dropouts(count, mode, "Det"), f"octavo has no operator Det (node 'more'); {where}")


def test_a_dropout_of_another_domain_is_an_operator_like_others():
    node = ir.Node("mine", "Dropout", [value(X)], outputs=[value("y")], name="n")
    refused(graph([node], [node.inputs[0]], [node.outputs[0]]), "has no operator mine::Dropout (node 'n')")


def test_attributes_at_their_defaults_and_those_of_no_use_are_taken():
    def attributes(op, made="y", dtype=F, **given):
        model = one(op, value(X, shape=(1, 2, 4, 4)), made=[value(made, dtype)], **given)
        return float_program(model).nodes[0].attributes

    assert "storage_order" not in attributes("MaxPool", kernel_shape=[2, 2], storage_order=0, ceil_mode=0)
    assert attributes("MaxPool", kernel_shape=[2, 2], storage_order=1)["storage_order"] == 1
    assert attributes("Cast", dtype=ir.DataType.FLOAT16, to=10, saturate=0) == {"to": 10}


def test_strides_and_pads_of_an_unpool_that_are_left_out():
    x, places = value(X, shape=(1, 2, 4, 4)), value("places", ir.DataType.INT64, (1, 2, 4, 4))
    attributes = float_program(one("MaxUnpool", x, places, kernel_shape=[2, 3])).nodes[0].attributes
    assert attributes == {"kernel_shape": [2, 3], "strides": [1, 1], "pads": [0, 0, 0, 0]}


def test_constants_of_nodes_and_inputs_with_a_default():
    """A Constant is a constant, under its name; an initializer that is an input too is no input."""
    x, held = value(X), constant("held", np.full((2, 3), 2, np.float32))
    five = ir.AttrTensor("value", ir.Tensor(np.full(3, 5, np.float32)))
    node = ir.Node("", "Constant", [], [five], outputs=[value("five", shape=(3,))], name="c")
    first = ir.Node("", "Add", [x, held], outputs=[value("a")], name="a")
    last = ir.Node("", "Add", [first.outputs[0], node.outputs[0]], outputs=[value("y")], name="b")
    program = lower(graph([node, first, last], [x, held], [last.outputs[0]], [held])).program
    assert program.inputs == ["x"]
    assert {name: array.tolist() for name, array in program.constants.items()} == {
        "held": [[2] * 3] * 2,
        "five": [5] * 3,
    }
    assert [made.op for made in program.nodes] == ["Add", "Add"]


@pytest.mark.parametrize(
    ("stated", "free", "shown"),
    [
        ((2, None), (), (2, "y.1")),
        ((None, None), ("y.0",), ("y.0_", "y.1")),
        ((None, "N"), ("y.0", "y.0_"), ("y.0__", "N")),
        (("", 3), ("y.1",), ("y.0", 3)),
        (None, ("y.0",), None),
    ],
)
def test_symbols_of_axes_that_have_no_name(stated, free, shown):
    """They are made of the value's name, and of no axis of an input."""
    x = value(X, shape=free or (2,))
    program = float_program(one("Relu", x, made=[value("y", shape=stated)]))
    assert program.values["y"].shape == shown
    assert program.values["x"].shape == (free or (2,))


def test_names_of_nodes_are_made_and_numbered():
    x = value(X)
    nodes, given = [], x
    for name in ("", "Relu", "n", "n", "", "Relu_2"):
        nodes.append(ir.Node("", "Relu", [given], outputs=[value(f"v{len(nodes)}")], name=name))
        given = nodes[-1].outputs[0]
    program = float_program(graph(nodes, [x], [given]))
    assert [node.name for node in program.nodes] == ["Relu", "Relu_2", "n", "n_2", "Relu_3", "Relu_2_2"]


def test_inputs_and_outputs_that_are_left_out_at_the_end_are_dropped():
    assert float_program(one("Clip", value(X), None, None)).nodes[0].inputs == ("x",)
    bound = constant("hi", np.float32(1))
    assert float_program(one("Clip", value(X), None, bound)).nodes[0].inputs == ("x", "", "hi")
    for made, names in (
        ([value("y", shape=(2, 1)), value("", None)], ("y",)),
        ([value("", None), value("i", ir.DataType.INT64, (2, 1))], ("", "i")),
    ):
        model = one("TopK", value(X), constant("k", np.array([1])), made=made)
        assert float_program(model).nodes[0].outputs == names


@pytest.mark.parametrize("wanted", [[0, 1, 2], [0, 2], [2], [0, 1, 2, 3], [3]], ids=str)
def test_outputs_before_the_last_that_is_wanted_keep_their_places(wanted):
    kinds = [(F, ("n",)), *[(ir.DataType.INT64, ("n",))] * 3]
    made = [value(f"v{i}" if i in wanted else "", *kind) for i, kind in enumerate(kinds)]
    names = float_program(one("Unique", value(X), made=made)).nodes[0].outputs
    assert names == tuple(f"v{i}" if i in wanted else "" for i in range(wanted[-1] + 1))


def test_an_array_without_a_fill_value_is_of_zeros():
    model = one("ConstantOfShape", constant("s", np.array([2, 3])))
    program = float_program(model)
    (fill,) = [array for name, array in program.constants.items() if name != "s"]
    assert (fill.dtype, fill.tolist()) == (np.float32, [0.0])
    (y,) = reference.run(program, {})
    assert (y.dtype, y.tolist()) == (np.float32, [[0.0] * 3] * 2)


def test_an_empty_tensor_is_an_input_left_out_of_resize_alone():
    x, empty = value(X, shape=(1, 3)), constant("e", np.zeros(0, np.float32))
    scales = constant("s", np.array([1, 2], np.float32))
    program = float_program(one("Resize", x, empty, scales, made=[value("y", shape=(1, 6))]))
    assert program.nodes[0].inputs == ("x", "", "s")
    axes = constant("axes", np.zeros(0, np.int64))
    program = float_program(one("ReduceSum", value(X), axes, made=[value("y", shape=(1, 1))]))
    assert program.nodes[0].inputs == ("x", "axes")


@pytest.mark.parametrize("mode", ["NOTSET", "VALID", "SAME_UPPER", "SAME_LOWER"])
@pytest.mark.parametrize("given", [{}, {"pads": [1, 2, 3, 4]}, {"output_shape": [9, 9]}], ids=str)
def test_the_window_of_a_transposed_convolution(mode, given):
    x, w = value(X, shape=(1, 2, 4, 4)), constant("w", np.zeros((2, 3, 3, 3), np.float32))
    model = one("ConvTranspose", x, w, auto_pad=mode, made=[value("y", shape=None)], **given)
    attributes = float_program(model).nodes[0].attributes
    assert (attributes["strides"], attributes["dilations"], attributes["output_padding"]) == ([1, 1],) * 2 + (
        [0, 0],
    )
    if "output_shape" in given:
        assert attributes["auto_pad"] == ("SAME_UPPER" if mode == "SAME_UPPER" else "SAME_LOWER")
        assert "pads" not in attributes
    elif mode.startswith("SAME"):
        assert attributes["auto_pad"] == mode
        assert "pads" not in attributes
    else:
        assert attributes["pads"] == ([0] * 4 if mode == "VALID" else given.get("pads", [0] * 4))
        assert "auto_pad" not in attributes


@pytest.mark.parametrize("op", ["MaxPool", "AveragePool", "LpPool", "Conv"])
@pytest.mark.parametrize("axes", [1, 2, 3])
def test_the_window_of_convolutions_and_pools(op, axes):
    kernel = {} if op == "Conv" else {"kernel_shape": [3] * axes}
    for given in ({}, {"strides": [2] * axes, "dilations": [2] * axes, "pads": [1] * axes + [0] * axes}):
        inputs = [value(X, shape=(1, 2) + (9,) * axes)]
        if op == "Conv":
            inputs.append(constant("w", np.zeros((2, 2) + (3,) * axes, np.float32)))
        attributes = (
            float_program(one(op, *inputs, made=[value("y", shape=None)], **kernel, **given))
            .nodes[0]
            .attributes
        )
        assert attributes["strides"] == given.get("strides", [1] * axes)
        assert attributes["dilations"] == given.get("dilations", [1] * axes)
        assert attributes["pads"] == given.get("pads", [0] * 2 * axes)
