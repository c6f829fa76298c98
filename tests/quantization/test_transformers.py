"""An encoder of sentences: token ids and a mask of free batch and length, norms and Gelu spelled out."""

import numpy as np
import octavo
import onnx
import onnx.parser
import pytest
from octavo.program import Program

WORDS, WIDTH, HEADS, LAYERS = 50, 24, 3, 2

NORM = """
    {y}_mean = ReduceMean<axes=[-1]>({x}) {y}_centred = Sub({x}, {y}_mean)
    {y}_square = Pow({y}_centred, two) {y}_var = ReduceMean<axes=[-1]>({y}_square)
    {y}_safe = Add({y}_var, epsilon) {y}_root = Sqrt({y}_safe) {y}_unit = Div({y}_centred, {y}_root)
    {y}_scaled = Mul({y}_unit, {y}_gamma) {y} = Add({y}_scaled, {y}_beta)
"""
DENSE = "{y}_product = MatMul({x}, {y}_weight) {y} = Add({y}_product, {y}_bias)"
LAYER = f"""
    {DENSE.format(x="{x}", y="{l}q")} {DENSE.format(x="{x}", y="{l}k")} {DENSE.format(x="{x}", y="{l}v")}
    {{l}}qs = Reshape({{l}}q, split) {{l}}ks = Reshape({{l}}k, split) {{l}}vs = Reshape({{l}}v, split)
    {{l}}qt = Transpose<perm=[0,2,1,3]>({{l}}qs) {{l}}kt = Transpose<perm=[0,2,3,1]>({{l}}ks)
    {{l}}vt = Transpose<perm=[0,2,1,3]>({{l}}vs)
    {{l}}raw = MatMul({{l}}qt, {{l}}kt) {{l}}scores = Div({{l}}raw, root) {{l}}masked = Add({{l}}scores, bias)
    {{l}}shares = Softmax<axis=-1>({{l}}masked) {{l}}context = MatMul({{l}}shares, {{l}}vt)
    {{l}}turned = Transpose<perm=[0,2,1,3]>({{l}}context) {{l}}joined = Reshape({{l}}turned, whole)
    {DENSE.format(x="{l}joined", y="{l}o")} {{l}}sum = Add({{l}}o, {{x}})
    {NORM.format(x="{l}sum", y="{l}m")}
    {DENSE.format(x="{l}m", y="{l}h")}
    {{l}}unit = Div({{l}}h, sqrt_two) {{l}}erf = Erf({{l}}unit) {{l}}more = Add({{l}}erf, one)
    {{l}}half = Mul({{l}}h, {{l}}more) {{l}}gelu = Mul({{l}}half, point_five)
    {DENSE.format(x="{l}gelu", y="{l}p")} {{l}}total = Add({{l}}p, {{l}}m)
    {NORM.format(x="{l}total", y="{l}y")}
"""


def encoder() -> onnx.ModelProto:
    rng = np.random.default_rng(7)
    text = "words = Gather(table, ids) " + NORM.format(x="words", y="start")
    text += """wide = Cast<to=1>(mask) missing = Sub(one, wide) flat = Mul(missing, least)
        bias = Unsqueeze(flat, middle)"""
    x = "start"
    for layer in range(LAYERS):
        text += LAYER.format(x=x, l=f"l{layer}_")
        x = f"l{layer}_y"
    text += (
        f"columns = Unsqueeze(wide, last) kept = Mul({x}, columns) y = ReduceMean<axes=[1], keepdims=0>(kept)"
    )
    proto = onnx.parser.parse_model(
        '<ir_version: 8, opset_import: ["" : 17]> g (int64[N,L] ids, int64[N,L] mask)'
        f"=> (float[N,{WIDTH}] y) {{ {text} }}"
    )
    constants = {
        "table": rng.normal(size=(WORDS, WIDTH)),
        "two": 2.0, "one": 1.0, "point_five": 0.5, "sqrt_two": 2.0**0.5, "epsilon": 1e-5, "least": -3.4e38,
        "root": (WIDTH / HEADS) ** 0.5, "split": [0, 0, HEADS, WIDTH // HEADS], "whole": [0, 0, WIDTH],
        "middle": [1, 2], "last": [2],
    }  # fmt: skip
    shapes = {"h": (WIDTH, 4 * WIDTH), "p": (4 * WIDTH, WIDTH)}
    for node in proto.graph.node:
        if node.op_type == "MatMul" and node.input[1].endswith("_weight"):
            name = node.input[1].removesuffix("_weight")
            shape = shapes.get(name[-1], (WIDTH, WIDTH))
            constants[f"{name}_weight"] = rng.normal(size=shape) / shape[0] ** 0.5
            constants[f"{name}_bias"] = rng.normal(size=shape[1]) / 10
        if node.op_type == "Mul" and node.input[1].endswith("_gamma"):
            constants[node.input[1]] = rng.uniform(0.5, 1.5, WIDTH)
            constants[node.input[1].replace("gamma", "beta")] = rng.normal(size=WIDTH) / 10
    for name, array in constants.items():
        dtype = np.int64 if name in ("split", "whole", "middle", "last") else np.float32
        proto.graph.initializer.append(onnx.numpy_helper.from_array(np.asarray(array, dtype), name))
    return proto


def sentences(lengths: list[int], seed: int) -> dict[str, np.ndarray]:
    rng, longest = np.random.default_rng(seed), max(lengths)
    mask = (np.arange(longest) < np.array(lengths)[:, None]).astype(np.int64)
    return {"ids": rng.integers(0, WORDS, mask.shape) * mask, "mask": mask}


@pytest.fixture(scope="module")
def model() -> onnx.ModelProto:
    return encoder()


@pytest.fixture(scope="module")
def quantized(model):
    """From sentences of many lengths, none of them padded."""
    return octavo.quantize(model, [sentences([length], length) for length in range(3, 12)])


def counted(program: Program, op: str) -> int:
    return sum(node.op == op for node in program.nodes)


def test_every_product_is_in_integers(quantized):
    counts = {op: counted(quantized.program, op) for op in ("QGemm", "QMatMul", "Lookup", "MatMul")}
    assert counts == {"QGemm": 6 * LAYERS, "QMatMul": 2 * LAYERS, "Lookup": LAYERS, "MatMul": 0}
    assert counted(quantized.program, "Erf") == 0
    assert quantized.report.integer_ops["QExponentials"] == LAYERS
    # What feeds products is quantized once: the norms' results, and those of attention.
    assert counted(quantized.program, "Quantize") == 3 * LAYERS
    assert counted(quantized.program, "Dequantize") == 0
    assert quantized.report.macs == quantized.report.integer_macs > 0


def test_answers_are_near_those_in_float(model, quantized):
    feeds = sentences([9, 4, 7, 12], 99)
    (want,) = octavo.Session(model).run(None, feeds)
    (got,) = octavo.Session(quantized).run(None, feeds)
    cosines = (want * got).sum(1) / np.linalg.norm(want, axis=1) / np.linalg.norm(got, axis=1)
    assert cosines.min() > 0.995


@pytest.mark.parametrize("length", [40, 200, 600])
def test_attention_keeps_the_sums_of_its_rows_at_lengths_never_seen(model, quantized, length):
    """In steps of 1/256 the probabilities of 600 tokens would nearly all be 0."""
    feeds = sentences([length], length)
    (want,), (got,) = (octavo.Session(m).run(None, feeds) for m in (model, quantized))
    assert (want * got).sum() / np.linalg.norm(want) / np.linalg.norm(got) > 0.995


def test_bits_do_not_depend_on_machine_threads_or_batch(quantized):
    feeds = sentences([9, 4, 7, 12], 99)
    (want,) = octavo.reference.run(quantized.program, feeds)
    for isa in octavo.tiers():
        for threads in (1, 2):
            session = octavo.Session(quantized, threads=threads, isa=isa)
            assert session.run(None, feeds)[0].tobytes() == want.tobytes(), (isa, threads)
            rows = [session.run(None, {n: a[i : i + 1] for n, a in feeds.items()})[0] for i in range(4)]
            assert np.concatenate(rows).tobytes() == want.tobytes(), (isa, threads)


def test_padding_changes_no_token(quantized):
    """Though calibration never saw any: masked scores are in float, and their shares are 0."""
    session = octavo.Session(quantized)
    padded = sentences([5, 12], 3)
    alone = {name: array[:1, :5] for name, array in padded.items()}
    long, short = session.run(None, padded)[0][0], session.run(None, alone)[0][0]
    assert np.allclose(long * 12, short * 5, rtol=1e-5, atol=1e-5)  # y is a mean over the padded length


def test_a_profile_names_products_of_activations(quantized):
    feeds = sentences([8, 8], 1)
    rows = octavo.Session(quantized).profile(feeds)
    products = [row for row in rows if row.op == "QMatMul" and row.macs]
    assert len(products) == 2 * LAYERS
    assert {row.macs for row in products} == {2 * HEADS * 8 * 8 * (WIDTH // HEADS)}
    assert all("u8i8-gemm" in row.kernel for row in products)
    assert "Transpose" not in {row.op for row in rows}
