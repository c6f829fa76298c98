"""Each command does what its help says, and --json has the keys that machines rely on."""

import json
import os
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import onnx
import pytest
from octavo import Session, tiers
from octavo.calibration import RULES
from octavo.cli import console
from octavo.cli.scores import top_rows
from octavo.errors import DataError
from octavo.program import artifact
from octavo.quantization.recipes import RECIPES
from octavo.session import load_program
from PIL import Image

DEMO = Path(__file__).resolve().parents[2] / "python" / "octavo" / "demo"
DEFAULT_TIER = os.environ.get("OCTAVO_ISA", tiers()[-1])
QUANTIZE = ("quantize", "model.onnx", "--data", "calibration.npz")


@pytest.mark.parametrize("command", ["quantize", "run", "inspect", "compare", "illustrate", "bench", "demo"])
def test_help_has_examples(octavo, command):
    ended = octavo(command, "--help")
    assert ended.status == 0
    assert f"octavo {command}" in ended.out.split("Examples:")[1]


def test_the_help_lists_every_range_rule(octavo):
    words = octavo("quantize", "--help").out.split()
    at = words.index("ranges:")
    assert " ".join(words[at + 1 :]).partition(". [")[0] == ", ".join(RULES)


def test_version_names_the_tiers(octavo):
    ended = octavo("--version")
    assert ended.status == 0
    assert "scalar" in ended.out


def test_a_process_ends_with_the_command_s_status(folder):
    command = [sys.executable, "-m", "octavo", "inspect"]
    good = subprocess.run([*command, "model.octavo"], cwd=folder, capture_output=True, text=True)
    bad = subprocess.run([*command, "image.npy"], cwd=folder, capture_output=True, text=True)
    assert (good.returncode, good.stderr) == (0, "")
    assert (bad.returncode, bad.stdout) == (1, "")
    assert bad.stderr.startswith("octavo: error: ")


@pytest.mark.parametrize("arguments", [("inspect", "model.octavo"), ("inspect", "model.octavo", "--json")])
def test_a_reader_that_left_is_no_error_to_tell(folder, arguments):
    """As with `| head`: nothing reads the pipe, the first write ends the command."""
    reader, writer = os.pipe()
    os.close(reader)
    command = [sys.executable, "-m", "octavo", *arguments]
    ended = subprocess.run(command, cwd=folder, stdout=writer, stderr=subprocess.PIPE, text=True)
    os.close(writer)
    assert (ended.returncode, ended.stderr) == (1, "")


def test_quantize_reports(octavo, folder, tmp_path):
    ended = octavo(*QUANTIZE, "-o", tmp_path / "a.octavo", cwd=folder)
    assert ended.status == 0
    assert "calibrated over 100 samples" in ended.out
    assert "1 QConv" in ended.out
    assert ended.err == ""


def test_quantize_json(octavo, folder, tmp_path):
    output = tmp_path / "a.octavo"
    facts = octavo(*QUANTIZE, "-o", output, "--limit", "7", "--json", cwd=folder).json()
    assert facts["report"]["samples"] == 7
    assert facts["artifact_bytes"] == output.stat().st_size
    assert facts["model_bytes"] == (folder / "model.onnx").stat().st_size


def test_quantize_writes_a_page(octavo, folder, tmp_path):
    output, page = tmp_path / "a.octavo", tmp_path / "page.html"
    ended = octavo(*QUANTIZE, "-o", output, "--html", page, "--limit", "40", cwd=folder)
    assert ended.status == 0
    assert "calibrated over</td>" in page.read_text()
    assert "40 samples" in page.read_text()
    before = output.read_bytes()
    same = octavo(*QUANTIZE, "-o", output, "--html", tmp_path / "." / "a.octavo", cwd=folder)
    assert (same.status, "are two files" in same.err) == (2, True)
    model = octavo(*QUANTIZE, "-o", tmp_path / "b.octavo", "--html", "model.onnx", cwd=folder)
    assert (model.status, "not overwritten" in model.err) == (1, True)
    assert output.read_bytes() == before
    assert not (tmp_path / "b.octavo").exists()
    streamed = octavo(*QUANTIZE, "-o", output, "--html", "/dev/stdout", "--json", cwd=folder)
    assert streamed.status == 0


def test_quantize_estimates_without_data(octavo, folder, tmp_path):
    ended = octavo("quantize", "--estimate", folder / "model.onnx", cwd=tmp_path)
    assert (ended.status, ended.err) == (0, "")
    assert "output logits: an SQNR of about 35 dB" in ended.out
    assert "100.0% of 93,288 multiply-accumulates would be in integers" in ended.out
    facts = octavo("quantize", "--estimate", folder / "model.onnx", "--json", cwd=tmp_path).json()
    assert facts.keys() == {
        "model", "outputs", "layers", "outlook", "float_bytes", "integer_bytes", "artifact_bytes",
    }  # fmt: skip
    assert [layer["op"] for layer in facts["layers"]] == ["Conv", "Gemm"]
    assert facts["layers"][1]["accumulated"] == facts["outputs"]["logits"]
    left = octavo("quantize", "--estimate", folder / "model.onnx", "--exclude", "*Gemm", "--json").json()
    assert left["outlook"]["stays"][-1]["reason"] == "excluded by choice"
    for option in (("-o", "a.octavo"), ("--html", "a.html"), ("--data", "."), ("--recipe", "weight-only")):
        wrong = octavo("quantize", "--estimate", folder / "model.onnx", *option, cwd=tmp_path)
        assert (wrong.status, "takes no data and writes nothing" in " ".join(wrong.err.split())) == (2, True)
    assert octavo("quantize", folder / "model.onnx", "--data", ".", cwd=tmp_path).status == 2
    assert not list(tmp_path.iterdir())


def test_compare(octavo, folder):
    command = ("compare", "model.onnx", "model.octavo", "--data", "calibration.npz", "--limit", "40")
    ended = octavo(*command, cwd=folder)
    assert (ended.status, ended.err) == (0, "")
    assert "compared over 40 samples" in ended.out
    facts = octavo(*command, "--json", cwd=folder).json()
    (output,) = facts["outputs"]
    assert output["sqnr"] > 40
    assert output["agreement"] == 1.0
    assert facts["layers"][0]["name"] in ended.out
    assert facts["unmatched"] == {}


def test_compare_writes_a_page_and_node_data(octavo, folder, tmp_path):
    command = ("compare", "model.onnx", "model.octavo", "--data", "calibration.npz", "--limit", "4")
    page, data = tmp_path / "page.html", tmp_path / "data.json"
    ended = octavo(*command, "--html", page, "--node-data", data, cwd=folder)
    assert (ended.status, ended.err) == (0, "")
    assert "Compared over 4 samples" in page.read_text()
    assert json.loads(data.read_text())["results"].keys() >= {"logits"}
    for option in ("--html", "--node-data"):
        before = (folder / "model.octavo").read_bytes()
        ended = octavo(*command, option, "model.octavo", cwd=folder)
        assert (ended.status, "model.octavo" in ended.err) == (1, True)
        assert (folder / "model.octavo").read_bytes() == before
    streamed = octavo(*command, "--html", "/dev/stdout", "--json", cwd=folder)
    assert streamed.status == 0


def test_compare_counts_labels(octavo, folder, tmp_path):
    with np.load(DEMO / "images.npz") as file:
        images, labels = file["images"][:30], file["labels"][:30]
        np.save(tmp_path / "held.npy", images)
        np.save(tmp_path / "labels.npy", labels)
        np.savez(tmp_path / "two.npz", a=file["labels"], b=file["labels"])
    command = ("compare", "model.onnx", "model.octavo", "--data", tmp_path / "held.npy", "--labels")
    facts = octavo(*command, tmp_path / "labels.npy", "--json", cwd=folder).json()
    [scores] = Session(folder / "model.onnx").run(None, {"input": images.astype("f4") / np.float32(255)})
    assert facts["outputs"][0]["top1"] == [np.mean(scores.argmax(1) == labels)] * 2
    ended = octavo(*command, tmp_path / "two.npz", cwd=folder)
    assert ended.status == 1
    assert "holds 2 arrays (a, b)" in ended.err


def test_quantize_is_the_same_each_time(octavo, folder, tmp_path):
    ended = octavo(*QUANTIZE, "-o", tmp_path / "a.octavo", "--threads", "2", cwd=folder)
    assert ended.status == 0, ended.err
    assert (tmp_path / "a.octavo").read_bytes() == (folder / "model.octavo").read_bytes()


def test_quantize_excludes(octavo, folder, tmp_path):
    ended = octavo(*QUANTIZE, "-o", tmp_path / "a.octavo", "--exclude", "*Conv", "--json", cwd=folder)
    assert "QConv" not in ended.json()["report"]["integer_ops"]


def test_quantize_pictures(octavo, folder, tmp_path):
    with np.load(folder / "calibration.npz") as file:
        pixels = file["images"]
    (tmp_path / "photos").mkdir()
    for index, picture in enumerate(pixels):
        Image.fromarray(picture[0]).save(tmp_path / "photos" / f"{index:03}.png")
    output = tmp_path / "a.octavo"
    ended = octavo("quantize", folder / "model.onnx", "--data", tmp_path / "photos", "-o", output)
    assert ended.status == 0, ended.err
    of_arrays = artifact.load(folder / "model.octavo")
    assert output.read_bytes() == artifact.to_bytes(replace(of_arrays, preprocessing="--range 0..1"))


@pytest.mark.parametrize("model", ["model.octavo", "model.onnx"])
def test_run_writes_what_a_session_answers(octavo, folder, tmp_path, model):
    ended = octavo("run", model, "--input", "input=image.npy", "--output-dir", tmp_path, cwd=folder)
    assert ended.status == 0, ended.err
    (expected,) = Session(folder / model).run(None, {"input": np.load(folder / "image.npy")})
    assert np.load(tmp_path / "logits.npy").tobytes() == expected.tobytes()


def test_run_takes_an_output_file_and_a_bare_input(octavo, folder, tmp_path):
    file = tmp_path / "answer.npy"
    ended = octavo(
        "run", "model.octavo", "--input", "image.npy", "--output", f"logits={file}", "--json", cwd=folder
    )
    (output,) = ended.json()["outputs"]
    assert (output["name"], output["shape"], output["file"]) == ("logits", [1, 10], str(file))
    assert np.load(file).shape == (1, 10)


def test_run_takes_a_picture_and_names_what_it_sees(octavo, folder, tmp_path):
    """Made as the samples of a quantization are."""
    pixels = np.random.default_rng(2).integers(0, 256, (28, 28)).astype(np.uint8)
    Image.fromarray(pixels).save(tmp_path / "a.png")
    names = [f"digit {number}" for number in range(10)]
    (tmp_path / "names.txt").write_text("\n".join(names))
    for options, low, high in (((), 0, 1), (("--range", "-1..1"), -1, 1)):
        ended = octavo(
            "run", folder / "model.octavo", "--input", f"input={tmp_path / 'a.png'}", *options,
            "--top", 3, "--names", tmp_path / "names.txt", "--json",
        )  # fmt: skip
        assert ended.status == 0, ended.err
        x = (pixels.astype(np.float32) / np.float32(255) * np.float32(high - low) + np.float32(low))[
            None, None
        ]
        [scores] = Session(folder / "model.octavo").run(None, {"input": x})[0]
        best = sorted(range(10), key=lambda number: -scores[number])[:3]
        wanted = [
            {"row": 0, "class": at, "name": names[at], "score": pytest.approx(float(scores[at]))}
            for at in best
        ]
        assert ended.json()["top"] == {"logits": wanted}
    shown = octavo("run", folder / "model.octavo", "--input", tmp_path / "a.png", "--top", 1).out
    assert "\n\nlogits:\n" in shown
    assert "digit" not in shown


def test_what_has_no_scores_or_other_names_is_said(octavo, folder, tmp_path):
    (tmp_path / "names.txt").write_text("a\nb\n")
    (tmp_path / "bytes.txt").write_bytes(b"\xff\xfe\xff")
    run = ("run", "model.octavo", "--input", "image.npy", "--top", "1", "--names")
    for file, says in (
        ("names.txt", "--names has 2 names, and there are 10 classes"),
        ("bytes.txt", "no text in UTF-8"),
    ):
        ended = octavo(*run, tmp_path / file, cwd=folder)
        assert ended.status == 1
        assert says in ended.err
    over = octavo(*run, tmp_path / "names.txt", "--output", f"logits={tmp_path / 'names.txt'}", cwd=folder)
    assert over.status == 1
    assert (tmp_path / "names.txt").read_text() == "a\nb\n"


def test_the_largest_scores_in_order():
    scores = np.array([[1, 5, 5, np.nan], [np.nan, -np.inf, 2, 3]], np.float32)
    answers = {"boxes": np.zeros((1, 4, 4), "f4"), "y": scores, "k": np.array([[3, 9]])}
    found = top_rows(answers, 3, None)
    assert [row["class"] for row in found["y"]] == [1, 2, 0, 3, 2, 1]
    assert [row["class"] for row in found["k"]] == [1, 0]
    assert list(found) == ["y", "k"]
    assert list(top_rows(answers, 3, list("abcd"))) == ["y"]
    with pytest.raises(DataError, match="no output is a matrix of scores"):
        top_rows({"boxes": answers["boxes"]}, 1, None)


def test_inspect(octavo, folder):
    facts = octavo("inspect", "model.octavo", "--json", cwd=folder).json()
    assert facts["ops"]["QConv"] == 1
    assert facts["inputs"] == [{"name": "input", "dtype": "f32", "shape": ["N", 1, 28, 28], "quant": None}]
    assert facts["constant_bytes"]["i8"] == 12 * 9 + 2028 * 10
    assert facts["float_nodes"] == []
    assert facts["integer_ops"] == {"Flatten": 1, "MaxPool": 1, "QConv": 1, "QGemm": 1}
    assert (facts["format"], facts["float_ops"], facts["conversions"]) == ("octavo", {}, 1)
    assert facts["file_bytes"] == (folder / "model.octavo").stat().st_size
    table = octavo("inspect", "model.octavo", cwd=folder).out
    assert "an .octavo artifact of" in table
    assert "4 nodes run in integers: 1 Flatten, 1 MaxPool, 1 QConv, 1 QGemm" in table
    conv = next(node for node in facts["nodes"] if node["op"] == "QConv")
    assert conv["constant_bytes"] == 12 * 9 + 3 * 4 * 12
    assert conv["float"] is False
    (output,) = conv["outputs"]
    assert (output["dtype"], output["shape"]) == ("u8", ["N", 12, 26, 26])
    quant = load_program(folder / "model.octavo").values[output["name"]].quant
    assert output["quant"] == {
        "scale": quant.scale.tolist(),
        "zero_point": quant.zero_point.tolist(),
        "axis": None,
    }
    lines = table.splitlines()
    (row,) = [line for line in lines if line.startswith("QConv ")]
    scale, zero = quant.scale[0], quant.zero_point[0]
    assert row.split() == ["QConv", conv["name"], "u8", "Nx12x26x26", f"{scale:.6g},", str(zero), "0.3", "kB"]


def test_inspect_shows_an_onnx_file_as_it_is_and_what_int8_would_be(octavo, folder):
    facts = octavo("inspect", "model.onnx", "--json", cwd=folder).json()
    proto = onnx.load(folder / "model.onnx")
    assert (facts["format"], facts["opset"], facts["ir_version"]) == ("onnx", 13, proto.ir_version)
    assert facts["producer"].startswith("pytorch")
    assert facts["ops"] == {"Conv": 1, "Flatten": 1, "Gemm": 1, "MaxPool": 1, "Relu": 1}
    assert facts["inputs"] == [{"name": "input", "type": "tensor(float)", "shape": ["N", 1, 28, 28]}]
    assert (facts["stays_float"], facts["refused"]) == ([], None)
    assert facts["int8"]["integer_ops"] == facts["ops"]
    assert facts["int8"]["macs"] == facts["int8"]["integer_macs"] == 93_288
    shown = octavo("inspect", "model.onnx", cwd=folder).out
    assert "5 nodes in the file: 1 Conv" in shown
    assert "5 nodes would run in integers: 1 Conv" in shown
    assert "opsets: ai.onnx 13" in shown
    assert "100.0% of 93,288" in shown


def test_inspect_shows_what_a_file_says_that_octavo_cannot_run(octavo, tmp_path):
    text = """<ir_version: 8, opset_import: ["" : 13, "mine" : 1],
        producer_name: "a maker", producer_version: "2">
        g (float[N,4] x) => (float[N,4] y) { y = mine.Own(x) }"""
    onnx.save(onnx.parser.parse_model(text), tmp_path / "a.onnx")
    ended = octavo("inspect", "a.onnx", cwd=tmp_path)
    assert ended.status == 1
    assert "made by: a maker 2" in ended.out
    assert "1 node in the file: 1 mine::Own" in ended.out
    assert ended.err.startswith("octavo: error: octavo does not know the operators mine::Own")
    facts = octavo("inspect", "a.onnx", "--json", cwd=tmp_path).json()
    assert facts["int8"] is None
    assert "mine::Own" in facts["refused"]


def test_bench(octavo, folder):
    arguments = ("bench", "model.octavo", "model.onnx", "--duration", "0.05", "--threads", "1", "--profile")
    facts = octavo(*arguments, "--shape", "input=2x1x28x28", "--json", cwd=folder).json()
    assert (facts["isa"], facts["threads"]) == (DEFAULT_TIER, 1)
    results = facts["models"]
    assert [result["model"] for result in results] == ["model.octavo", "model.onnx"]
    for result in results:
        assert 0 < result["min_seconds"] <= result["median_seconds"]
        assert (result["isa"], result["threads"]) == (DEFAULT_TIER, 1)
        assert {"name", "op", "kernel", "tier", "macs", "seconds"} <= set(result["profile"][0])
        assert sum(row["share"] for row in result["profile"]) == pytest.approx(1)
    shown = octavo(*arguments, cwd=folder).out
    assert shown.startswith(f"{DEFAULT_TIER}, 1 thread\n")
    assert "QConv" in shown
    (total,) = [line for line in shown.splitlines() if "all steps" in line][:1]
    assert total.split()[-3:] == [total.split()[-3], "µs", "100.0%"]
    assert "93,288" in total


def test_bench_says_what_ran_where_nothing_was_asked_for(octavo, folder):
    facts = octavo("bench", "model.octavo", "--duration", "0.01", "--json", cwd=folder, OCTAVO_ISA="scalar")
    assert facts.json()["isa"] == "scalar"
    assert facts.json()["threads"] == Session(folder / "model.octavo").threads


@pytest.mark.parametrize(
    ("seconds", "shown"),
    [
        (0, "0.00 µs"),
        (1.234e-6, "1.23 µs"),
        (17.64e-6, "17.6 µs"),
        (165.9e-6, "166 µs"),
        (1.5, "1,500,000 µs"),
    ],
)
def test_times_are_microseconds_of_three_digits(seconds, shown):
    assert console.format_time(seconds) == shown


def test_demo(octavo):
    facts = octavo("demo", "--json").json()
    assert facts["float32"]["accuracy"] > 0.96
    assert facts["agreement"] > 0.98
    assert facts["int8"]["bytes"] < facts["float32"]["bytes"] / 2
    assert (facts["isa"], facts["threads"], facts["macs"]) == (DEFAULT_TIER, 1, 93_288)
    for form in ("float32", "int8"):
        assert 1e-6 < facts[form]["latency"] < 1e-2


def test_demo_says_what_ran(octavo):
    shown = octavo("demo", "--threads", "2").out
    assert f"with {DEFAULT_TIER}, 2 threads, int8 is" in shown
    assert shown.count(" µs\n") == 2


def test_run_gives_the_same_bits_on_each_tier(octavo, folder, tmp_path):
    arguments = ("run", "model.octavo", "--input", "input=image.npy", "--output-dir")
    image = {"input": np.load(folder / "image.npy")}
    (expected,) = Session(folder / "model.octavo", isa="scalar").run(None, image)
    for isa in tiers():
        ended = octavo(*arguments, tmp_path / isa, "--isa", isa, cwd=folder)
        assert ended.status == 0, ended.err
        assert np.load(tmp_path / isa / "logits.npy").tobytes() == expected.tobytes()


@pytest.mark.parametrize(
    ("command", "option"),
    [("run", "--isa"), ("bench", "--isa"), ("run", "--threads"), ("bench", "--threads")],
)
def test_settings_reach_the_session(octavo, folder, monkeypatch, command, option):
    """Threads and tier change no bit, so that only the session can tell."""
    asked = []

    class Told(Session):
        def __init__(self, model, threads=None, isa=None):
            asked.append({"--threads": threads, "--isa": isa})
            super().__init__(model, threads, isa)

    monkeypatch.setattr("octavo.Session", Told)
    more = {"run": ("--input", "image.npy"), "bench": ("--duration", "0.01")}[command]
    value = {"--isa": "scalar", "--threads": 3}[option]
    ended = octavo(command, "model.octavo", *more, option, value, cwd=folder)
    assert ended.status == 0, ended.err
    assert asked == [{"--threads": None, "--isa": None} | {option: value}]


def test_threads_reach_the_calibration(octavo, folder, tmp_path, monkeypatch):
    import octavo as package

    asked, quantize = [], package.quantize

    def told(*arguments, **options):
        asked.append(options)
        return quantize(*arguments, **options)

    monkeypatch.setattr("octavo.quantize", told)
    output = tmp_path / "a.octavo"
    options = ("--threads", "2", "--range-rule", "mean", "--exclude", "a*", "--exclude", "b*", "--strict")
    options += ("--per-tensor", "--symmetric")
    ended = octavo(*QUANTIZE, "-o", output, *options, cwd=folder)
    assert ended.status == 1
    assert "'a*'" in ended.err
    given = {"range_rule": "mean", "exclude": ["a*", "b*"], "strict": True, "threads": 2, "progress": False}
    given |= {"recipe": package.Recipe("int8", symmetric=True), "per_channel": False, "io": "float32"}
    given |= {"overrides": (), "min_sqnr": None, "optimize_for": None}
    assert asked == [{"effort": "default"} | given]


def test_inspect_gives_the_reason_of_a_float_node(octavo, folder, tmp_path):
    model = onnx.load(folder / "model.onnx")
    model.graph.node.append(onnx.helper.make_node("Softmax", ["logits"], ["y"], name="last"))
    model.graph.output[0].name = "y"
    onnx.save(model, tmp_path / "a.onnx")
    octavo("quantize", "a.onnx", "--data", folder / "calibration.npz", "-o", "a.octavo", cwd=tmp_path)
    for file, word in (("a.onnx", "float32 result"), ("a.octavo", "left in float")):
        (stay,) = octavo("inspect", file, "--json", cwd=tmp_path).json()["stays_float"]
        assert (stay["op"], stay["name"]) == ("Softmax", "last")
        assert word in stay["reason"]


def test_doubts_about_the_data_are_warnings(octavo, folder, tmp_path):
    for arguments, says in ((("--limit", "3"), "3 samples only"), (("--range", "-1..1"), "--range 0..1")):
        ended = octavo(*QUANTIZE, "-o", tmp_path / "a.octavo", *arguments, "--json", cwd=folder)
        assert ended.status == 0
        assert ended.err.startswith("octavo: warning: calibration data: ")
        assert ended.err.count("\n") == 1
        assert says in ended.err
        (warning,) = ended.json()["report"]["warnings"]
        assert warning in ended.err


@pytest.mark.parametrize("recipe", ["weight-only", "dynamic"])
def test_a_recipe_without_data(octavo, folder, tmp_path, recipe):
    target = tmp_path / "small.octavo"
    ended = octavo("quantize", "model.onnx", "-o", target, "--recipe", recipe, cwd=folder)
    assert ended.status == 0
    assert "made without data" in ended.out
    assert any(value.dtype == "i8" for value in load_program(target).values.values())
    ended = octavo("quantize", "model.onnx", "-o", tmp_path / "none.octavo", cwd=folder)
    assert ended.status == 1
    assert "the recipe 'int8' needs data" in ended.err
    assert not (tmp_path / "none.octavo").exists()


def test_activations_of_16_bits(octavo, folder, tmp_path):
    target = tmp_path / "wide.octavo"
    ended = octavo(*QUANTIZE, "-o", target, "--recipe", "int16x8", cwd=folder)
    assert ended.status == 0
    assert any(value.dtype == "i16" for value in load_program(target).values.values())


def test_recipes_with_options(octavo, folder, tmp_path):
    target = tmp_path / "small.octavo"
    options = ("--recipe", "weight-only", "--bits", "3", "--group-size", "32", "--asymmetric")
    ended = octavo("quantize", "model.onnx", "-o", target, *options, "--json", cwd=folder)
    assert ended.status == 0
    assert ended.json()["report"]["recipe"] == "weight-only bits=3 group_size=32 symmetric=False"
    values = load_program(target).values.values()
    assert {"u3", "i8"} <= {value.dtype for value in values}
    ended = octavo("quantize", "model.onnx", "-o", target, "--recipe", "float16", "--json", cwd=folder)
    assert ended.status == 0
    facts = ended.json()["report"]
    assert 0.5 < facts["integer_bytes"] / facts["float_bytes"] < 0.51
    sizes = octavo("inspect", target, "--json").json()["constant_bytes"]
    assert sum(sizes.values()) == facts["integer_bytes"]
    assert sizes["f16"] > 0.9 * facts["integer_bytes"]
    options = ("--recipe", "weight-only", "--bits", "4", "--shared", "--pruned", "0.3")
    sizes = []
    for compress in ((), ("--compress",)):
        ended = octavo("quantize", "model.onnx", "-o", target, *options, *compress, "--json", cwd=folder)
        assert ended.status == 0
        assert ended.json()["report"]["recipe"] == "weight-only bits=4 shared=True pruned=0.3"
        sizes.append((ended.json()["artifact_bytes"], artifact.to_bytes(load_program(target))))
        assert octavo("inspect", target, "--json").json()["ops"]["Gather"]
    assert sizes[1][0] < 0.9 * sizes[0][0]
    assert sizes[0][1] == sizes[1][1]
    for wrong, says in (
        (("--shared", "--pruned", "1"), "pruned is 1.0: it is the share of weights that become 0, below 1"),
        (("--pruned", "0.5"), "give shared=True as well"),
        (("--bits", "5"), "bits is 5; there are 8, 4, 3, 2"),
        (("--group-size", "16"), "group_size is 16; there are 32, 64, 128, and None for a whole row"),
        (("--recipe", "float16", "--bits", "4"), "the recipe 'float16' does not have the option bits"),
    ):
        recipe = () if "--recipe" in wrong else ("--recipe", "weight-only")
        ended = octavo("quantize", "model.onnx", "-o", tmp_path / "none", *recipe, *wrong, cwd=folder)
        assert (ended.status, says in " ".join(ended.err.split())) == (1, True), ended.err


def test_the_help_names_every_recipe(octavo):
    told = " ".join(octavo("quantize", "--help").out.split()).partition("becomes: ")[2].partition(". [")[0]
    assert all(name in told for name in RECIPES)
