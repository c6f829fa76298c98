"""The page: whole by itself, well formed, with every layer in it, and looked at where there is a browser."""

import re
from dataclasses import replace

import numpy as np
import octavo
import pytest
from browsers import browser, looked_at
from injections import clipped
from markup import Page, needs_no_other_file
from octavo.report.comparison import BANDS, Cause
from octavo.report.page import page
from octavo.report.pictures import HARMLESS, channels, colour, graph, histogram, lines


@pytest.fixture(scope="module")
def found(subjects):
    one = subjects["branches"]
    _, broken = clipped(one, np.random.default_rng(3))
    return octavo.compare(one.floats, broken, one.held, np.arange(20) % 10)


@pytest.fixture(scope="module")
def text(found, tmp_path_factory):
    path = tmp_path_factory.mktemp("page") / "report.html"
    found.to_html(path)
    return path.read_text(encoding="utf-8")


def test_it_needs_no_other_file(text):
    needs_no_other_file(text)


def test_every_layer_is_in_it(text, found):
    read = Page(text)
    named = [row for row in read.rows if len(row) > 6 and row[-1] != "name"]
    for row in found.layers:
        shown = f"{row.at_outputs:.1f}", f"{row.sqnr:.1f}", f"{row.accumulated:.1f}", row.name
        assert any(set(shown) <= set(cells) for cells in named), row.name
        assert any(title.startswith(f"{row.op} {row.name}: ") for title in read.texts)
    for row in found.layers[:10]:
        assert str(row.cause) in read.texts or row.cause is None
    assert f"{found.outputs[0].sqnr:.1f} dB" in read.texts


def test_pictures_stay_in_their_frame(text):
    for svg in re.findall(r"<svg .*?</svg>", text, re.S):
        width, height = (float(number) for number in re.search(r'viewBox="0 0 (\S+) (\S+)"', svg).groups())
        for attributes in Page(svg).of("rect"):
            x, y, w, h = (float(attributes[name]) for name in ("x", "y", "width", "height"))
            assert min(x, y, w, h) >= -0.5
            assert (x + w <= width + 0.5, y + h <= height + 0.5) == (True, True)
        for points in re.findall(r'points="([^"]*)"', svg):
            for point in points.split():
                x, y = map(float, point.split(","))
                assert (0 <= x <= width, 0 <= y <= height) == (True, True)


def test_bars_are_as_high_as_what_they_show(found):
    row = found.layers[0]
    bars = [float(bar["height"]) for bar in Page(histogram(row)).of("rect")]
    roots = np.sqrt(row.histogram)
    assert np.allclose(bars, 100 * roots / roots.max(), atol=0.06)
    inks = [bar["fill"] for bar in Page(histogram(row)).of("rect")]
    assert inks[:16] == inks[48:] == [BANDS[0][1]] * 16
    assert BANDS[0][1] not in inks[16:48]
    assert sum(row.histogram[48:]) > 0
    [bars] = Page(channels([1, 4, 2], "weights")).of("path")
    assert bars["d"] == "M70.0 92v-18.0M210.0 92v-72.0M350.0 92v-36.0"
    assert float(bars["stroke-width"]) == 139.5
    assert channels([0, 0], "weights") == ""


def test_histograms_count_every_element(found, subjects):
    one = subjects["branches"]
    session = octavo.Session(replace(one.floats, outputs=["d"]))
    elements = session.run(None, {"x": one.held})[0].size
    counted = {sum(row.histogram) for row in found.layers if row.name in ("the_s", "the_d", "the_r")}
    assert counted == {elements}


def test_colours_tell_harm(found):
    assert [colour(db) for db in (-5, 20, 20.1, 30, 40, 40.1)] == [
        BANDS[0][1], BANDS[0][1], BANDS[1][1], BANDS[1][1], BANDS[2][1], HARMLESS,
    ]  # fmt: skip
    boxes = Page(graph(found.layers)).of("rect")
    ordered = sorted(found.layers, key=lambda row: row.place)
    assert [box["fill"] for box in boxes] == [colour(row.at_outputs) for row in ordered]
    drawn = Page(graph(found.layers))
    edges = len(drawn.of("line") + drawn.of("path"))
    assert drawn.of("path"), "what a residual connection passes by would hide it"
    made = {row.of for row in ordered}
    assert edges == sum(name in made for row in ordered[1:] for name in row.reads)


def test_lines_go_from_worse_below_to_better_above():
    drawn = re.search(r'points="([^"]*)"', lines([("a", "red", [0.0, 40.0, None, 80.0, 300.0])])).group(1)
    heights = [float(point.split(",")[1]) for point in drawn.split()]
    assert heights[0] > heights[1] > heights[2] == heights[3]


def test_names_from_files_are_text(found):
    name = "<script>alert('a')</script>&\n\x00\udcff"
    cause = Cause(name, name, name, 1.0)
    row = replace(found.layers[0], name=name, op=name, causes=(cause,))
    changed = replace(found, layers=[row], causes=[cause], unmatched={name: name})
    shown = page(changed).encode("utf-8")
    assert Page(shown.decode()).of("script") == []
    assert "<script" in "".join(Page(shown.decode()).texts)


def test_the_text_blames_no_layer_that_does_no_harm(found):
    name = found.layers[0].name
    untried = Cause("bias shift", "a bias is off", "quantize again")
    for harm, is_blamed in ((BANDS[-1][0], True), (BANDS[-1][0] + 0.1, False)):
        row = replace(found.layers[0], at_outputs=harm, causes=(untried,))
        assert (f"{name}: {untried}" in str(replace(found, layers=[row]))) == is_blamed
    row = replace(row, causes=(replace(untried, gain=1.0),))
    assert "(tried: +1.0 dB)" in str(replace(found, layers=[row]))


def test_a_notebook_shows_the_same(found, text):
    assert found._repr_html_() in text


def test_nothing_to_show_is_a_page_too(found):
    Page(page(replace(found, layers=[], outputs=[], causes=[], unmatched={})))


def test_node_data_are_keyed_by_tensors(found, subjects):
    data = found.to_node_data()
    values = subjects["branches"].floats.values
    assert data["results"].keys() <= values.keys()
    worst = min(data["results"], key=lambda name: data["results"][name]["value"])
    assert worst == found.layers[0].of
    assert [item["value"] for item in data["thresholds"]] == [20.0, 30.0, 40.0]


@pytest.mark.parametrize("dark", [False, True], ids=["light", "dark"])
@pytest.mark.parametrize("width", [1280, 400])
def test_a_browser_shows_it(text, found, tmp_path, width, dark):
    """Where one is installed, which the end of the run says; the tests above hold without."""
    if browser() is None:
        assert Page(text).of("svg")
        return
    seen = looked_at(text, width, tmp_path, dark=dark)
    assert seen["console"] == []
    assert (seen["width"], seen["dark"]) == (width, dark)
    assert seen["needed"] <= width, "the page moves sideways"
    assert found.summary() in seen["title"]
    assert seen["text"] > 10, "the texts of a picture are too small to read"
    drawn = {picture["label"]: picture for picture in seen["pictures"]}
    boxes = drawn["the graph, by what each node does to the answers"]["boxes"]
    assert len(boxes) == len(found.layers)
    assert all(contrast(*map(colour_of, inks)) > 4.5 for inks in boxes)
    histograms = [picture for label, picture in drawn.items() if label.startswith("values of ")]
    assert len(histograms) > 3
    for picture in seen["pictures"]:
        assert min(picture["size"]) > 80, picture["label"]
        assert any(min(size) > 1 for size in picture["shapes"]), picture["label"]


def colour_of(css):
    return [int(number) for number in re.findall(r"\d+", css)[:3]]


def contrast(one, other):
    """The contrast ratio of WCAG 2, of two colours in sRGB."""

    def luminance(colour):
        linear = [c / 12.92 if c <= 0.03928 else ((c + 0.055) / 1.055) ** 2.4 for c in np.divide(colour, 255)]
        return np.dot(linear, [0.2126, 0.7152, 0.0722])

    dark, bright = sorted((luminance(one), luminance(other)))
    return (bright + 0.05) / (dark + 0.05)
