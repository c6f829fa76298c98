"""The page of a report: what the report has, each in its place, and nothing that files can put in."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import octavo
import pytest
from browsers import browser, looked_at
from markup import Page, needs_no_other_file
from octavo.lowering import Stay
from octavo.quantization.page import page
from octavo.quantization.report import Report, Seen

DEMO = Path(octavo.__file__).parent / "demo"
REPORT = Report(
    recipe="int8",
    samples=7,
    inputs=[Seen("x", -1.5, 2.0, 0, 0), Seen("y", 0.0, 255.0, 0, 0)],
    integer_ops={"QAdd": 1, "QConv": 2},
    float_ops={"Elu": 2, "Softmax": 1},
    conversions=4,
    macs=8000,
    integer_macs=6000,
    stays=[
        Stay("n1", "Elu", "for a reason", False),
        Stay("n2", "Softmax", "it is last", True),
        Stay("n3", "Elu", "for another", False),
        Stay("n4", "Pow", "for a reason", False),
    ],
    not_finite=[Seen("t", 0.0, 1.0, 3, 4)],
    float_bytes=4096,
    integer_bytes=1024,
    warnings=["few samples", "all the same"],
    stages=["load", "lower"],
    range_rule="p99.999",
    tried={"minmax": 31.26, "p99.999": 33.0},
    exact_inputs=["y"],
    is_fitted=True,
    own_ranges=["a", "b"],
)


def test_all_that_a_report_has_is_in_it():
    text = page(REPORT)
    needs_no_other_file(text)
    read = Page(text)
    assert read.rows == [
        ["3 nodes in integers", "1 QAdd, 2 QConv"],
        ["3 nodes in float", "2 Elu, 1 Softmax"],
        ["conversions between the two", "4"],
        ["multiply-accumulates in integers", "75.0 % of 8,000 a sample"],
        ["constants", "4,096 bytes in float, 1,024 now"],
        ["calibrated over", "7 samples"],
        ["ranges by", "p99.999"],
        ["ranges of their own", "a, b"],
        ["weights", "make up for the errors of the layers before them"],
        ["stages", "load, lower"],
        ["op", "name", "why"],
        ["Elu", "n1", "for a reason"],
        ["Pow", "n4", "for a reason"],
        ["Elu", "n3", "for another"],
        ["op", "name", "why"],
        ["Softmax", "n2", "it is last"],
        ["SQNR in dB", "ranges"],
        ["31.3", "minmax"],
        ["33.0", "p99.999", "taken"],
        ["least", "greatest", "held exactly", "name"],
        ["-1.5", "2", "no", "x"],
        ["0", "255", "yes", "y"],
        ["NaN", "infinities", "name"],
        ["3", "4", "t"],
    ]
    for line in ("Quantized: int8", *REPORT.warnings):
        assert line in read.texts
    titles = [
        " ops of the model stay float for want of an integer form",
        " by choice or because it is better",
    ]
    assert f"3{titles[0]}" in read.texts
    assert any(text.startswith("1 ops") and text.endswith(titles[1]) for text in read.texts)


def test_numbers_are_to_the_right_of_their_columns():
    cells = [attributes for tag, attributes in Page(page(REPORT)).tags if tag in ("td", "th")]
    assert cells[-3:] == [{}, {}, {"class": "text"}]
    # "least" with a negative number, and "greatest"
    least = page(REPORT).index("-1.5")
    assert page(REPORT)[least - 4 : least] == "<td>"


def test_what_is_not_there_is_left_out():
    bare = replace(
        REPORT,
        samples=0,
        inputs=[],
        stays=[],
        not_finite=[],
        warnings=[],
        tried={},
        range_rule=None,
        macs=0,
        is_fitted=False,
        own_ranges=[],
    )
    read = Page(page(bare))
    assert read.of("h2") == []
    assert ["calibrated over", "no data"] in read.rows
    assert ["stay float", "no op of the model"] in read.rows
    assert not any(row[0].startswith(("multiply", "ranges")) for row in read.rows)


def test_names_from_files_are_text():
    name = "<script>alert('a')</script>&\n\x00\udcff"
    odd = replace(
        REPORT,
        recipe=name,
        inputs=[Seen(name, 0.0, 1.0, 0, 0)],
        stays=[Stay(name, name, name, True)],
        not_finite=[Seen(name, 0.0, 1.0, 1, 0)],
        warnings=[name],
        integer_ops={name: 1},
    )
    read = Page(page(odd).encode("utf-8").decode())
    assert read.of("script") == []
    assert sum("<script" in text for text in read.texts) == 9


@pytest.mark.parametrize("samples", [40, 8])
def test_the_page_of_a_model(tmp_path, samples):
    with np.load(DEMO / "calibration.npz") as file:
        digits = file["images"][:samples].reshape(-1, 1, 28, 28).astype(np.float32) / np.float32(255)
    model = octavo.quantize(DEMO / "mnist-cnn.onnx", digits)
    model.report.to_html(tmp_path / "report.html")
    text = (tmp_path / "report.html").read_text(encoding="utf-8")
    assert model._repr_html_() in text
    rows = Page(text).rows
    assert ["calibrated over", f"{samples} samples"] in rows
    tried = [row for row in rows if len(row) == 3 and row[2] == "taken"]
    assert [row[1] for row in tried] == ([model.report.range_rule] if model.report.tried else [])
    assert bool(model.report.tried) == (samples == 40)
    assert all(warning in Page(text).texts for warning in model.report.warnings)
    assert bool(model.report.warnings) == (samples == 8)


@pytest.mark.parametrize("width", [1280, 400])
def test_a_browser_shows_it(tmp_path, width):
    """Where one is installed, which the tests of comparisons say."""
    long = Stay("/a/long/name" * 20, "Elu", "a reason of many words " * 10, False)
    text = page(replace(REPORT, stays=[long], warnings=["doubtful" * 30, "few"]))
    if browser() is None:
        assert Page(text).rows
        return
    seen = looked_at(text, width, tmp_path)
    assert seen["console"] == []
    assert (seen["width"], seen["title"]) == (width, f"octavo quantize: {REPORT.summary()}")
    assert seen["needed"] <= width, "the page moves sideways"
