"""Where integers are at hand: of which inputs, by which readers, and what moves to them keeps one scale."""

import math

import numpy as np
import pytest

IMAGE = "float[N,4,6,6]"
F = np.float32


@pytest.fixture
def network(quantized, rng):
    def make(nodes, inputs=f"{IMAGE} x", outputs="float y", **more):
        names = [part.split()[-1] for part in inputs.split(", ")]
        feeds = {name: rng.normal(size=(2, 4, 6, 6)).astype(F) for name in names}
        constants = {"v": rng.normal(size=(4, 4, 1, 1)).astype(F), **more}
        return quantized(f"g ({inputs}) => ({outputs}) {{ {nodes} }}", feeds, **constants)

    return make


@pytest.mark.parametrize("op", ["Add", "Sub", "Mul"])
@pytest.mark.parametrize("order", ["c, x", "x, c"])
def test_an_input_that_is_quantized_anyway_is_at_hand(network, op, order):
    case = network(f"c = Conv(x, v) r = {op}({order}) y = Conv(r, v)")
    between = {"Add": [], "Sub": ["QAdd"], "Mul": ["QMul"]}[op]  # the convolution takes in an Add
    assert case.ops == ["Quantize", "QConv", *between, "QConv"]
    assert case.lowered.stays == []
    assert case.sqnr() > 25


@pytest.mark.parametrize("op", ["Add", "Sub", "Mul"])
@pytest.mark.parametrize("order", ["c, z", "z, c"])
def test_an_input_that_nothing_else_quantizes_is_not(network, op, order):
    case = network(f"c = Conv(x, v) r = {op}({order}) y = Conv(r, v)", f"{IMAGE} x, {IMAGE} z")
    assert case.ops == ["Quantize", "QConv", op, "Quantize", "QConv"]
    assert {stay.op for stay in case.lowered.stays} == {op}


def test_an_input_that_sums_alone_would_quantize_is_not_either(network):
    case = network("c = Conv(x, v) r = Add(c, z) s = Mul(r, z) y = Conv(s, v)", f"{IMAGE} x, {IMAGE} z")
    assert case.ops == ["Quantize", "QConv", "Add", "Mul", "Quantize", "QConv"]


def test_a_movement_quantizes_what_a_sum_reads(network):
    text = "c = Conv(x, v) m = MaxPool<kernel_shape=[1,1]>(z) r = Add(c, m) y = Conv(r, v)"
    assert "Add" in network(text, f"{IMAGE} x, {IMAGE} z").ops


MOVES = ["MaxPool<kernel_shape=[1,1]>(x)", "Transpose<perm=[0,1,3,2]>(x)", "Identity(x)"]


@pytest.mark.parametrize("move", MOVES)
@pytest.mark.parametrize(
    "others", ["", "z = PRelu(m, s)", "z = PRelu(m, s) t = LpNormalization(m)", "z = Neg(m)"]
)
def test_one_reader_of_integers_is_enough_for_a_movement(network, move, others):
    """Whatever else reads it, and in whichever order; where none does, it moves floats."""
    slopes = {"s": np.full((4, 1, 1), 0.5, F)} if "s)" in others else {}
    names = ["y", *(part.split()[-1] for part in others.split(" = ")[:-1])]
    outputs = ", ".join(f"float {name}" for name in names)
    for nodes in (f"m = {move} y = Conv(m, v) {others}", f"m = {move} {others} y = Conv(m, v)"):
        case = network(nodes, outputs=outputs, **slopes)
        made = case.node(move.split("<")[0].split("(")[0]).outputs[0]
        assert case.lowered.program.values[made].dtype == "u8"
        assert case.ops.count("Quantize") == 1
        assert case.sqnr() > 25


@pytest.mark.parametrize("read", range(3))
def test_one_piece_that_integers_read_is_enough_for_a_split(network, rng, read):
    pieces = ["a", "b", "c"]
    rest = [name for name in pieces if name != pieces[read]]
    nodes = f"a, b, c = Split<axis=1>(x, l) y = Conv({pieces[read]}, u) r = PRelu({rest[0]}, s)"
    constants = {
        "l": np.array([1, 1, 2]),
        "u": rng.normal(size=(4, (1, 1, 2)[read], 1, 1)).astype(F),
        "s": np.full((1, 1, 1), 0.5, F),
    }
    case = network(nodes, outputs=f"float y, float r, float {rest[1]}", **constants)
    made = case.node("Split").outputs
    assert [case.lowered.program.values[name].dtype for name in made] == ["u8"] * 3
    assert case.sqnr() > 25


@pytest.mark.parametrize("count", [2, 4])
@pytest.mark.parametrize("read", [0, 1, -1])
@pytest.mark.parametrize("before", ["", "t = Transpose<perm=[0,1,3,2]>(c)"])
def test_every_piece_of_a_split_has_the_scale_of_the_whole(network, rng, count, read, before):
    pieces = [f"p{i}" for i in range(count)]
    channels = 4 // count
    weight = rng.normal(size=(4, channels, 1, 1)).astype(F)
    rest = ", ".join(piece for piece in pieces if piece != pieces[read])
    outputs = "float y, " + ", ".join(f"float {piece}" for piece in rest.split(", "))
    source = "t" if before else "c"
    case = network(
        f"c = Conv(x, v) {before} {', '.join(pieces)} = Split<axis=1, num_outputs={count}>({source}) "
        f"y = Conv({pieces[read]}, k)",
        outputs=outputs,
        k=weight,
    )
    split = case.node("Split")
    program = case.lowered.program
    found = {
        (float(program.values[name].quant.scale[0]), int(program.values[name].quant.zero_point[0]))
        for name in (split.inputs[0], *split.outputs)
    }
    assert len(found) == 1
    assert case.sqnr() > 25


@pytest.mark.parametrize("rank", [1, 2, 3])
@pytest.mark.parametrize("bias", [(3,), ()])
def test_a_bias_behind_a_vector_is_added(quantized, rng, rank, bias):
    shape = (2, 5, 6)[3 - rank :]
    text = f"g (float[{','.join(map(str, shape))}] x) => (float y) {{ m = MatMul(x, w) y = Add(m, b) }}"
    constants = {"w": rng.normal(size=(6, 3)).astype(F), "b": np.full(bias, 100, F)}
    case = quantized(text, rng.normal(size=shape).astype(F), **constants)
    assert ("Add" in case.ops) == (rank == 1)
    assert case.sqnr() > 30


@pytest.mark.parametrize("dtypes", ["int32 int32", "int64 int32", "int32 int64", "int64 int64"])
def test_powers_of_integers_are_of_the_wider_type(floats, dtypes):
    base, exponent = dtypes.split()
    program = floats(f"g ({base}[N] x, {exponent}[N] n) => ({base}[N] y) {{ y = Pow(x, n) }}")
    (power,) = [node for node in program.nodes if node.op == "Pow"]
    wide = "i64" if "int64" in dtypes else "i32"
    assert {program.values[name].dtype for name in (*power.inputs, *power.outputs)} == {wide}
    assert program.values["y"].dtype == base.replace("int", "i")


@pytest.mark.parametrize("step", [0.5, 0.25, 0.0625])
def test_each_entry_of_a_softmax_is_the_nearest(lowered, step):
    """By Python's own exponential: the table is of ours, an ulp or so beside it."""
    text = """g (float[2,4] x) => (float y) { m = MatMul(x, w) s = Softmax(m) y = MatMul(s, w) }"""
    ranges = {"x": (0, 1), "m": (0, 255 * step / 8), "s": (0, 1), "y": (0, 1)}
    made = lowered(text, ranges, w=np.eye(4, dtype=F)).program
    (node,) = [node for node in made.nodes if node.op == "QSoftmax"]
    table = made.constants[node.inputs[1]]
    scale = float(made.values[node.inputs[0]].quant.scale[0])
    exact = [2**22 * math.exp(-scale * d) for d in range(256)]
    assert table[0] == 2**22
    assert (np.abs(table - np.array(exact)) <= 0.5 + 2.0**-22 * np.array(exact)).all()


@pytest.mark.parametrize("keepdims", [0, 1])
@pytest.mark.parametrize("axes", [[2, 3], [-1, -2], [3], [-2]])
def test_means_keep_their_axes_or_drop_them(quantized, rng, keepdims, axes):
    text = f"""g ({IMAGE} x) => (float y) {{ c = Conv(x, v) r = ReduceMean<keepdims={keepdims}>(c, a)
        s = Flatten(r) y = MatMul(s, w) }}"""
    left = 4 if len(axes) == 2 else 24
    constants = {"v": rng.normal(size=(4, 4, 1, 1)).astype(F), "w": rng.normal(size=(left, 3)).astype(F)}
    case = quantized(text, rng.normal(size=(2, 4, 6, 6)).astype(F), a=np.array(axes), **constants)
    node = case.node("QReduceMean")
    assert node.attributes["keepdims"] == keepdims
    assert node.attributes["axes"] == sorted(axis % 4 for axis in axes)
    assert case.sqnr() > 20


@pytest.mark.parametrize("axes", [[1], [0], [0, 2, 3], [1, 2, 3], [-3, -1]])
def test_means_over_channels_or_batch_stay_float(network, axes):
    case = network("c = Conv(x, v) r = ReduceMean(c, a) y = Add(r, c)", a=np.array(axes))
    assert "ReduceMean" in case.ops
    assert any("only axes after the channels' run in integers" in reason for reason in case.reasons.values())


@pytest.mark.parametrize(
    ("steps", "fits"), [(-0.9, True), (-1.2, False), (255.9, True), (256.2, False), (100, True)]
)
def test_a_pad_value_lies_within_a_step_of_its_input(lowered, steps, fits):
    """The values are 0 to 255 eighths."""
    text = f"g ({IMAGE} x) => (float y) {{ c = Conv(x, v) p = Pad(c, a, k) y = Conv(p, v) }}"
    pads, weight = np.array([0, 0, 1, 1, 0, 0, 1, 1]), np.eye(4, dtype=F).reshape(4, 4, 1, 1)
    ranges = {"x": (0, 1), "c": (0, 255 / 8), "p": (0, 255 / 8), "y": (0, 1)}
    made = lowered(text, ranges, v=weight, a=pads, k=F(steps / 8))
    assert any("lies outside the range of its input" in stay.reason for stay in made.stays) != fits
    if fits:
        (pad,) = [node for node in made.program.nodes if node.op == "Pad"]
        assert made.program.constants[pad.inputs[2]] == min(max(round(steps), 0), 255)


@pytest.mark.parametrize("mode", ["asymmetric", "half_pixel", "tf_crop_and_resize"])
def test_a_picture_that_may_be_left_is_resized_in_float(network, mode):
    inputs = "c, r, s" if mode == "tf_crop_and_resize" else "c, , s"
    node = f'z = Resize<mode="nearest", coordinate_transformation_mode="{mode}">({inputs})'
    constants = {"s": F([1, 1, 2, 2])} | ({"r": F([0, 0, 0, 0, 1, 1, 1, 1])} if "r" in inputs else {})
    case = network(f"c = Conv(x, v) {node} y = Conv(z, v)", **constants)
    made = case.node("Resize")
    assert case.lowered.program.values[made.outputs[0]].dtype == ("f32" if "r" in inputs else "u8")


@pytest.mark.parametrize(
    ("bias", "runs"),
    [
        ((5,), True),
        ((1, 5), True),
        ((1,), True),
        ((), True),
        ((1, 1), True),
        ((5, 1), False),
        ((5, 5), False),
    ],
)
def test_a_bias_of_rows_is_none_of_columns(quantized, rng, bias, runs):
    """As many rows as columns, so that the number of elements does not tell."""
    text = "g (float[5,5] x) => (float y) { y = Gemm(x, w, c) }"
    constants = {"w": rng.normal(size=(5, 5)).astype(F), "c": np.asarray(9 * rng.normal(size=bias), F)}
    case = quantized(text, rng.normal(size=(5, 5)).astype(F), **constants)
    assert ("QGemm" in case.ops) == runs
    assert case.sqnr() > 30
