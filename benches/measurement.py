"""What a measurement was made on, and where it is written."""

import datetime
import json
import math
import os
import platform
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from engines import Engine

ROOT = Path(__file__).resolve().parents[1]
RESULTS = ROOT / "benches" / "results"
MODELS = ROOT / "target" / "benches"  # the quantized models

Row = dict[str, Any]


def machine() -> str:
    """The processor, how many cores this process may use, the system."""
    names = [
        line.partition(":")[2].strip()
        for line in _lines("/proc/cpuinfo")
        if line.startswith(("model name", "CPU part"))
    ]
    name = names[0] if names else platform.processor()
    tiers = sorted({flag for line in _lines("/proc/cpuinfo") for flag in line.split()} & VECTORS)
    return f"{name} ({' '.join(tiers)}), {len(os.sched_getaffinity(0))} cores, {platform.system()}"


VECTORS = {"avx2", "avx_vnni", "avx512_vnni", "avx512_bf16", "amx_int8", "asimd", "asimddp", "i8mm"}


def _lines(path: str) -> list[str]:
    return Path(path).read_text().splitlines() if Path(path).exists() else []


def installed(engines: Iterable[Engine]) -> tuple[list[Engine], dict[str, str]]:
    """The engines that are installed, and for each of all its version or why there is none."""
    found, versions = [], {}
    for engine in engines:
        try:
            versions[engine.name] = engine.version()
            found.append(engine)
        except Exception as error:
            versions[engine.name] = f"not installed: {cause(error)}"
    return found, versions


def cause(error: Exception) -> str:
    """An error in one line."""
    text = " ".join(str(error).split())
    return f"{type(error).__name__}: {text}"[:300]


def sqnr(signal: float, noise: float) -> float | None:
    """In dB, of sums of squares; None where there is no difference."""
    return None if noise == 0 else round(10 * math.log10(signal / noise), 2)


def write(name: str, versions: dict[str, str], models: dict[str, Row], **more: Any) -> Path:
    """Writes results/NAME.json."""
    RESULTS.mkdir(exist_ok=True)
    path = RESULTS / f"{name}.json"
    date = datetime.datetime.now(datetime.UTC).date().isoformat()
    report = {"date": date, "machine": machine(), "versions": versions, **more, "models": models}
    path.write_text(json.dumps(report, indent=1) + "\n")
    return path
