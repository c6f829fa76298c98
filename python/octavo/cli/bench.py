"""`octavo bench`: how long a run takes, and each operator's share of it."""

import re
import time
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

import octavo
from octavo.cli import console
from octavo.cli.options import Isa, Json, Threads

if TYPE_CHECKING:
    from octavo.calibration import Feeds

EPILOG = """\b
Examples:
  octavo bench model.octavo
  octavo bench model.octavo model.onnx --threads 1
  octavo bench model.octavo --profile --shape input=8x3x224x224
"""


def bench(
    models: Annotated[
        list[Path],
        typer.Argument(help="Files to time: .octavo in int8, .onnx in float. The first is the base."),
    ],
    shape: Annotated[
        list[str] | None, typer.Option(metavar="NAME=1x3x224x224", help="The shape of an input (repeatable).")
    ] = None,
    batch: Annotated[
        int, typer.Option(min=1, metavar="N", help="The first axis of inputs that leave it open.")
    ] = 1,
    duration: Annotated[
        float, typer.Option(min=0.01, metavar="SECONDS", help="Seconds to time each model for.")
    ] = 2.0,
    profile: Annotated[bool, typer.Option("--profile", help="Show the time of each operator.")] = False,
    threads: Threads = None,
    isa: Isa = None,
    as_json: Json = False,
) -> None:
    """Time models.

    Many runs over made-up inputs, after the first, which makes the plan: their median, the least, and the
    spread, which is the width of the middle half over the median. The speed is against the first model's.
    """
    from octavo.cli.feeds import made_up_feeds

    shapes = dict(_shape(text) for text in shape or [])
    results = []
    for path in models:
        session = octavo.Session(path, threads=threads, isa=isa)
        inputs = session.get_inputs()
        unknown = sorted(set(shapes) - {info.name for info in inputs})
        if unknown:
            raise octavo.DataError(f"{path} has no input '{unknown[0]}' (--shape)")
        feeds = made_up_feeds(inputs, shapes, batch)
        machine = {"isa": session.isa, "threads": session.threads}
        result: dict[str, Any] = {"model": str(path), **machine, **_time(session, feeds, duration)}
        if profile:
            result["profile"] = _profile(session, feeds)
        results.append(result)
    if as_json:
        console.show_json({**machine, "models": results})
        return
    _show(results)


def _shape(text: str) -> tuple[str, tuple[int, ...]]:
    match = re.fullmatch(r"(.+)=(\d+(?:x\d+)*)?", text)
    if match is None:
        raise typer.BadParameter(f"{text}: give NAME=1x3x224x224", param_hint="--shape")
    name, numbers = match.groups()
    return name, tuple(int(number) for number in numbers.split("x")) if numbers else ()


def _time(session: "octavo.Session", feeds: "Feeds", duration: float) -> dict[str, Any]:
    """Times of single runs, in seconds."""
    session.run(None, feeds)
    times: list[float] = []
    end = time.perf_counter() + duration
    while len(times) < 5 or time.perf_counter() < end:
        start = time.perf_counter()
        session.run(None, feeds)
        times.append(time.perf_counter() - start)
    times.sort()
    count = len(times)
    median = times[count // 2]
    return {
        "runs": count,
        "median_seconds": median,
        "min_seconds": times[0],
        "spread": (times[count * 3 // 4] - times[count // 4]) / median,
    }


def _profile(session: "octavo.Session", feeds: "Feeds") -> list[dict[str, Any]]:
    """Each step's row, its seconds the median of five profiled runs."""
    runs = [session.profile(feeds) for _ in range(5)]
    times = [sorted(run[index].seconds for run in runs)[2] for index in range(len(runs[0]))]
    return [
        {
            "name": row.name,
            "op": row.op,
            "kernel": row.kernel,
            "tier": row.tier,
            "macs": row.macs,
            "seconds": seconds,
            "share": seconds / sum(times),
        }
        for row, seconds in zip(runs[0], times, strict=True)
    ]


def _show(results: list[dict[str, Any]]) -> None:
    base = results[0]["median_seconds"]
    console.show(console.format_machine(results[0]["isa"], results[0]["threads"]))
    console.show()
    console.show_table(
        ["model", "median", "min", "spread", "runs", "speed"],
        [
            [
                result["model"],
                console.format_time(result["median_seconds"]),
                console.format_time(result["min_seconds"]),
                f"{result['spread']:.1%}",
                str(result["runs"]),
                f"{base / result['median_seconds']:.2f}x",
            ]
            for result in results
        ],
    )
    for result in results:
        if "profile" in result:
            console.show()
            console.show(f"{result['model']}: each step's median of 5 profiled runs")
            _show_profile(result["profile"])


def _show_profile(rows: list[dict[str, Any]]) -> None:
    total = {
        "name": "all steps",
        "op": "",
        "kernel": "",
        "macs": sum(row["macs"] for row in rows),
        "seconds": sum(row["seconds"] for row in rows),
        "share": 1.0,
    }
    console.show_table(
        ["name", "op", "kernel", "macs", "time", "share"],
        [
            [
                console.shorten(row["name"]),
                row["op"],
                row["kernel"],
                f"{row['macs']:,}" if row["macs"] else "",
                console.format_time(row["seconds"]),
                f"{row['share']:.1%}",
            ]
            for row in [*rows, total]
        ],
    )
