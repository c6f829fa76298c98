"""What the documents tell people to type works."""

import os
import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from octavo.lowering.capability import TABLE
from PIL import Image

ROOT = Path(__file__).resolve().parent.parent
DOCUMENTS = [*sorted(ROOT.glob("*.md")), *sorted((ROOT / "docs").glob("*.md"))]
DEMO = ROOT / "python" / "octavo" / "demo"


def blocks(path, language):
    return re.findall(rf"^```{language}\n(.*?)^```", path.read_text(), re.M | re.S)


def name(path):
    return str(path.relative_to(ROOT))


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """A folder with the files that the examples name: a model, calibration data, pictures, one input."""
    folder = tmp_path_factory.mktemp("examples")
    (folder / "model.onnx").write_bytes((DEMO / "mnist-cnn.onnx").read_bytes())
    with np.load(DEMO / "calibration.npz") as file:
        pixels = file["images"]
    reals = pixels.astype(np.float32) / np.float32(255)
    np.save(folder / "calibration.npy", reals)
    np.savez(folder / "calibration.npz", images=pixels, other=pixels[:, 0])
    np.save(folder / "image.npy", reals[:1])
    with np.load(DEMO / "images.npz") as file:
        np.save(folder / "held-back.npy", file["images"][:50].astype(np.float32) / np.float32(255))
        np.save(folder / "labels.npy", file["labels"][:50])
    (folder / "photos").mkdir()
    for index, image in enumerate(pixels[:20]):
        Image.fromarray(image[0]).save(folder / "photos" / f"{index:02}.png")
    return folder


@pytest.mark.parametrize("document", [path for path in DOCUMENTS if blocks(path, "python")], ids=name)
def test_python_examples_run(document, folder):
    code = "\n".join(blocks(document, "python"))
    run = subprocess.run([sys.executable, "-c", code], cwd=folder, capture_output=True, text=True)
    assert run.returncode == 0, run.stderr


@pytest.mark.parametrize("document", [path for path in DOCUMENTS if blocks(path, "bash")], ids=name)
def test_commands_run(document, folder):
    command = folder / "bin" / "octavo"
    command.parent.mkdir(exist_ok=True)
    command.write_text(f"#!{sys.executable}\nfrom octavo.__main__ import main\nmain()\n")
    command.chmod(0o755)
    environment = {**os.environ, "PATH": f"{command.parent}{os.pathsep}{os.environ['PATH']}"}
    for block in blocks(document, "bash"):
        run = subprocess.run(
            ["bash", "-e", "-c", block], cwd=folder, env=environment, capture_output=True, text=True
        )
        assert run.returncode == 0, f"{block}\n{run.stderr}"


@pytest.mark.parametrize("document", DOCUMENTS, ids=name)
def test_named_make_targets_exist(document):
    targets = set(re.findall(r"^([\w-]+):", (ROOT / "Makefile").read_text(), re.M))
    text = document.read_text()
    named = set(re.findall(r"`make ([\w-]+)", text)) | set(re.findall(r"^make ([\w-]+)", text, re.M))
    assert named <= targets


@pytest.mark.parametrize("document", DOCUMENTS, ids=name)
def test_links_lead_somewhere(document):
    targets = re.findall(r"\]\(([^)#]+?)(?:#[^)]*)?\)", document.read_text())
    missing = [
        target for target in targets if "://" not in target and not (document.parent / target).exists()
    ]
    assert not missing


def test_table_of_integer_operators_is_that_of_the_code():
    groups = {}
    for row in TABLE:
        becomes = "itself" if row.becomes == row.op else f"`{row.becomes}`"
        conditions = "; ".join(condition.needs for condition in row.conditions)
        groups.setdefault((row.kind, becomes, conditions), []).append(row.op)
    lines = [
        f"| {', '.join(ops)} | {becomes} | {conditions} |" for (_, becomes, conditions), ops in groups.items()
    ]
    text = (ROOT / "docs" / "quantization.md").read_text()
    table = text.split("<!-- integer operators -->")[1].strip().splitlines()[2:]
    assert table == lines


def test_the_code_cites_the_formulas_by_their_numbers():
    """Every formula of the page is cited somewhere, and every formula that is cited is there."""
    page = (ROOT / "docs/arithmetic.md").read_text(encoding="utf-8")
    numbers = set(re.findall(r"^    .*\s\((\d+[a-z]?)\)$", page, re.MULTILINE))
    cited = set()
    for folder, suffix in (("python", "py"), ("rust", "rs")):
        for path in (ROOT / folder).rglob(f"*.{suffix}"):
            for listed in re.findall(r"[Ff]ormulas? (\(\w+\)(?:(?:, | and )\(\w+\))*)", path.read_text()):
                cited |= set(re.findall(r"\((\w+)\)", listed))
    assert len(numbers) > 20
    assert cited == numbers
