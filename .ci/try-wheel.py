"""Runs the committed networks with the installed octavo, beside numpy alone, on every tier of this machine.

    python .ci/try-wheel.py [TIER...]

The answers have to have the digests of rust/runtime/tests/digests.rs. Where tiers are named, the machine has
to have just those.
"""

import platform
import sys
import zlib
from pathlib import Path

import numpy as np
import octavo

FOLDER = Path(__file__).resolve().parents[1] / "rust/runtime/tests/data"
NETWORKS = {
    "digits_int8": ((8, 1, 28, 28), 0xCCC9AAA9),
    "digits_float": ((8, 1, 28, 28), 0xADC2612A),
    "mixed_int8": ((4, 3, 26, 30), 0x2DE1A7B2),
}


def main() -> None:
    """Ends with an error where an answer has other bits."""
    if sys.argv[1:] and sys.argv[1:] != octavo.tiers():
        sys.exit(f"tiers: {octavo.tiers()}, expected {sys.argv[1:]}")
    for name, (shape, expected) in NETWORKS.items():
        pictures = (np.arange(np.prod(shape)) * 40503 % 65536 / 65536).astype(np.float32).reshape(shape)
        for tier in octavo.tiers():
            session = octavo.Session(FOLDER / f"{name}.octavo", isa=tier)
            (spec,) = session.get_inputs()
            (answers,) = session.run(None, {spec.name: pictures})
            found = zlib.crc32(answers.tobytes())
            if found != expected:
                sys.exit(f"{name} on {tier}: {found:08x}, not {expected:08x}")
    tiers = ", ".join(octavo.tiers())
    print(f"octavo runs on {platform.machine()} beside numpy {np.__version__}, with the same bits on {tiers}")  # noqa: T201


if __name__ == "__main__":
    main()
