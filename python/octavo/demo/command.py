"""`octavo demo`: the comparison as a table."""

from typing import Annotated

import typer

from octavo.cli import console
from octavo.cli.options import Json

EPILOG = """\b
Examples:
  octavo demo
  octavo demo --json
"""


NEAR = 1.2
"""A gain in speed below which the demo says why it is small."""


def demo(
    threads: Annotated[int, typer.Option(min=1, metavar="N", help="Threads of each run.")] = 1,
    as_json: Json = False,
) -> None:
    """Compare float and int8 on images.

    Quantizes a small network for handwritten digits and runs both forms over 1000 images. The time of one
    image is the median of 2000 runs, of both forms in turns.
    """
    from octavo.demo.digits import compare

    result = compare(threads)
    if as_json:
        console.show_json(result.as_dict())
        return
    console.show(f"a small CNN on {result.images} images of handwritten digits")
    console.show()
    console.show_table(
        ["", "accuracy", "size", "one image"],
        [
            [name, f"{form.accuracy:.2%}", console.format_size(form.bytes), console.format_time(form.latency)]
            for name, form in (("float32", result.float32), ("int8", result.int8))
        ],
    )
    gain = result.float32.latency / result.int8.latency
    machine = console.format_machine(result.isa, result.threads)
    console.show()
    console.show(f"with {machine}, int8 is {gain:.2f} times as fast as float32")
    if gain < NEAR:
        console.show(
            f"(its {result.macs:,} multiplications an image are too few to gain more here: "
            "octavo bench times your own model)"
        )
    console.show(f"the two give the same answer on {result.agreement:.2%} of the images")
