"""Texts of many lengths without a download: the docstrings of Python's standard library."""

import ast
import functools
import hashlib
import re
import sysconfig
from collections.abc import Callable, Iterator
from pathlib import Path

Length = Callable[[str], int]  # of a text, in tokens

# Fewest and most tokens of a text. The longest texts are only scored: a model meets longer ones than it was
# calibrated with.
CALIBRATED = ((3, 8), (9, 32), (33, 128), (129, 256))
SCORED = (*CALIBRATED, (300, 493))
_WORDY = 0.7  # of a paragraph's characters are letters and spaces, or it is code or a table


def texts(length: Length, scored: int, calibrated: int) -> tuple[list[str], list[str]]:
    """So many texts to score, and so many to calibrate with: other texts, from other modules.

    Each list goes through its spans in turn, evenly from the fewest to the most tokens of each.
    """
    score, calibrate = _halves()
    length = functools.cache(length)
    first = _cut(score, SCORED, scored, length, [])
    return first, _cut(calibrate, CALIBRATED, calibrated, length, first)


def _halves() -> tuple[list[list[str]], list[list[str]]]:
    """The sentences of each module, in two halves. A sentence of several modules is kept in the first."""
    halves: tuple[list[list[str]], list[list[str]]] = [], []
    seen: set[str] = set()
    # In the order of a hash, so that a module more in another Python changes few of the texts.
    for path in sorted(Path(sysconfig.get_path("stdlib")).glob("*.py"), key=lambda path: _hash(path.stem)):
        found = [sentence for sentence in dict.fromkeys(_sentences(path)) if sentence not in seen]
        seen.update(found)
        halves[_hash(path.stem) % 2].append(found)
    return halves


def _hash(name: str) -> int:
    return int.from_bytes(hashlib.sha256(name.encode()).digest())


def _sentences(path: Path) -> Iterator[str]:
    """The sentences of a module's docstrings, in its order."""
    for node in ast.walk(ast.parse(path.read_bytes())):
        if isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef):
            for paragraph in re.split(r"\n\s*\n", ast.get_docstring(node) or ""):
                text = " ".join(paragraph.split())
                if sum(c.isalpha() or c == " " for c in text) > _WORDY * len(text):
                    yield from re.split(r"(?<=[.!?]) ", text)


def _cut(
    modules: list[list[str]],
    spans: tuple[tuple[int, int], ...],
    count: int,
    length: Length,
    known: list[str],
) -> list[str]:
    """`count` texts that are not known, each of sentences that follow each other in one module.

    No sentence is in two texts.
    """
    found: list[str] = []
    failed = 0
    while len(found) < count:
        low, high = spans[len(found) % len(spans)]
        behind = (count - 1) // len(spans)  # the first text of a span
        most = low + (high - low) * (len(found) // len(spans)) // max(1, behind)
        module = modules.pop(0)
        modules.append(module)
        text = _taken(module, low, most, length)
        if text and text not in (*known, *found):
            found.append(text)
            failed = 0
        else:
            failed += 1
        if failed > len(modules):
            raise ValueError(f"the standard library has {len(found)} such texts, not {count}")
    return found


def _taken(module: list[str], low: int, most: int, length: Length) -> str:
    """Takes the first run of sentences that starts with one of at most `most` tokens; "" where there is none.

    Whole sentences, if they have `low` tokens; else the last one is cut off between two words.
    """
    begin = next((i for i, sentence in enumerate(module) if length(sentence) <= most), 0)
    text, end = "", begin
    for end in range(begin, len(module)):
        longer = f"{text} {module[end]}".lstrip()
        if length(longer) > most:
            break
        text = longer
    else:
        end = len(module)
    if length(text) < low and end < len(module):
        for word in module[end].split():
            longer = f"{text} {word}".lstrip()
            if length(longer) > most:
                break
            text = longer
        end += 1
    if length(text) < low:
        return ""
    del module[begin:end]
    return text
