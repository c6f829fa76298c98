"""Weights and biases of products whose sums a residual joins, and what a report counts of them."""

from dataclasses import replace

import numpy as np
import octavo
import onnx
import onnx.parser
import pytest
from octavo.calibration import RULES
from octavo.lowering import product
from octavo.program.scales import scale_of_sums
from octavo.quantization.channels import candidates
from octavo.quantization.products import fits, products_of
from octavo.quantization.recipes import RECIPES
from octavo.quantization.rounding import round_weights
from octavo.quantization.stages import STAGES
from octavo.quantization.work import Work

F = np.float32
BODY = "a = Conv(x, w1, b1) r = Relu(a) c = Conv(r, w2, b2) s = Add(c, r) {} y = Conv({}, w3, b3)"
PLAIN, CLIPPED = BODY.format("", "s"), BODY.format("t = Relu(s)", "t")


def network(body):
    rng = np.random.default_rng(6)
    text = (
        f'<ir_version: 10, opset_import: ["" : 21]> g (float[N,8,7,7] x) => (float[N,8,7,7] y) {{ {body} }}'
    )
    proto = onnx.parser.parse_model(text)
    for at in (1, 2, 3):
        shape = (8, 1, 1, 1) if f"group = 8>(s, w{at}" in body else (8, 8, 1, 1)
        weights = {f"w{at}": rng.normal(size=shape) / 3, f"b{at}": rng.normal(size=8)}
        for name, array in weights.items():
            proto.graph.initializer.append(onnx.numpy_helper.from_array(array.astype(F), name))
    return proto


@pytest.fixture(scope="module")
def pictures():
    return np.random.default_rng(7).normal(size=(40, 8, 7, 7)).astype(F)


def lowered(body, data):
    work = Work(network(body), data, RECIPES["int8"], [RULES["minmax"]], threads=1)
    for name in work.recipe.stages[: work.recipe.stages.index("lower") + 1]:
        STAGES[name](work)
    return work


@pytest.mark.parametrize("body", [PLAIN, CLIPPED])
def test_such_a_product_stands_for_its_own_result(pictures, body):
    work = lowered(body, pictures)
    first, second, third = products_of(work.floats, work.lowered)
    assert [len(found.node.inputs) for found in (first, second, third)] == [5, 8, 4]
    assert (first.before, first.behind, first.low) == ("a", "r", 0.0)
    assert (second.before, second.behind, second.low, second.high) == ("c", "c", -np.inf, np.inf)
    assert not second.has_activation
    assert (third.before, third.behind) == ("y", "y")


@pytest.mark.parametrize("body", [PLAIN, CLIPPED])
def test_its_bias_keeps_the_mean_of_its_own_result(pictures, body):
    """Whatever the residual is off: that is not its own error."""
    work = lowered(body, pictures)
    made = round_weights(work.floats, work.lowered, work.calibration.kept.feeds, 1)
    node, program = products_of(work.floats, made)[1].node, made.program
    x = np.concatenate([sample["x"] for sample in work.calibration.kept.feeds])
    [seen] = octavo.Session(replace(program, outputs=[node.inputs[0]]), threads=1).run(None, {"x": x})
    weight, bias = (program.constants[name].astype(np.int64) for name in node.inputs[1:3])
    sums = np.einsum("oi,nihw->nohw", weight[:, :, 0, 0], seen - np.int64(node.attributes["x_zero_point"]))
    unit = scale_of_sums(program, node)
    found = (sums.mean(axis=(0, 2, 3)) + bias) * unit
    [wanted] = octavo.Session(replace(work.floats, outputs=["c"]), threads=1).run(None, {"x": x})
    np.testing.assert_allclose(found, wanted.astype(np.float64).mean(axis=(0, 2, 3)), atol=2 * unit.max())
    before = work.lowered.program.constants[node.inputs[2]]
    assert (np.abs(bias - before) > 4).any()


def test_a_bias_fits_where_the_residual_has_room_too(pictures):
    work = lowered(PLAIN, pictures)
    program, node = work.lowered.program, products_of(work.floats, work.lowered)[1].node
    weight, bias = (program.constants[name] for name in node.inputs[1:3])
    zero, most = node.attributes["x_zero_point"], 2**31 - 1
    reach = np.abs(weight.astype(np.int64)).sum(axis=(1, 2, 3)) * max(zero, 255 - zero)
    multiplier, shift = (program.constants[name].astype(np.int64) for name in node.inputs[6:])
    r = node.attributes["r_zero_point"]
    terms = [abs(((end - r) * multiplier + (1 << (shift - 1))) >> shift) for end in (0, 255)]
    room = most - reach - np.maximum(*terms)
    for channel in range(8):
        for sign in (1, -1):
            full = bias.copy()
            full[channel] = sign * room[channel]
            assert fits(program, node, weight, full)
            full[channel] += sign
            assert not fits(program, node, weight, full)


def test_a_sum_has_no_scale_a_channel(pictures):
    """Though depthwise convolutions alone read it, and it is from 0 on."""
    sums = "a = Conv(x, w1, b1) r = Relu(a) c = Conv(r, w2, b2) s0 = Add(c, r) s = Relu(s0)"
    work = lowered(f"{sums} y = Conv<group = 8>(s, w3, b3)", pictures)
    assert [node.op for node in work.lowered.program.nodes if len(node.inputs) > 5] == ["QConv"]
    assert list(candidates(work.lowered)) == []


def test_a_report_counts_the_product(pictures):
    report = octavo.quantize(network(CLIPPED), pictures).report
    assert report.integer_ops == {"QConv": 3}
    assert report.float_ops == {}
    assert report.stays == []
    assert report.macs == report.integer_macs == 3 * 8 * 8 * 7 * 7


def test_a_sum_that_is_rounded_once_errs_less(pictures, monkeypatch):
    """Beside the same network with its sum apart."""
    proto = network(PLAIN)
    [wanted] = octavo.Session(proto).run(None, {"x": pictures})
    errors = []
    for ops in ({"QConv": 3}, {"QAdd": 1, "QConv": 3}):
        model = octavo.quantize(proto, pictures)
        assert model.report.integer_ops == ops
        [found] = octavo.Session(model).run(None, {"x": pictures})
        errors.append(float(((wanted - found).astype(np.float64) ** 2).sum()))
        monkeypatch.setattr(product, "addend_of", lambda *_: None)
    assert errors[0] < 0.9 * errors[1]
