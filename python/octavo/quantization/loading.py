"""A float model as quantization takes it: simplified, what stays float in it, what is observed."""

from collections.abc import Sequence

from octavo import frontend
from octavo.errors import ModelError
from octavo.lowering import Stay, evaluate, lower, stays_of
from octavo.passes import names_of, simplify
from octavo.program import Program, all_nodes
from octavo.quantization.mix import FLOAT
from octavo.quantization.overrides import overridden
from octavo.quantization.scopes import Names, excluded_nodes
from octavo.quantization.work import Work
from octavo.rewrites import spelled_out


def floats_of(model: frontend.Source, integers_only: bool = False) -> tuple[Program, Names, tuple[str, ...]]:
    """A model in float, simplified; what its own names for nodes stand for; the files that it is from.

    integers_only: whether ops without an integer form are spelled out in ops that have one, if possible.
    """
    loaded = frontend.load(model)
    simple = simplify(loaded, evaluate)
    names: dict[str, tuple[str, ...]] = {}
    for node in simple.graph.all_nodes():
        for name in sorted(names_of(node) - {node.name}):
            names[name] = (*names.get(name, ()), str(node.name))
    program = lower(simple).program
    if integers_only:
        program = spelled_out(program)
    return program, names, frontend.files_of(loaded)


def settle_overrides(work: Work, names: Names) -> None:
    """What exclusions and overrides come to for the model in float; names: those of its file."""
    work.overridden = overridden(work.floats, work.overrides, names, work.recipe)
    excluded = excluded_nodes(work.floats, work.exclude, names)
    work.mix = work.overridden.mix.with_nodes(excluded, FLOAT)
    if work.recipe.kind.integers_only:
        check_integers_only(stays_of(work.floats, work.mix.floats))


def check_integers_only(stays: Sequence[Stay]) -> None:
    """Raises `ModelError` that lists all ops which stay float, if any do."""
    if stays:
        listed = "; ".join(f"{stay.op} {stay.name!r}: {stay.reason}" for stay in stays)
        count = f"{len(stays)} op{'s' * (len(stays) > 1)}"
        raise ModelError(
            f"{count} cannot run in integers ({listed}): change them, or take the recipe 'int8', which keeps "
            "such ops in float"
        )


def observable(program: Program) -> list[str]:
    """The values of a float Program that calibration observes: all in float32 that depend on the inputs."""
    made = list(program.inputs)
    for node in all_nodes(program.nodes):
        made += [name for body in node.bodies.values() for name in body.inputs]
        made += [name for name in node.outputs if name]
    return [name for name in made if program.values[name].dtype == "f32"]
