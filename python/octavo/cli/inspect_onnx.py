"""`octavo inspect` of an ONNX file: what it says of itself, then what it would be in int8."""

from dataclasses import asdict
from pathlib import Path
from typing import Any

from octavo.cli import console
from octavo.errors import ModelError


def inspect_onnx(model: Path, as_json: bool) -> None:
    """Shows an ONNX file; of one that octavo cannot run, what the file says, and then raises `ModelError`."""
    from octavo import frontend
    from octavo.quantization.loading import floats_of
    from octavo.quantization.outlook import outlook

    own = asdict(frontend.facts(model))
    facts: dict[str, Any] = {"model": str(model), "file_bytes": model.stat().st_size, "format": "onnx", **own}
    facts["opset"] = own["opsets"].get("ai.onnx")
    try:
        facts["int8"] = asdict(outlook(floats_of(model)[0]))
        refused = None
    except ModelError as error:
        facts["int8"], refused = None, error
    facts["refused"] = refused and str(refused)
    facts["stays_float"] = facts["int8"].pop("stays") if facts["int8"] else []
    if as_json:
        console.show_json(facts)
    else:
        _show_file(facts)
        if refused is None:
            show_outlook({**facts["int8"], "stays": facts["stays_float"]})
    if refused is not None:
        raise refused


def _show_file(facts: dict[str, Any]) -> None:
    opsets = ", ".join(f"{domain} {version}" for domain, version in facts["opsets"].items())
    console.show(f"{facts['model']}: an ONNX file of {console.format_size(facts['file_bytes'])}")
    console.show(f"made by: {facts['producer']}")
    console.show(f"opsets: {opsets}; IR version {facts['ir_version']}")
    for side in ("inputs", "outputs"):
        for port in facts[side]:
            shape = (
                "of no stated shape" if port["shape"] is None else f"[{', '.join(map(str, port['shape']))}]"
            )
            console.show(f"{side[:-1]} {port['name']}: {port['type']} {shape}")
    console.show(f"weights: {console.format_size(facts['weight_bytes'])}")
    for name, size in facts["external_data"].items():
        there = "missing" if size is None else console.format_size(size)
        console.show(f"external data: {name} ({there})")
    console.show_ops("in the file", facts["ops"])
    if facts["functions"]:
        console.show(f"{console.count(facts['functions'], 'function')} of its own")


def show_outlook(int8: dict[str, Any]) -> None:
    """What would run in integers, and what would stay float: an `Outlook` as plain data."""
    console.show()
    console.show("in int8, once simplified:")
    console.show_ops("would run in integers", int8["integer_ops"])
    console.show_ops("would stay float", int8["float_ops"])
    if int8["other_ops"]:
        console.show_ops("compute no floats", int8["other_ops"])
    if int8["macs"]:
        share = int8["integer_macs"] / int8["macs"]
        console.show(
            f"{share:.1%} of {int8['macs']:,} multiply-accumulates would be in integers (free axes as 1)"
        )
    console.show_stays("would stay float", int8["stays"])
