"""The errors that octavo raises on purpose. Each says what is wrong, where, and what to do about it."""

from collections.abc import Iterable, Iterator
from contextlib import contextmanager


class Error(Exception):
    """Base of every error that octavo raises on purpose.

    Its message is one line of bounded length, whatever the names from files and callers in it hold.
    node: the name of the node that failed, where one did. operands: what it was given, as far as that was
    known: (name, dtype, shape) of each input, the name empty where one was left out.
    """

    def __init__(
        self,
        message: object = "",
        node: str | None = None,
        operands: Iterable[tuple[str, str, tuple[int, ...]]] = (),
    ) -> None:
        super().__init__(printable(str(message)))
        self.node = node
        self.operands = tuple(operands)

    def __reduce__(self) -> tuple[object, ...]:
        return type(self), (*self.args, self.node, self.operands)


class ModelError(Error, ValueError):
    """A model cannot be read, or uses something that octavo does not support."""


class DataError(Error, ValueError):
    """Calibration data or feeds do not fit the model."""


class ArtifactError(Error, ValueError):
    """A saved program is damaged, of a newer format, or inconsistent with itself."""


class RunError(Error, ValueError):
    """A program cannot be run with these feeds or settings."""


_MOST_OF_A_WORD = 200
"""Most characters of a word that are shown; the runtime has the same two bounds."""

_MOST_OF_A_LINE = 2000
"""Most characters of a line that are shown."""


def printable(text: str) -> str:
    """A text on one line: what does not print is escaped, long words and the whole are cut in the middle."""
    words = (shortened(_escaped(word), _MOST_OF_A_WORD) for word in text.split(" "))
    return shortened(" ".join(words), _MOST_OF_A_LINE)


def close_to(name: str, names: Iterable[str]) -> str:
    """What an error says behind a name that there is not: up to three of the names that are like it."""
    from difflib import get_close_matches  # when something went wrong, not at each start

    near = get_close_matches(name, list(names), n=3, cutoff=0.3)
    return f"; close to it are {', '.join(map(repr, near))}" if near else ""


def shortened(text: str, most: int) -> str:
    """A text of at most so many characters: of a longer one, both ends."""
    if len(text) <= most:
        return text
    tail = (most - 1) // 2
    return f"{text[: most - 1 - tail]}…{text[len(text) - tail :]}"


def _escaped(text: str) -> str:
    if text.isprintable():
        return text
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in text)


@contextmanager
def needed_for(what: str) -> Iterator[None]:
    """Turn the absence of a library into a `ModuleNotFoundError` that has the pip command."""
    try:
        yield
    except ModuleNotFoundError as error:
        if error.name is None or error.name.partition(".")[0] == "octavo":
            raise
        missing = error.name.partition(".")[0]
        how = "pip install 'octavo[quantize]'"
        raise ModuleNotFoundError(f"{what} needs {missing}: {how}", name=missing) from None
