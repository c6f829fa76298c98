"""Turns results/*.json into results/README.md, a part of the README and of docs/accuracy.md."""

import json
from pathlib import Path

from engines import ENGINES, HELD, OctavoFloat, OnnxRuntimeFloat
from measurement import RESULTS, ROOT, Row

NAMES = [engine.name for engine in ENGINES]
OWN = NAMES[0]
FLOATS = (OctavoFloat.name, OnnxRuntimeFloat.name)


def write_tables() -> Path:
    """Writes the tables of what has been measured, and into the README the two that matter most."""
    parts = ["# Measured", "Written by the scripts in `benches/`, not by hand."]
    excerpt = []
    for name, table in (("accuracy", _accuracy), ("latency", _latency), ("floats", _floats)):
        path = RESULTS / f"{name}.json"
        if path.exists():
            report = json.loads(path.read_text())
            title, text, first, *rest = table(report["models"])
            parts += [title, text, first, *rest, _versions(report), *_failures(report)]
            excerpt += [f"#{title}", text, first, _versions(report)]
    _replace(ROOT / "README.md", "measured", excerpt)
    path = RESULTS / "README.md"
    path.write_text("\n\n".join(parts) + "\n")
    return path


def write_steps() -> Path:
    """Writes what the steps of the efforts are worth into the page on accuracy."""
    report = json.loads((RESULTS / "steps.json").read_text())
    steps = list(next(iter(report["models"].values())))
    rows = [
        [model, *(_accuracy_cell(row[step]) for step in steps)] for model, row in report["models"].items()
    ]
    path = ROOT / "docs" / "accuracy.md"
    _replace(path, "measured", [_table(["model", *steps], rows), _versions(report)])
    return path


def write_recipes() -> Path:
    """Writes what each recipe costs into the page on quantization, a line a recipe."""
    report = json.loads((RESULTS / "recipes.json").read_text())
    models = report["models"]
    rows = [
        [recipe, *(f"{_accuracy_cell(row[recipe])}; {row[recipe]['bytes']:.3f}" for row in models.values())]
        for recipe in next(iter(models.values()))
    ]
    path = ROOT / "docs" / "quantization.md"
    _replace(path, "recipes", [_table(["recipe", *models], rows), _versions(report)])
    return path


def write_sentences() -> Path:
    """Writes how near int8 sentence vectors are, and how long they take, into the page on accuracy."""
    parts = []
    for name, tables in (("sentences", _sentences), ("sentences-latency", _sentences_latency)):
        path = RESULTS / f"{name}.json"
        if path.exists():
            report = json.loads(path.read_text())
            parts += [*tables(report["models"]), _versions(report), *_failures(report)]
    path = ROOT / "docs" / "accuracy.md"
    _replace(path, "sentences", parts)
    return path


def write_layers() -> Path:
    """Writes where each model's time goes: kinds of steps into the page on speed, layers beside it."""
    report = json.loads((RESULTS / "layers.json").read_text())
    limits = report["limits"]
    bounds = ", ".join(f"{rate:.0f} on {tier}" for tier, rate in limits.items())
    text = f"The most that a core here multiplies, in GMAC/s: {bounds}."
    rows, parts = [], ["# Layers", "Written by `benches/layers.py`, not by hand.", text, _versions(report)]
    for model, tiers in report["models"].items():
        for tier, steps in tiers.items():
            rows.append(_kinds(model, tier, steps, limits[tier]))
            parts += [f"## {model}, {tier}", _layers(steps, limits[tier])]
    path = RESULTS / "layers.md"
    path.write_text("\n\n".join(parts) + "\n")
    head = ["model", "tier", "us", "GMAC/s", "of the limit", *KINDS.values(), "other"]
    page = ROOT / "docs" / "performance.md"
    _replace(page, "layers", [text, _table(head, rows), _versions(report)])
    return path


KINDS = {"gemm": "products", "winograd": "Winograd", "depthwise": "depthwise", "quantize": "quantize"}
"""Words of kernels' names, and what the steps are called whose kernels have them."""
LEAST = 0.01
"""The share of a model's time below which a step has no line of its own."""


def _kinds(model: str, tier: str, steps: list[Row], limit: float) -> list[str]:
    """A model's time on a tier, its speed, and what share kinds of steps have of the time."""
    total, macs = sum(step["us"] for step in steps), sum(step["macs"] for step in steps)
    rate = macs / total / 1e3
    shares = dict.fromkeys([*KINDS.values(), "other"], 0.0)
    for step in steps:
        kind = next((KINDS[word] for word in reversed(KINDS) if word in step["kernel"]), "other")
        shares[kind] += step["us"] / total
    speed = [f"{total:.0f}", f"{rate:.0f}", f"{rate / limit:.2f}"]
    return [model, tier, *speed, *(f"{share:.0%}" for share in shares.values())]


def _layers(steps: list[Row], limit: float) -> str:
    """A line for each step that takes some share of the time, the rest in one."""
    total = sum(step["us"] for step in steps)
    rows, rest = [], 0.0
    for step in steps:
        if step["us"] < LEAST * total:
            rest += step["us"]
            continue
        rate = step["macs"] / step["us"] / 1e3
        speed = [f"{rate:.0f}", f"{rate / limit:.2f}"] if step["macs"] else ["", ""]
        what = f"{step['op']} {step['shape']}".strip()
        rows.append([what, step["kernel"], f"{step['us']:.1f}", f"{step['us'] / total:.1%}", *speed])
    rows.append(["all others", "", f"{rest:.1f}", f"{rest / total:.1%}", "", ""])
    return _table(["step", "kernel", "us", "of the time", "GMAC/s", "of the limit"], rows)


def _replace(path: Path, name: str, parts: list[str]) -> None:
    """Puts paragraphs between two marks of a page."""
    begin, end = f"<!-- {name}: by benches/tables.py -->", f"<!-- end of {name} -->"
    before, found, rest = path.read_text().partition(begin)
    if not found:
        raise ValueError(f"{path} has no line {begin}")
    path.write_text("\n\n".join([before + begin, *parts, end + rest.partition(end)[2]]))


def _versions(report: Row) -> str:
    versions = "; ".join(f"{name} {version}" for name, version in report["versions"].items())
    return f"{report['date']}, {report['machine']}. {versions}."


def _failures(report: Row) -> list[str]:
    lines = [
        f"- {model}, {name}: {row['error']}"
        for model, engines in report["models"].items()
        for name, row in engines.items()
        if "error" in row
    ]
    return ["Not measured:\n\n" + "\n".join(lines)] if lines else []


def _table(head: list[str], rows: list[list[str]]) -> str:
    lines = [head, ["---", *["---:"] * (len(head) - 1)], *rows]
    return "\n".join(f"| {' | '.join(cells)} |" for cells in lines)


def _names(models: dict[str, Row]) -> list[str]:
    return [name for name in NAMES if any(name in engines for engines in models.values())]


def _accuracy_cell(row: Row | None) -> str:
    if row is None or "error" in row:
        return "-"
    per_cent = [f"{row[key]:.1f}" for key in ("agreement", "top1") if key in row]
    sqnr = "same" if row["sqnr_db"] is None else f"{row['sqnr_db']:.1f}"
    return " / ".join([sqnr, *per_cent])


def _accuracy(models: dict[str, Row]) -> list[str]:
    names = _names(models)
    rows = [
        [model, *(_accuracy_cell(engines.get(name)) for name in names)] for model, engines in models.items()
    ]
    text = (
        "SQNR in dB against ONNX Runtime's float answers / % of the same class / % of right ones, where "
        "there are labels. Ranges come from the same 100 samples or fewer."
    )
    return ["## Accuracy", text, _table(["model", *names], rows)]


def _time(row: Row | None, own: Row | None, threads: int) -> str:
    """Median, spread and, in brackets, how many times as long as octavo's own."""
    if row is None or "error" in row:
        return "-"
    key = f"us_{threads}"
    ratio = "" if own is None or own is row or "error" in own else f" ({row[key] / own[key]:.2f})"
    low, high = row[f"quartiles_{threads}"]
    return f"{row[key]:.0f} ± {(high - low) / 2:.0f}{ratio}"


def _latency(models: dict[str, Row]) -> list[str]:
    names = _names(models)
    parts = [
        "## Latency",
        "Microseconds of one run call from Python with one sample: median ± half the distance of the "
        f"quartiles; in brackets how many times as long as {OWN}.",
    ]
    for threads in (1, 2):
        rows = [
            [model, *(_time(engines.get(name), engines.get(OWN), threads) for name in names)]
            for model, engines in models.items()
        ]
        parts.append(_table([f"{threads} thread{'s' if threads > 1 else ''}", *names], rows))

    held = [engine.name for engine in HELD]
    if any(name in engines for engines in models.values() for name in held):
        rows = [
            [model, *(_time(engines.get(name), engines.get(held[0]), 1) for name in held)]
            for model, engines in models.items()
        ]
        parts += ["Held to AVX2, as on a machine without AVX-512:", _table(["1 thread", *held], rows)]

    def speedup(row: Row) -> str:
        return f"{row['speedup']:.2f}" if "speedup" in row else "-"

    rows = [[model, *(speedup(engines.get(name, {})) for name in names)] for model, engines in models.items()]
    parts.append(_table(["2 threads over 1", *names], rows))
    return parts


def _floats(models: dict[str, Row]) -> list[str]:
    own, peer = FLOATS
    rows, memory = [], []
    for model, engines in models.items():
        ours, theirs = engines.get(own, {}), engines.get(peer, {})
        times = [_time(row, ours, threads) for threads in (1, 2) for row in (ours, theirs)]
        rows.append([model, *times, ours.get("digest", "-")])
        for size, used in ours.get("memory", {}).items():
            cells = [f"{used[key] / 2**20:.0f}" for key in ("arena", "load", "run")]
            cells += [f"{theirs['memory'][size][key] / 2**20:.0f}" for key in ("load", "run")]
            memory.append([f"{model}, batch {size}", *cells])
    heads = [f"{name}, {n} thread{'s' * (n > 1)}" for n in (1, 2) for name in FLOATS]
    text = (
        "Microseconds of one run call of the float model from Python with one sample, as above; in brackets "
        f"how many times as long as {own}. The digest is that of the outputs' bytes (SHA-256, the first 12 "
        "digits): the same on every instruction set, on one thread and two, in one batch or one by one."
    )
    parts = ["## Float", text, _table(["model", *heads, "digest"], rows)]
    if memory:
        parts.append(
            "MiB of memory: the arena of a run; and by how much the process grows, at most, while it loads "
            "the model and then runs, and while it runs once it is loaded."
        )
        heads = [f"{own}: arena", *(f"{name}: {key}" for name in FLOATS for key in ("load and run", "run"))]
        parts.append(_table(["model", *heads], memory))
    return parts


def _sentences(models: dict[str, Row]) -> list[str]:
    def cells(row: Row) -> list[str]:
        if "error" in row:
            return ["-"] * 6
        decibels = ["same" if row[key] is None else f"{row[key]:.1f}" for key in ("sentence_db", "hidden_db")]
        cosines = [f"{row[key]:.4f}" for key in ("cosine_mean", "cosine_min")]
        return [*cosines, *decibels, f"{row['bytes'] / 1e6:.1f}", f"{row['seconds']:.0f}"]

    head = ["cosine: mean", "least", "vectors, dB", "tokens, dB", "MB", "seconds to quantize"]
    return [
        _table([model, *head], [[name, *cells(row)] for name, row in engines.items()])
        for model, engines in models.items()
    ]


def _sentences_latency(models: dict[str, Row]) -> list[str]:
    parts = []
    for threads in (1, 2):
        names = list(next(iter(models.values())))
        rows = [
            [length, *(_time(row[name], row[OWN], threads) for name in names)]
            for length, row in models.items()
        ]
        parts.append(_table([f"{threads} thread{'s' * (threads > 1)}", *names], rows))
    return parts
