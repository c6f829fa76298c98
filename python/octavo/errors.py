"""The errors that octavo raises on purpose. Each says what is wrong, where, and what to do about it."""

from collections.abc import Iterator
from contextlib import contextmanager


class Error(Exception):
    """Base of every error that octavo raises on purpose."""


class ModelError(Error, ValueError):
    """A model cannot be read, or uses something that octavo does not support."""


class DataError(Error, ValueError):
    """Calibration data or feeds do not fit the model."""


class ArtifactError(Error, ValueError):
    """A saved program is damaged, of a newer format, or inconsistent with itself."""


class RunError(Error, ValueError):
    """A program cannot be run with these feeds or settings."""


@contextmanager
def needed_for(what: str) -> Iterator[None]:
    """Turn the absence of a library into a `ModuleNotFoundError` that has the pip command."""
    try:
        yield
    except ModuleNotFoundError as error:
        if error.name is None or error.name.partition(".")[0] == "octavo":
            raise
        missing = error.name.partition(".")[0]
        raise ModuleNotFoundError(f"{what} needs {missing}: pip install octavo", name=missing) from None
