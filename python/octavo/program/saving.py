"""Writes files: whole or not at all, and never over a file that the result is made from."""

import errno
import fcntl
import os
import re
import secrets
import stat
import tempfile
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import BinaryIO

from octavo.errors import ArtifactError

PathLike = str | os.PathLike[str]


def write(path: PathLike, data: bytes | memoryview) -> None:
    """Write a file: all of it or, where that fails, nothing.

    A link is followed. A file that is there is replaced and its mode kept; a device, a pipe or an open
    descriptor such as /dev/stdout is written to. Raises OSError, which names `path`, where that cannot be.
    """
    with _named(path):
        descriptor = descriptor_of(path)
        if descriptor is not None:
            # opened by its path, a file behind it would be written from its start
            with open(os.dup(descriptor), "wb") as file:
                file.write(data)
            return
        old = _writable(path)
        if old is None or stat.S_ISREG(old.st_mode):
            _replace(os.path.realpath(path), old, data)
        else:
            with open(path, "wb") as file:
                file.write(data)


def check(path: PathLike, sources: Iterable[PathLike] = ()) -> None:
    """Find out before the work, not after it, that its result cannot be written to `path`.

    sources: the files that the result is made from. Raises ArtifactError where `path` is one of them, OSError
    as `write` does.
    """
    source = source_at(path, sources)
    if source is not None:
        raise ArtifactError(
            f"'{os.fspath(path)}' is not overwritten: it is the file '{os.fspath(source)}', which the result "
            "is made from; give another path"
        )
    with _named(path):
        if descriptor_of(path) is None:
            _writable(path)


def source_at(path: PathLike, sources: Iterable[PathLike]) -> PathLike | None:
    """The one of `sources` that is the file at `path`, whatever names and links lead to it."""
    try:
        found = os.stat(path)
    except OSError:
        return None
    for source in sources:
        with suppress(OSError):
            if os.path.samestat(found, os.stat(source)):
                return source
    return None


def descriptor_of(path: PathLike) -> int | None:
    """The open descriptor that a path such as /dev/stdout or /dev/fd/5 stands for, else None."""
    path = os.path.abspath(path)
    for _ in range(_MAX_LINKS):
        folder = os.path.realpath(os.path.dirname(path))
        name = os.path.basename(path)
        if folder in ("/dev/fd", f"/proc/{os.getpid()}/fd"):
            return int(name) if name.isdecimal() else None
        path = os.path.join(folder, name)
        if not os.path.islink(path):
            return None
        path = os.path.join(folder, os.readlink(path))
    return None


_MAX_LINKS = 40
"""Links that lead to each other; as many as Linux follows."""


@contextmanager
def _named(path: PathLike) -> Iterator[None]:
    """Have an error of the system name the path that was asked for, not one that was made up or linked to."""
    try:
        yield
    except OSError as error:
        if error.errno is None:
            raise
        raise OSError(error.errno, error.strerror, os.fspath(path)) from error


def _writable(path: PathLike) -> os.stat_result | None:
    """What is at the path, links followed, or None; raises OSError where that is not to be written."""
    try:
        old = os.stat(path)
    except FileNotFoundError:
        if not os.path.basename(path):
            raise
        old = None
    if old is not None:
        if stat.S_ISDIR(old.st_mode):
            raise IsADirectoryError(errno.EISDIR, "it is a directory, give the path of a file")
        if stat.S_ISBLK(old.st_mode):
            raise PermissionError(errno.EPERM, "it is a disk, give the path of a file")
        # root may write everything, but mode 0444 says that someone wants to keep the file
        if not old.st_mode & 0o222 or not os.access(path, os.W_OK):
            raise PermissionError(errno.EACCES, "it is read-only, change its mode or give another path")
    if old is None or stat.S_ISREG(old.st_mode):
        try:
            with tempfile.TemporaryFile(dir=os.path.dirname(os.path.realpath(path))):
                pass
        except PermissionError as error:
            raise PermissionError(errno.EACCES, "no file can be made in its folder") from error
    return old


def _replace(target: str, old: os.stat_result | None, data: bytes | memoryview) -> None:
    """Write a file beside the target, then let it take the target's place."""
    folder, name = os.path.split(target)
    # a name has 255 bytes at most
    prefix = f".{os.fsencode(name)[:200].decode(errors='ignore')}."
    _remove_leftovers(folder, prefix)
    file = _open_partial(folder, prefix, 0o666 if old is None else 0o600)
    partial = Path(file.name)
    try:
        with file:
            if old is not None:
                _keep_owner_and_mode(file.fileno(), old)
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
            partial.replace(target)
    finally:
        partial.unlink(missing_ok=True)


def _open_partial(folder: str, prefix: str, mode: int) -> BinaryIO:
    """A new file, locked as long as it is open, which tells it from what a killed save left."""
    while True:
        partial = os.path.join(folder, f"{prefix}{secrets.token_hex(8)}.partial")
        file = open(partial, "xb", opener=lambda path, flags: os.open(path, flags, mode))  # noqa: SIM115
        with suppress(OSError):  # a file system without locks: then leftovers stay
            fcntl.flock(file, fcntl.LOCK_EX)
        if os.fstat(file.fileno()).st_nlink:
            return file
        file.close()  # another save took it for a leftover before it was locked


def _remove_leftovers(folder: str, prefix: str) -> None:
    """Remove what killed saves left; a file that is being written is locked, and stays."""
    leftover = re.compile(re.escape(prefix) + r"[0-9a-f]+\.partial")
    with suppress(OSError), os.scandir(folder) as entries:
        for entry in entries:
            if leftover.fullmatch(entry.name) and entry.is_file(follow_symlinks=False):
                with suppress(OSError), open(entry, "r+b") as file:
                    fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
                    os.unlink(entry)


def _keep_owner_and_mode(descriptor: int, old: os.stat_result) -> None:
    """As far as this user, and the file system, can."""
    for owner, group in ((-1, old.st_gid), (old.st_uid, -1)):
        with suppress(OSError):
            os.fchown(descriptor, owner, group)
    with suppress(OSError):
        os.fchmod(descriptor, stat.S_IMODE(old.st_mode))
