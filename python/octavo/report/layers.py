"""A pair of Programs over samples: what each layer errs by itself, in the network, and at the answers.

By itself: a layer of the second model is given the first one's values, held as it takes them, and its output
is set beside what the first model's nodes make of the same. So what a form clips or rounds counts once, at
the layer that gives it. At the answers: that error, added to the value in the first model.
"""

from collections.abc import Iterator, Mapping
from dataclasses import replace
from typing import Any

import numpy as np
import numpy.typing as npt

from octavo.lowering import Lowered
from octavo.program import Node, Program
from octavo.quantization.judge import answers_of
from octavo.report.matching import Layer, Matching, held, own_part, pieces, reals, values_of
from octavo.report.measures import Own, Ratio
from octavo.session import Session

Array = npt.NDArray[Any]
Values = Mapping[str, Array]


class Layers:
    """Adds up sample after sample; one sample's values are held at a time.

    own, accumulated, effect: a row a layer. effect: at each of the answers.
    """

    def __init__(self, first: Program, second: Program, matching: Matching, threads: int | None) -> None:
        self.layers = matching.layers
        self._first, self._second = values_of(first), values_of(second)
        self.own = [Own(self._second[layer.output]) for layer in self.layers]
        self.accumulated = [Ratio() for _ in self.layers]
        self.answers = answers_of(first, Lowered(second, values=matching.values))
        self.effect = [[Ratio() for _ in self.answers] for _ in self.layers]
        self._layer_alone = _Parts(second, [_own_part(second, layer) for layer in self.layers], threads)
        self._float_alone = _Parts(first, [_float_part(layer) for layer in self.layers], threads)
        self._effects = Effects(first, self.layers, self.answers, threads)

    @property
    def first_names(self) -> list[str]:
        """The values of the first model that `add` reads."""
        read = {name for layer in self.layers for name in (*layer.inputs.values(), *layer.outputs.values())}
        return sorted(read | set(self.answers))

    @property
    def second_names(self) -> list[str]:
        """The values of the second model that `add` reads."""
        return sorted({layer.output for layer in self.layers})

    def add(self, first: Values, second: Values, *, probe: bool) -> None:
        """Take in one sample's values of both models. probe: whether to see what errors do to the answers."""
        errors = []
        alone = self._by_themselves(first)
        for place, (layer, (wanted, found)) in enumerate(zip(self.layers, alone, strict=True)):
            output, of = layer.output, layer.outputs[layer.output]
            if wanted[output].shape == found[output].shape:
                self.own[place].add(wanted[output], found[output])
            in_network = reals(self._second[output], second[output])
            in_first = reals(self._first[of], first[of])
            if in_network.shape == in_first.shape:
                self.accumulated[place].add(in_first, in_network)
            errors.append(
                {layer.outputs[name]: found[name] - wanted[name] for name in layer.outputs if name in found}
            )
        if probe:
            self._effects.add(first, errors, self.effect)

    def _by_themselves(self, first: Values) -> Iterator[tuple[dict[str, Array], dict[str, Array]]]:
        """What each layer should give and what it gives, as reals, by the names of its outputs."""
        fed: list[dict[str, Array]] = []
        exact: list[dict[str, Array]] = []
        for layer in self.layers:
            given, ours = {}, {}
            for name, of in layer.inputs.items():
                value = reals(self._first[of], first[of])
                given[name] = held(self._second[name], value)
                seen = reals(self._second[name], given[name])
                ours[of] = held(self._first[of], seen)
            fed.append(given)
            exact.append(ours)
        found = self._layer_alone.run(fed)
        made = self._float_alone.run(exact)
        for layer, theirs, results in zip(self.layers, found, made, strict=True):
            wanted = {}
            for name, of in layer.outputs.items():
                result = results[of] if of in results else first[of]
                wanted[name] = reals(self._first[of], result)
            yield wanted, {name: reals(self._second[name], theirs[name]) for name in layer.outputs}


class _Parts:
    """Parts of a Program, each cut off from the rest, run together."""

    def __init__(
        self,
        program: Program,
        parts: list[tuple[list[Node], list[str], list[str]]],
        threads: int | None,
    ) -> None:
        self._asked = [asked for _, _, asked in parts]
        self._fed = [set(fed) for _, fed, _ in parts]
        piece = pieces(program, parts)
        self._session = Session(piece, threads) if piece.outputs else None

    def run(self, feeds: list[dict[str, Array]]) -> list[dict[str, Array]]:
        """What each part gives, by name, for what each is fed."""
        named = {
            f"{index}:{name}": array
            for index, (part, fed) in enumerate(zip(feeds, self._fed, strict=True))
            for name, array in part.items()
            if name in fed
        }
        answers = iter([] if self._session is None else self._session.run(None, named))
        return [{name: next(answers) for name in asked} for asked in self._asked]


def _own_part(program: Program, layer: Layer) -> tuple[list[Node], list[str], list[str]]:
    return own_part(program, layer), list(layer.inputs), list(layer.outputs)


def _float_part(layer: Layer) -> tuple[list[Node], list[str], list[str]]:
    """What the first model does for a layer; nothing where that only converts."""
    made = {name for node in layer.nodes for name in node.outputs}
    read = {name for node in layer.nodes for name in node.inputs}
    inputs = [name for name in dict.fromkeys(layer.inputs.values()) if name in read]
    return list(layer.nodes), inputs, [name for name in dict.fromkeys(layer.outputs.values()) if name in made]


class Effects:
    """The first model with an error added to some of its values, one layer's at a time."""

    def __init__(self, first: Program, layers: list[Layer], answers: list[str], threads: int | None) -> None:
        self._inputs = list(first.inputs)
        self._answers = answers
        changed = dict.fromkeys(of for layer in layers for of in layer.outputs.values())
        self._changed = [of for of in changed if first.values[of].dtype == "f32"]
        inner = [of for of in self._changed if of not in first.inputs]
        self._added = {of: f"{of}{_ADDED}" for of in inner}
        self._session = Session(with_errors(first, self._added, answers), threads) if answers else None

    def add(self, first: Values, errors: list[dict[str, Array]], effect: list[list[Ratio]]) -> None:
        """Add to `effect` what each layer's errors alone make of the answers of one sample."""
        if self._session is None:
            return
        zeros = {of: np.zeros_like(first[of]) for of in self._changed}
        plain = {name: first[name] for name in self._inputs} | {
            added: zeros[of] for of, added in self._added.items()
        }
        for own, ratios in zip(errors, effect, strict=True):
            feeds = dict(plain)
            for of, error in own.items():
                if of in self._added and error.shape == first[of].shape:
                    feeds[self._added[of]] = error
                elif of in zeros and error.shape == first[of].shape:
                    feeds[of] = first[of] + error
            if any(error.any() for error in own.values()):
                answers = self._session.run(self._answers, feeds)
            else:
                answers = [first[name] for name in self._answers]
            for name, ratio, answer in zip(self._answers, ratios, answers, strict=True):
                if answer.shape == first[name].shape:
                    ratio.add(first[name], answer)


def with_errors(program: Program, added: Mapping[str, str], answers: list[str]) -> Program:
    """The Program with an input for each of some float32 values, which is added to it; it gives `answers`."""
    values, nodes = dict(program.values), []
    for of, error in added.items():
        values[error] = replace(program.values[of], name=error)
        values[f"{error}{_ADDED}"] = replace(program.values[of], name=f"{error}{_ADDED}")
    for node in program.nodes:
        outputs = tuple(f"{added[name]}{_ADDED}" if name in added else name for name in node.outputs)
        nodes.append(replace(node, outputs=outputs))
        for before, name in zip(outputs, node.outputs, strict=True):
            if name in added:
                nodes.append(Node("Add", before, (before, added[name]), (name,)))
    inputs = [*program.inputs, *added.values()]
    return replace(program, inputs=inputs, outputs=list(answers), values=values, nodes=nodes)


_ADDED = " + error"
"""What names of the errors end with: no exporter ends names so."""

__all__ = ["Effects", "Layers", "with_errors"]
