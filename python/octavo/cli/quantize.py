"""`octavo quantize`: a float model and some data become an int8 artifact."""

import os
import sys
from dataclasses import replace
from pathlib import Path
from typing import Annotated

import typer

import octavo
from octavo.cli import console
from octavo.cli.config import read_overrides
from octavo.cli.estimate import show_estimate
from octavo.cli.options import (
    Json,
    Limit,
    Mean,
    PixelLayout,
    PixelRange,
    Size,
    Std,
    Threads,
    pixels_of,
    text_of,
)
from octavo.cli.pixels import Pixels
from octavo.program import saving

EPILOG = """\b
Examples:
  octavo quantize model.onnx --data calibration.npy -o model.octavo
  octavo quantize --estimate model.onnx
  octavo quantize model.onnx --data photos/ --size 224x224 --range -1..1 -o model.octavo
  octavo quantize model.onnx --data calibration.npy -o model.octavo --html report.html
  octavo quantize model.onnx --recipe weight-only --bits 4 --group-size 32 -o model.octavo
  octavo quantize model.onnx --recipe weight-only --bits 4 --shared --pruned 0.2 --compress -o model.octavo
  octavo quantize model.onnx --data photos/ --recipe int8-strict --io uint8 -o model.octavo
  octavo quantize model.onnx --data photos/ --config overrides.toml --min-sqnr 30 -o model.octavo
  octavo quantize model.onnx --data a=calib.npz:left --data b=calib.npz:right -o model.octavo
  octavo quantize model.onnx --data photos/ --mean 0.485,0.456,0.406 --std 0.229,0.224,0.225 -o model.octavo
"""


def quantize(
    model: Annotated[Path, typer.Argument(help="The float model, an .onnx file.")],
    output: Annotated[
        Path | None,
        typer.Option("--output", "-o", help="The .octavo file to write.", show_default=False),
    ] = None,
    data: Annotated[
        list[str] | None,
        typer.Option(
            metavar="PATH|NAME=FILE[:KEY]",
            help="Calibration data: .npy, .npz (arrays named as the inputs), a picture, or a folder; or "
            "for each input NAME a file (repeatable), :KEY an array in .npz.",
        ),
    ] = None,
    recipe: Annotated[
        str,
        typer.Option(
            help="What the model becomes: int8, int8-strict (no op in float), int16x8, which need data; "
            "dynamic; weight-only, of --bits; float16."
        ),
    ] = "int8",
    bits: Annotated[
        int,
        typer.Option(metavar="N", help="int8, int8-strict, weight-only: bits of a weight, 8, 4, 3 or 2."),
    ] = 8,
    group_size: Annotated[
        int | None,
        typer.Option(metavar="N", help="Of the same: weights that share a scale, 32, 64 or 128. [a row]"),
    ] = None,
    shared: Annotated[
        bool,
        typer.Option(
            "--shared", help="weight-only: weights are levels of a codebook of 2^bits for each layer."
        ),
    ] = False,
    pruned: Annotated[
        float,
        typer.Option(metavar="SHARE", help="weight-only, --shared: the share of weights that become 0."),
    ] = 0.0,
    symmetric: Annotated[
        bool | None,
        typer.Option(
            "--symmetric/--asymmetric",
            help="Without or with zero points: int8, int8-strict: of activations [with]; weight-only: of "
            "weights [without].",
        ),
    ] = None,
    per_channel: Annotated[
        bool | None,
        typer.Option(
            "--per-channel/--per-tensor", help="A scale for each output channel of weights, or one. [each]"
        ),
    ] = None,
    io: Annotated[
        str, typer.Option(help="int8-strict: what inputs and outputs are in, float32, uint8 or int8.")
    ] = "float32",
    effort: Annotated[
        str,
        typer.Option(
            help="default; fast: no weights made for the data, no choice of ranges; best: takes longer."
        ),
    ] = "default",
    range_rule: Annotated[
        str | None,
        typer.Option(
            help="How values become ranges: minmax, twice, mean, p99.999, p99.99, mse, entropy. "
            "[what does best]"
        ),
    ] = None,
    compress: Annotated[
        bool, typer.Option("--compress", help="Write the artifact compressed with Zstandard.")
    ] = False,
    html: Annotated[
        Path | None, typer.Option(metavar="FILE.html", help="Write the report as a page, too.")
    ] = None,
    size: Size = None,
    mean: Mean = None,
    std: Std = None,
    layout: PixelLayout = None,
    range_: PixelRange = None,
    limit: Limit = None,
    exclude: Annotated[
        list[str] | None, typer.Option(help="Keep the nodes of this name or pattern in float (repeatable).")
    ] = None,
    config: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE.toml|FILE.json",
            help="Overrides: what some nodes and tensors become instead, a list of tables.",
        ),
    ] = None,
    optimize_for: Annotated[
        str | None,
        typer.Option(help="latency: leave in float what is slower in integers on this machine."),
    ] = None,
    min_sqnr: Annotated[
        float | None,
        typer.Option(
            metavar="DB",
            help="Raise as few ops (int16, then float) as give the outputs this signal to error.",
        ),
    ] = None,
    estimate: Annotated[
        bool,
        typer.Option("--estimate", help="Write nothing: say what int8 would cost, from the weights alone."),
    ] = False,
    strict: Annotated[bool, typer.Option("--strict", help="Fail where a node has to stay in float.")] = False,
    threads: Threads = None,
    as_json: Json = False,
) -> None:
    """Quantize a float model, by default to int8.

    The ranges of its tensors are then those that the calibration data show. Without data, --estimate says
    what is to be expected.
    """
    if estimate:
        if output or data or html or recipe != "int8":
            raise typer.BadParameter(
                "it is of int8, takes no data and writes nothing: leave out --output, --data, --html",
                param_hint="--estimate",
            )
        show_estimate(model, exclude or (), as_json)
        return
    if output is None:
        raise typer.BadParameter("name the .octavo file to write", param_hint="--output")
    from octavo.cli.data import Files
    from octavo.cli.places import kept_files, open_data, places
    from octavo.frontend import source_files

    asked, found = pixels_of(size, mean, std, layout, range_), places(data or ())
    pixels = asked or Pixels()
    model_files = source_files(model)
    written = [path for path in (output, html) if path is not None]
    for path in written:
        saving.check(path, (*model_files, *kept_files(found)))
    if html is not None and os.path.realpath(html) == os.path.realpath(output):
        raise typer.BadParameter("the artifact and the page are two files", param_hint="--html")
    samples = None
    if found:
        samples = open_data(found, octavo.Session(model, threads=threads).get_inputs(), pixels, limit)
    quantized = octavo.quantize(
        model,
        samples,
        recipe=octavo.Recipe(recipe, bits, group_size, symmetric, shared, pruned),
        effort=effort,
        range_rule=range_rule,
        exclude=exclude or (),
        overrides=() if config is None else read_overrides(config),
        optimize_for=optimize_for,
        min_sqnr=min_sqnr,
        per_channel=per_channel,
        strict=strict,
        io=io,
        threads=threads,
        progress=sys.stderr.isatty(),
    )
    if asked is not None or (isinstance(samples, Files) and samples.are_pictures):
        program = replace(quantized.program, preprocessing=text_of(pixels))
        quantized = replace(quantized, program=program)
    quantized.save(output, compress=compress)
    if html is not None:
        quantized.report.to_html(html)
    sizes = {
        "model_bytes": sum(os.path.getsize(file) for file in model_files),
        "artifact_bytes": output.stat().st_size if output.is_file() else None,
    }
    with console.apart_from(*written):
        if as_json:
            console.show_json(
                {"model": str(model), "output": str(output), **sizes, "report": quantized.report.to_dict()}
            )
            return
        for line in str(quantized.report).splitlines():
            console.show(line)
        before, after = ("" if size is None else f" ({console.format_size(size)})" for size in sizes.values())
        console.show(f"{model}{before} -> {output}{after}")
