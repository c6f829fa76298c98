"""`octavo demo`: the comparison as a table."""

from octavo.cli import console
from octavo.cli.options import Json, Threads

EPILOG = """\b
Examples:
  octavo demo
  octavo demo --json
"""


def demo(threads: Threads = None, as_json: Json = False) -> None:
    """Compare float and int8 on images.

    Quantizes a small network for handwritten digits and runs both forms over 1000 images.
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
    console.show()
    console.show(f"the two give the same answer on {result.agreement:.2%} of the images")
