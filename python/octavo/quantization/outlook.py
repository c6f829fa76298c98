"""What would become of a float model in int8, before any data are seen."""

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass

from octavo.lowering import EXCLUDED, Forms, Stay
from octavo.lowering.partition import Partition
from octavo.lowering.wiring import Wiring
from octavo.program import Program
from octavo.quantization.macs import macs, stated_sizes


@dataclass(frozen=True)
class Outlook:
    """Of the model's nodes, once simplified.

    integer_ops, float_ops: how many of each op would run in integers, and would stay float.
    other_ops: those that compute no floats, such as shape arithmetic.
    macs, integer_macs: of all products, and of those in integers, a sample; free axes are taken as 1.
    stays: each op that would stay float, with the reason.
    """

    integer_ops: dict[str, int]
    float_ops: dict[str, int]
    other_ops: dict[str, int]
    macs: int
    integer_macs: int
    stays: list[Stay]


def outlook(floats: Program, excluded: Iterable[str] = ()) -> Outlook:
    """What a quantization of a float Program would decide; ranges can still keep a node in float.

    excluded: names of nodes that are to stay float.
    """
    wiring, kept = Wiring(floats), {name: (EXCLUDED, True) for name in excluded}
    partition = Partition(wiring, kept, Forms(given=wiring.given.forms))
    integers = [node for unit in partition.wiring.units if partition.is_integer(unit) for node in unit.nodes]
    sizes = stated_sizes(floats)
    named = {node.name for node in integers} | {stay.name for stay in partition.stays}
    return Outlook(
        integer_ops=_counted(node.op for node in integers),
        float_ops=_counted(stay.op for stay in partition.stays),
        other_ops=_counted(node.op for node in floats.nodes if node.name not in named),
        macs=sum(macs(node, sizes) for node in floats.nodes),
        integer_macs=sum(macs(node, sizes) for node in integers),
        stays=partition.stays,
    )


def _counted(ops: Iterable[str]) -> dict[str, int]:
    return dict(sorted(Counter(ops).items()))
