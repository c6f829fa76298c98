"""Remedies tried: a quantized model made again with one thing changed, and what its answers gain by that.

An artifact does not remember the float model. But the float model, lowered by the forms that the artifact's
values have, gives the same nodes again, and with them their origins and the reals of their weights.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np
import numpy.typing as npt

from octavo.calibration import Feeds
from octavo.lowering import Affine, Forms, Lowered, Range, affine, columns, grid, lower_to_integers
from octavo.program import Node, Program, Quant
from octavo.program.checks import COLUMNS
from octavo.program.integers import ACTIVATIONS, INT8, INT16, UINT8, WEIGHTS, Integers
from octavo.program.ops import marked
from octavo.quantization.choice import with_weights
from octavo.quantization.judge import Judge
from octavo.quantization.products import bias_in_reals, bias_of_reals, fits
from octavo.quantization.shapes import unknown, with_measured_shapes
from octavo.report.matching import match
from octavo.report.measures import decibels
from octavo.rewrites import stored_tables

SAMPLES = 16
"""Samples over which a remedy is tried."""

_OWN_FORM = ("Lookup", "Concat", "Max", "Min")
"""Ops that give a form of their own, beside those that begin with Q; the others keep their input's."""


@dataclass(frozen=True)
class Change:
    """One thing changed.

    ranges: of float values, by name. exclude: float nodes. weights: whether those of the node `name` are
    rounded anew, and its bias and factors with them. bias: what is added to that node's bias, in reals, a
    channel. per_channel: whether all weights have one scale an output channel.
    """

    name: str = ""
    ranges: "dict[str, Range] | None" = None
    exclude: tuple[str, ...] = ()
    weights: bool = False
    bias: "tuple[float, ...]" = ()
    per_channel: bool = False


class Trials:
    """Tries changes of one quantized model.

    floats: the float model. plain: lowered by the second model's forms, its weights rounded to nearest.
    lowered: the second model as it is, with what lowering knows of it.
    """

    def __init__(
        self,
        floats: Program,
        plain: Lowered,
        second: Program,
        forms: Forms,
        exclude: frozenset[str],
        judge: Judge,
    ) -> None:
        self.floats = floats
        self.plain = plain
        self.lowered = replace(plain, program=second)
        self._forms = forms
        self._exclude = exclude
        self._judge = judge

    def gain(self, change: Change) -> float | None:
        """By how many dB the answers' SQNR rises with this change; None where they are no floats.

        What is made again is right but for its weights, biases and forms: only where these are to be made
        anew as well does it count what else is wrong with the model as it is.
        """
        before = self._error_as_it_is if change.weights else self._error_made_again
        return decibels(before, self._judge.error(self.made(change))) if before > 0.0 else None

    @cached_property
    def _error_as_it_is(self) -> float:
        return self._judge.error(self.lowered)

    @cached_property
    def _error_made_again(self) -> float:
        return self._judge.error(self.made(Change()))

    def made(self, change: Change) -> Lowered:
        """The second model made again with this change; weights and biases that it has stay."""
        forms = self._forms
        if change.ranges:
            given = {
                name: affine(reals, forms.given[name].of if name in forms.given else UINT8)
                for name, reals in change.ranges.items()
                if name in forms.given or name in forms.grids
            }
            grids = {name: form for name, form in forms.grids.items() if name not in given}
            forms = replace(forms, given={**forms.given, **given}, grids=grids)
        if change.per_channel:
            forms = replace(forms, per_channel=True)
        made = _lowered(self.floats, forms, self._exclude | set(change.exclude))
        known = self.lowered
        if change.weights:
            of = {node.inputs[1] for node in known.program.nodes if node.name == change.name}
            known = replace(
                known, weights={name: reals for name, reals in known.weights.items() if name not in of}
            )
        made = with_weights(self.floats, known, made)
        return _with_bias(made, change.name, np.array(change.bias)) if change.bias else made


def _with_bias(made: Lowered, name: str, added: npt.NDArray[np.float64]) -> Lowered:
    """The network with a node's bias changed, where its accumulator has room for that."""
    program = made.program
    for node in program.nodes:
        if node.name == name:
            bias = bias_of_reals(program, node, bias_in_reals(program, node) + added)
            if fits(program, node, program.constants[node.inputs[1]], bias):
                constants = program.constants | {node.inputs[2]: bias}
                return replace(made, program=replace(program, constants=constants))
    return made


def trials(first: Program, second: Program, feeds: Sequence[Feeds], threads: int | None) -> Trials | None:
    """Trials of a quantized model made of this float one; None of any other, or not by its forms alone."""
    held = [any(value.quant is not None for value in of.values.values()) for of in (first, second)]
    if held != [False, True]:
        return None
    floats = with_measured_shapes(first, feeds[0], threads) if unknown(first) else first
    forms, exclude = forms_of(floats, second), _floats_of(floats, second)
    plain = _lowered(floats, forms, exclude)
    if _drawn(plain.program) != _drawn(second):
        return None
    judge = Judge(floats, plain, feeds[:SAMPLES], threads)
    return Trials(floats, plain, second, forms, exclude, judge)


def _lowered(floats: Program, forms: Forms, exclude: frozenset[str]) -> Lowered:
    lowered = lower_to_integers(floats, forms, exclude)
    return replace(lowered, program=stored_tables(lowered.program, INT8, exclude))


def forms_of(floats: Program, second: Program) -> Forms:
    """The forms of float values that a quantized Program holds them in."""
    values = match(floats, second).values
    given: dict[str, Affine] = {}
    grids: dict[str, Affine] = {}
    narrow: dict[str, Affine] = {}
    weights: list[str] = []
    for node in second.nodes:
        if node.op in marked("weighs"):
            weights.append(node.inputs[1])
        if node.bodies:
            continue
        output = second.values[node.outputs[0]]
        if output.quant is None or output.name not in values:
            continue
        of = values[output.name]
        if node.op == "Requantize" and (second.values[node.inputs[0]].dtype, output.dtype) == ("i16", "u8"):
            narrow[of] = _affine(output.quant, output.dtype)
        if not _has_own_form(node):
            continue
        if node.op == "Quantize" and node.inputs[COLUMNS:]:
            scale, zeros, indices = (second.constants[name] for name in node.inputs[1:])
            zero_point = int(output.quant.zero_point[0])
            grids[of] = columns(scale, zeros, indices, zero_point, output.quant.axis or 0)
        elif output.quant.zero_point.dtype == "f4" or output.quant.axis not in (None, 1):
            grids[of] = grid(output.quant.scale, output.quant.zero_point.astype("f4"), output.quant.axis)
        else:
            form = _affine(output.quant, output.dtype)
            if of in given:  # quantized twice, for readers on either integers
                narrow[of] = min(form, given[of], key=lambda form: form.of is not UINT8)
                form = max(form, given[of], key=lambda form: form.of is not UINT8)
            given[of] = form
    dtype_of_weights = {second.values[name].dtype for name in weights}
    dtypes = {second.values[name].dtype for name in values if second.values[name].quant is not None}
    return Forms(
        given=given,
        grids=grids,
        activations=INT16 if dtypes == {INT16.dtype} else UINT8,
        nodes=_on_int16(second) if len(dtypes) > 1 else {},
        narrow=narrow,
        weights_of=WEIGHTS[min(dtype_of_weights, default="i8")],
        per_channel=not weights or any(_has_scales(second.values[name].quant) for name in weights),
    )


def _on_int16(program: Program) -> dict[str, Integers]:
    """The nodes that compute on int16, by their names, which are those of float ones."""
    names = [
        node.name
        for node in program.nodes
        if node.inputs[0] and program.values[node.inputs[0]].dtype == INT16.dtype
    ]
    return dict.fromkeys(names, INT16)


def _has_own_form(node: Node) -> bool:
    return node.op in _OWN_FORM or node.op.startswith("Q")


def _has_scales(quant: Quant | None) -> bool:
    return quant is not None and len(set(quant.scale.tolist())) > 1


def _affine(quant: Quant, dtype: str) -> Affine:
    scales = tuple(quant.scale)
    zero_point = int(quant.zero_point[0])
    channels = scales if len(scales) > 1 else None
    return Affine(max(scales), zero_point, ACTIVATIONS[dtype], channels)


def _floats_of(floats: Program, second: Program) -> frozenset[str]:
    """The nodes that the quantized Program runs in float as the float one has them."""
    ours = {node.name: node.op for node in floats.nodes}
    return frozenset(
        node.name
        for node in second.nodes
        if ours.get(node.name) == node.op
        and all(second.values[name].quant is None for name in (*node.inputs, *node.outputs) if name)
    )


def _drawn(program: Program) -> list[tuple[str, str, tuple[str, ...], tuple[str, ...]]]:
    return [(node.op, node.name, node.inputs, node.outputs) for node in program.nodes]
