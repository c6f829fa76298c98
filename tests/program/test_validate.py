"""What each op asks of its attributes and constants is asked, and errors name the node."""

import numpy as np
import octavo
import pytest
from octavo.program import artifact
from octavo.program.validate import validate

CLAMP = {"y_zero_point": 0, "lo": 0, "hi": 255}
WINDOW = {"strides": [1, 1], "pads": [0] * 4, "dilations": [1, 1]}
FACTOR = {"multiplier": 2**30, "shift": 31}
I32 = np.int32


def conv(w=(2, 3, 1, 1), weight=1, bias=0, multiplier=2**30, shift=31, zero_point=0, **attributes):
    channels = w[0] if w else 0
    vectors = [np.full(channels, x, I32) for x in (bias, multiplier, shift)]
    constants = [np.full(w, weight, np.int8), *vectors]
    return (
        "QConv",
        ["u8", *constants],
        ["u8"],
        {**WINDOW, **CLAMP, "group": 1, "x_zero_point": zero_point, **attributes},
    )


def float_conv(x_scale=1.0, scale=1.0):
    vectors = [np.zeros(2, np.float32), np.full(2, scale, np.float32)]
    attributes = {**WINDOW, "group": 1, "x_zero_point": 0, "x_scale": np.float32(x_scale)}
    return "QConv", ["u8", np.ones((2, 3, 1, 1), np.int8), *vectors], ["f32"], attributes


def gemm(w=(3, 2), weight=1, bias=0, zero_point=0):
    n = w[-1]
    vectors = [np.full(n, x, I32) for x in (bias, 2**30, 31)]
    return (
        "QGemm",
        ["u8", np.full(w, weight, np.int8), *vectors],
        ["u8"],
        {**CLAMP, "x_zero_point": zero_point},
    )


def add(**attributes):
    zeros = {"a_zero_point": 0, "b_zero_point": 0}
    base = {**zeros, **CLAMP, "a_multiplier": 1, "b_multiplier": -1, "shift": 1}
    return "QAdd", ["u8", "u8"], ["u8"], {**base, **attributes}


def pool(**attributes):
    base = {"kernel_shape": [2, 2], "ceil_mode": 0, "count_include_pad": 0, "ratio": np.float64(1)}
    return "QAveragePool", ["u8"], ["u8"], {**WINDOW, **CLAMP, **base, "x_zero_point": 0, **attributes}


def mean(**attributes):
    base = {"axes": [2, 3], "keepdims": 1, "ratio": np.float64(1), "x_zero_point": 0}
    return "QReduceMean", ["u8"], ["u8"], {**CLAMP, **base, **attributes}


def requantize(**attributes):
    return "Requantize", ["u8"], ["u8"], {**CLAMP, **FACTOR, "x_zero_point": 0, **attributes}


def softmax(change=None):
    table = np.linspace(2**22, 0, 256).astype(I32)
    if change:
        table[change[0]] = change[1]
    return "QSoftmax", ["u8", table], ["u8"], {"axis": -1}


def resize(scales=(1.0, 2.0), sizes=None, x="u8", **attributes):
    base = {
        "mode": "nearest",
        "coordinate_transformation_mode": "half_pixel",
        "nearest_mode": "floor",
        "keep_aspect_ratio_policy": "stretch",
        "extrapolation_value": np.float32(0),
    }
    inputs = [x, None, None if scales is None else np.array(scales, np.float32)]
    return "Resize", [*inputs, *([] if sizes is None else [np.array(sizes)])], [x], {**base, **attributes}


def automatic(node, auto_pad="SAME_LOWER"):
    """The node with auto_pad in the place of its pads."""
    op, inputs, outputs, attributes = node
    kept = {name: value for name, value in attributes.items() if name != "pads"}
    return op, inputs, outputs, {**kept, "auto_pad": auto_pad}


def float_pool(**attributes):
    base = {"kernel_shape": [2, 2], "ceil_mode": 0, "strides": [1, 1], "dilations": [1, 1]}
    return "MaxPool", ["u8"], ["u8"], base | attributes


VALID = {
    "conv": conv(),
    "conv in floats": float_conv(),
    "conv at the bound": conv(bias=2**31 - 1 - 3 * 127 * 255, weight=127),
    "conv below the bound": conv(bias=-(2**31 - 1 - 3 * 128 * 128), weight=-128, zero_point=128),
    "conv of groups": conv(w=(4, 3, 1, 1), group=2),
    "conv of one axis": conv(w=(2, 3, 5), strides=[2], pads=[1, 0], dilations=[3]),
    "conv with auto_pad": automatic(conv()),
    "conv in floats with auto_pad": automatic(float_conv()),
    "pool with auto_pad": automatic(pool()),
    "gemm": gemm(),
    "gemm at the bound": gemm(weight=-127, bias=-(2**31 - 1 - 3 * 127 * 255)),
    "add": add(a_multiplier=2**15 - 1, b_multiplier=1 - 2**15, shift=30),
    "pool": pool(),
    "mean": mean(),
    "requantize": requantize(shift=62, multiplier=2**31 - 1, lo=255),
    "softmax": softmax(),
    "lookup": ("Lookup", ["u8", np.zeros(256, np.uint8)], ["u8"], {}),
    "resize by scales": resize(),
    "resize to sizes": resize(scales=None, sizes=[1, 2]),
    "resize a region": resize(x="f32", coordinate_transformation_mode="tf_crop_and_resize"),
    "max pool": float_pool(pads=[0] * 4),
    "max pool with auto_pad": float_pool(auto_pad="SAME_UPPER"),
    "cast": ("Cast", ["i64"], ["f32"], {"to": 1}),
    "split": ("Split", ["f32", np.array([1, 2])], ["f32", "f32"], {"axis": 0}),
    "split evenly": ("Split", ["f32"], ["f32", None], {"axis": 0, "num_outputs": 2}),
    "max of three": ("Max", ["u8"] * 3, ["u8"], {}),
}
VALID["resize a region"][1][1] = np.array([0, 0, 1, 1], np.float32)

INVALID = {
    "weights of one axis": (conv(w=(2, 3)), "weights have the shape"),
    "weights of none": (conv(w=(2, 0, 1, 1)), "weights have the shape"),
    "strides of another rank": (conv(strides=[1]), r"strides is \[1\]"),
    "stride of 0": (conv(strides=[1, 0]), r"strides is \[1, 0\]"),
    "stride of 2^31": (conv(strides=[1, 2**31]), "strides"),
    "negative pad": (conv(pads=[0, 0, -1, 0]), "pads"),
    "dilation of 0": (conv(dilations=[0, 1]), "dilations"),
    "huge window": (conv(w=(1, 1, 3, 3), dilations=[2**30, 1]), "kernel is"),
    "group of 0": (conv(group=0), "group is 0"),
    "group that does not divide": (conv(group=3), "no multiple of its 3 groups"),
    "zero point": (conv(zero_point=256), "x_zero_point is 256"),
    "sum above 32 bits": (conv(bias=2**31 - 3 * 127 * 255, weight=127), "channel 0 can leave 32 bits"),
    "sum below 32 bits": (conv(bias=-(2**31), weight=0), "channel 0 can leave 32 bits"),
    "sum with the zero point in the middle": (
        conv(bias=2**31 - 3 * 128 * 128, weight=-128, zero_point=128),
        "channel 0 can leave 32 bits",
    ),
    "multiplier too small": (conv(multiplier=2**30 - 1), "multiplier"),
    "shift of 0": (conv(shift=0), "shift"),
    "shift of 63": (conv(shift=63), "shift"),
    "scale of 0": (float_conv(scale=0.0), "scale is not a positive"),
    "scale NaN": (float_conv(scale=np.nan), "scale is not a positive"),
    "x_scale infinite": (float_conv(x_scale=np.inf), "x_scale is inf"),
    "gemm weights of three axes": (gemm(w=(1, 3, 2)), "weights have the shape"),
    "gemm sum": (gemm(weight=-127, bias=-(2**31 - 3 * 127 * 255)), "channel 0 can leave 32 bits"),
    "add multiplier": (add(a_multiplier=2**15), "a_multiplier is 32768"),
    "add multiplier below": (add(b_multiplier=-(2**15)), "b_multiplier is -32768"),
    "add shift": (add(shift=31), "shift is 31"),
    "lo above hi": (requantize(lo=3, hi=2), "lo is 3, above hi, 2"),
    "hi of 256": (requantize(hi=256), "hi is 256"),
    "negative lo": (requantize(lo=-1), "lo is -1"),
    "multiplier": (requantize(multiplier=2**31), "multiplier is 2147483648"),
    "ratio of 0": (pool(ratio=np.float64(0)), "ratio is 0"),
    "ratio NaN": (pool(ratio=np.float64("nan")), "ratio is nan"),
    "ratio just below 2^30": (mean(ratio=np.nextafter(np.float64(2**30), 0)), "ratio"),
    "ratio of float32": (mean(ratio=np.float32(1)), "'ratio' .* of type f32, not f64"),
    "huge pool": (pool(kernel_shape=[2902, 2902]), "leave 32 bits"),
    "pool of no axes": (pool(kernel_shape=[], strides=[], pads=[], dilations=[]), "kernel is"),
    "falling axes": (mean(axes=[3, 2]), "axes is"),
    "negative axis": (mean(axes=[-1]), "axes is"),
    "no axes": (mean(axes=[]), "axes is"),
    "keepdims of 2": (mean(keepdims=2), "keepdims is 2"),
    "table of 255": (("Lookup", ["u8", np.zeros(255, np.uint8)], ["u8"], {}), "shape"),
    "table that is fed": (("Lookup", ["u8", "u8"], ["u8"], {}), "needs a constant"),
    "softmax of another unit": (softmax((0, 2**22 - 1)), "begin with 2\\^22"),
    "softmax that rises": (softmax((9, 2**22 + 1)), "within 0..2\\^22"),
    "softmax below 0": (softmax((9, -1)), "within 0..2\\^22"),
    "resize both": (resize(sizes=[1, 2]), "either scales or sizes"),
    "resize neither": (resize(scales=None), "either scales or sizes"),
    "resize by area": (resize(mode="area"), "mode is 'area'"),
    "resize a region of u8": (resize(coordinate_transformation_mode="tf_crop_and_resize"), "roi"),
    "conv with pads and auto_pad": (conv(auto_pad="SAME_LOWER"), "either pads or auto_pad"),
    "conv NOTSET": (automatic(conv(), "NOTSET"), "auto_pad is 'NOTSET'"),
    "quantized pool with both": (pool(auto_pad="SAME_UPPER"), "either pads or auto_pad"),
    "quantized pool VALID": (automatic(pool(), "VALID"), "auto_pad is 'VALID'"),
    "pool without pads": (float_pool(), "either pads or auto_pad"),
    "pool with both": (float_pool(pads=[0] * 4, auto_pad="SAME_LOWER"), "either pads or auto_pad"),
    "pool VALID": (float_pool(auto_pad="VALID"), "auto_pad is 'VALID'"),
    "cast to another": (("Cast", ["i64"], ["f32"], {"to": 7}), "casts"),
    "split both": (("Split", ["f32", np.array([1])], ["f32"], {"axis": 0, "num_outputs": 1}), "either split"),
    "split of another count": (
        ("Split", ["f32"], ["f32"], {"axis": 0, "num_outputs": 2}),
        "num_outputs is 2",
    ),
    "no permutation": (("Transpose", ["f32"], ["f32"], {"perm": [0, 2]}), "no permutation"),
    "mixed dtypes": (("Add", ["f32", "i64"], ["f32"], {}), "of i64 as its 'b'"),
    "another dtype out": (("Reshape", ["u8", "i64"], ["f32"], {"allowzero": 0}), "of f32 as its 'y'"),
    "plain float": (("Elu", ["f32"], ["f32"], {"alpha": 1.0}), "'alpha' .* of type float, not f32"),
    "truth": (("Reshape", ["u8", "i64"], ["u8"], {"allowzero": True}), "of type bool, not int"),
    "two outputs": (("GlobalMaxPool", ["f32"], ["f32", "i64"], {}), "cannot have 2 outputs"),
}


@pytest.mark.parametrize("case", VALID)
def test_valid(one_node, case):
    validate(one_node(*VALID[case]))


@pytest.mark.parametrize("case", INVALID)
def test_invalid_is_an_error_that_names_it(one_node, case):
    (op, *rest), message = INVALID[case]
    with pytest.raises(octavo.ArtifactError, match=message) as caught:
        validate(one_node(op, *rest))
    assert f"{op} node 'node'" in str(caught.value)


@pytest.mark.parametrize("case", VALID)
def test_what_is_valid_is_saved_and_read(one_node, case):
    data = artifact.to_bytes(one_node(*VALID[case]))
    assert artifact.to_bytes(artifact.from_bytes(data)) == data


@pytest.mark.parametrize("case", INVALID)
def test_what_is_invalid_is_not_saved(one_node, case):
    with pytest.raises(octavo.ArtifactError):
        artifact.to_bytes(one_node(*INVALID[case][0]))


@pytest.mark.parametrize("case", VALID)
def test_the_runtime_reads_what_is_valid(tmp_path, one_node, case):
    program = one_node(*VALID[case])
    path = tmp_path / "program.octavo"
    artifact.save(program, path)
    session = octavo.Session(path, threads=1)
    assert [value.name for value in session.get_inputs()] == program.inputs


@pytest.mark.parametrize("case", INVALID)
def test_the_runtime_refuses_what_is_invalid(tmp_path, monkeypatch, one_node, case):
    program = one_node(*INVALID[case][0])
    monkeypatch.setattr(artifact, "validate", lambda program: None)
    path = tmp_path / "program.octavo"
    artifact.save(program, path)
    with pytest.raises(octavo.ArtifactError):
        octavo.Session(path, threads=1)
