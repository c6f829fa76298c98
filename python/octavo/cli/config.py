"""Overrides in a file, TOML or JSON."""

import json
import tomllib
from pathlib import Path
from typing import Any

from octavo.errors import ModelError


def read_overrides(path: Path) -> list[dict[str, Any]]:
    """The list `overrides` of a file, of tables of what an `octavo.Override` has by name.

    Raises `ModelError` where the file is neither TOML nor JSON or holds anything else, OSError where it
    cannot be read.
    """
    data = path.read_bytes()
    try:
        held = json.loads(data) if path.suffix.lower() == ".json" else tomllib.loads(data.decode())
    except (ValueError, RecursionError) as error:  # of either reader, and of bytes that are no text
        kind = "JSON" if path.suffix.lower() == ".json" else "TOML"
        raise ModelError(f"{path} cannot be read as {kind}: {error}") from error
    if not isinstance(held, dict) or set(held) != {"overrides"}:
        found = ", ".join(map(repr, held)) if isinstance(held, dict) and held else "something else"
        raise ModelError(f"{path} holds {found}: it takes 'overrides' alone, a list of tables")
    overrides = held["overrides"]
    if not isinstance(overrides, list) or not all(isinstance(item, dict) for item in overrides):
        raise ModelError(f"{path}: overrides is no list of tables")
    return overrides
