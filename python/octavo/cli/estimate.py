"""What `octavo quantize --estimate` shows."""

from collections.abc import Iterable
from dataclasses import asdict
from pathlib import Path

from octavo.cli import console
from octavo.cli.inspect_onnx import show_outlook


def show_estimate(model: Path, exclude: Iterable[str], as_json: bool) -> None:
    """What int8 would cost a model, by `octavo.quantization.estimate`."""
    from octavo.quantization import estimate

    found = estimate(model, exclude=exclude)
    if as_json:
        console.show_json({"model": str(model), **found.to_dict()})
        return
    console.show(f"{model} in int8, from its weights and shapes alone, as effort fast would make it:")
    for name, sqnr in found.outputs.items():
        expected = "no error" if sqnr is None else f"an SQNR of about {sqnr:.0f} dB"
        console.show(f"output {name}: {expected}")
    console.show("Activations are taken as typical: what data give can differ by 10 dB and more.")
    console.show(
        f"artifact: {console.format_size(found.artifact_bytes)}; constants: {found.float_bytes:,} bytes in "
        f"float, {found.integer_bytes:,} in int8"
    )
    if found.layers:
        console.show()
        console.show("products by weights (SQNR in dB: of the weights, and expected of the results):")
        console.show_table(
            ["weights", "results", "macs", "op", "name"],
            [
                [
                    f"{layer.weights:.1f}",
                    f"{layer.accumulated:.1f}",
                    f"{layer.macs:,}",
                    layer.op,
                    console.shorten(layer.name),
                ]
                for layer in found.layers
            ],
        )
    show_outlook(asdict(found.outlook))
