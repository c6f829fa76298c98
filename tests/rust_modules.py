"""The files of a Rust crate and which of them import from which, read from their `use` lines and paths."""

import re
from pathlib import Path

USE = re.compile(r"^\s*(pub(?:\([^)]*\))?\s+)?use\s+([^;]+);", re.MULTILINE)
CALL = re.compile(r"(?<![\w:])\w+::\w+")
PATH = re.compile(r"(?<![\w:])\$?(?:crate|super)(?:::\w+)+")


def expanded(tree: str) -> list[str]:
    """The paths of a use tree: `a::{b, c::{d, e}}` is a::b, a::c::d and a::c::e."""
    tree = " ".join(tree.split())
    if "{" not in tree:
        return [tree.split(" as ")[0]]
    at = tree.index("{")
    head, body = tree[:at], tree[at + 1 : tree.rindex("}")]
    parts, depth, start = [], 0, 0
    for place, letter in enumerate(body + ","):
        depth += (letter == "{") - (letter == "}")
        if letter == "," and depth == 0:
            parts.append(body[start:place].strip())
            start = place + 1
    return [path for part in parts if part for path in expanded(head + part)]


class Crate:
    """The modules of a crate's src/, each a file."""

    def __init__(self, source: Path) -> None:
        self.source = source
        found = sorted(source.rglob("*.rs"))
        paths = [path for path in found if "tests" not in path.relative_to(source).with_suffix("").parts]
        self.files = {self.module(path): path for path in paths}
        self.texts = {module: code(path) for module, path in self.files.items()}
        self.exports = {module: self._exports(module) for module in self.files}

    def module(self, path: Path) -> tuple[str, ...]:
        """`src/a/b.rs` and `src/a/b/mod.rs` are the module (a, b); lib.rs is ()."""
        parts = path.relative_to(self.source).with_suffix("").parts
        return parts[:-1] if parts[-1] in ("mod", "lib") else parts

    def _absolute(self, module: tuple[str, ...], path: str) -> tuple[str, ...]:
        names = path.replace("$", "").split("::")
        if names[0] == "crate":
            return tuple(names[1:])
        base = list(module)
        while names[0] in ("super", "self"):
            base = base[:-1] if names.pop(0) == "super" else base
        return (*base, *names)

    def _exports(self, module: tuple[str, ...]) -> dict[str, tuple[str, ...]]:
        """Where the names come from that a module passes on from its children."""
        found = {}
        for public, tree in USE.findall(self.texts[module]):
            for path in expanded(tree) if public else ():
                names = path.split("::")
                child = (*module, names[0])
                if child in self.files:
                    found[names[-1]] = (*module, *names)
        return found

    def _file_of(self, path: tuple[str, ...]) -> tuple[str, ...]:
        """The module that a path's item stands in."""
        for length in range(len(path), -1, -1):
            module, rest = path[:length], path[length:]
            if module in self.files:
                if rest and rest[0] in self.exports[module]:
                    return self._file_of(self.exports[module][rest[0]])
                return module
        raise ValueError(path)

    def imports(self) -> dict[tuple[str, ...], set[tuple[str, ...]]]:
        """For each module, those that it imports from; to declare children, or pass them on, is no import."""
        edges = {}
        for module, text in self.texts.items():
            children = {other[-1] for other in self.files if other and other[:-1] == module}
            body = USE.sub("", text)
            paths = PATH.findall(body)
            paths += [path for path in CALL.findall(body) if path.split("::")[0] in children]
            for public, tree in USE.findall(text):
                for path in expanded(tree):
                    first = path.split("::")[0]
                    if first in {"crate", "super", "self"} or (first in children and not public):
                        paths.append(path)
            edges[module] = {self._file_of(self._absolute(module, path)) for path in paths} - {module}
        return edges


def code(path: Path) -> str:
    """A file's text without its comments and its tests. The parent of a module inside it is the file."""
    text = re.sub(r"//[^\n]*", "", path.read_text())
    text = re.split(r"#\[cfg\((?:all\()?test[^\n]*\n(?:\s*#[^\n]*\n)*\s*mod \w+ \{", text)[0]
    inner = re.compile(r"^(?:pub(?:\([^)]*\))? )?mod \w+ \{.*?^\}", re.MULTILINE | re.DOTALL)
    return inner.sub(lambda found: found[0].replace("super::", "self::"), text)


def circle(edges: dict[tuple[str, ...], set[tuple[str, ...]]]) -> list[tuple[str, ...]]:
    """Modules that import from each other in a circle; empty where there is none."""
    done: set[tuple[str, ...]] = set()

    def visit(module: tuple[str, ...], way: list[tuple[str, ...]]) -> list[tuple[str, ...]]:
        if module in way:
            return way[way.index(module) :]
        if module in done:
            return []
        for other in sorted(edges[module]):
            found = visit(other, [*way, module])
            if found:
                return found
        done.add(module)
        return []

    return next((found for module in sorted(edges) if (found := visit(module, []))), [])
