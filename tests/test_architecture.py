"""The order of the rooms, the size of files, what an import loads: promises of docs/architecture.md."""

import ast
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest
from rust_modules import Crate, circle

ROOT = Path(__file__).resolve().parent.parent
PACKAGE = ROOT / "python" / "octavo"
ROOMS = (
    "program",
    "reference",
    "frontend",
    "passes",
    "lowering",
    "rewrites",
    "exporting",
    "session",
    "calibration",
    "pages",
    "svg",
    "quantization",
    "report",
    "cli",
    "demo",
)
FREE = ("errors",)
CRATES = {
    "kernels": set(),
    "exec": {"octavo-kernels"},
    "runtime": {"octavo-kernels", "octavo-exec"},
    "python": {"octavo-kernels", "octavo-exec", "octavo-runtime"},
}

# What the families of kernels share; those of floats share more.
KERNEL_ROOMS = {"geometry", "isa", "plain", "requantize", "rows", "simd", "unroll"}
FLOAT_ROOMS = {"epilogue", "inverses", "math", "power", "reduce", "softmax", "trigonometry", "unary"}
RUNTIME_ROOMS = ("error", "observe", "rounding", "program", "plan", "ops", "walk", "session")


def python_files():
    return sorted(PACKAGE.rglob("*.py"))


def room_of(path):
    return path.relative_to(PACKAGE).parts[0].removesuffix(".py")


def imported_rooms(path):
    """(line, room) of each import from the package, wherever in the file it stands."""
    for node in ast.walk(ast.parse(path.read_text(), str(path))):
        names = []
        if isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}:{node.lineno}: imports are absolute"
            names = [f"{node.module}.{alias.name}" for alias in node.names]
        for name in names:
            parts = name.split(".")
            if parts[0] == "octavo" and len(parts) > 1:
                yield node.lineno, parts[1]


def test_rooms_import_only_from_rooms_before_them():
    wrong = []
    for path in python_files():
        room = room_of(path)
        if room in ("__init__", "__main__", *FREE):
            continue
        assert room in ROOMS, f"{path}: a room that docs/architecture.md does not know"
        before = {"program"} if room == "reference" else set(ROOMS[: ROOMS.index(room)])
        for line, imported in imported_rooms(path):
            if imported in ROOMS and imported != room and imported not in before:
                wrong.append(f"{path.relative_to(ROOT)}:{line}: {room} imports {imported}")
    assert not wrong, "\n".join(wrong)


def test_the_extension_is_imported_by_the_rooms_that_run_or_compress_things():
    allowed = {"program", "lowering", "session", "calibration", "quantization"}
    importers = {
        room_of(path) for path in python_files() for _, name in imported_rooms(path) if name == "_core"
    }
    assert importers <= allowed


def test_the_reference_needs_numpy_alone():
    outside = set()
    for path in (PACKAGE / "reference").rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.Import):
                outside |= {alias.name.split(".")[0] for alias in node.names}
            elif isinstance(node, ast.ImportFrom):
                outside.add(node.module.split(".")[0])
    assert outside - set(sys.stdlib_module_names) <= {"numpy", "octavo"}


@pytest.mark.parametrize("crate", CRATES)
def test_crates_depend_only_on_crates_before_them(crate):
    manifest = tomllib.loads((ROOT / "rust" / crate / "Cargo.toml").read_text())
    tables = [manifest, *manifest.get("target", {}).values()]
    dependencies = {
        name for table in tables for name in table.get("dependencies", {}) if name.startswith("octavo-")
    }
    assert dependencies <= CRATES[crate]


def test_rooms_of_the_runtime_import_only_from_rooms_before_them():
    wrong = []
    for module, imported in Crate(ROOT / "rust/runtime/src").imports().items():
        for other in imported if module else ():
            if RUNTIME_ROOMS.index(other[0]) > RUNTIME_ROOMS.index(module[0]):
                wrong.append(f"{'::'.join(module)} imports {'::'.join(other)}")
    assert not wrong, "\n".join(wrong)


def strangers(imports, rooms, parent=()):
    """The imports of the modules in `parent` that are neither their own nor from one of the shared rooms.

    What names all families, a table or a list of entries, is the parent's own."""
    depth = len(parent)
    wrong = []
    for module, imported in imports.items():
        own = module[: depth + 1]
        if module[:depth] != parent or len(module) == depth:
            continue
        for other in imported:
            is_another = other[:depth] == parent and len(other) > depth and other[: depth + 1] != own
            if is_another and other[depth] not in rooms:
                wrong.append(f"{'::'.join(module)} imports {'::'.join(other)}")
    return wrong


def kernel_imports():
    """Those of the kernels, without the table that names them all and what is compiled for tests."""
    imports = Crate(ROOT / "rust/kernels/src").imports()
    return {
        module: found for module, found in imports.items() if module[-1:] not in (("table",), ("contracts",))
    }


def test_families_of_kernels_share_rooms_and_no_kernels():
    imports = kernel_imports()
    assert {module[0] for module in imports if module} > KERNEL_ROOMS
    assert {module[1] for module in imports if module[:1] == ("float",) and module[1:]} > FLOAT_ROOMS
    wrong = strangers(imports, KERNEL_ROOMS) + strangers(imports, FLOAT_ROOMS, ("float",))
    assert not wrong, "\n".join(wrong)


def test_a_family_that_reaches_anothers_kernels_is_found():
    imports = {
        (): {("a",)},
        ("a",): {("a", "b"), ("room",)},
        ("a", "b"): {("c",), ("room", "d")},
        ("a", "e"): {("a", "b", "f"), ("a", "g"), ("a",)},
    }
    assert strangers(imports, {"room"}) == ["a::b imports c"]
    assert strangers(imports, {"g"}, ("a",)) == ["a::e imports a::b::f"]


@pytest.mark.parametrize("crate", CRATES)
def test_no_files_of_a_crate_import_from_each_other_in_a_circle(crate):
    found = circle(Crate(ROOT / "rust" / crate / "src").imports())
    assert not found, " -> ".join("::".join(module) or "lib" for module in found)


def test_circles_and_imports_are_found(tmp_path):
    files = {
        "lib.rs": "mod a;\nmod b;\n",
        "a/mod.rs": "mod c;\npub use c::{C, D as E};\nuse crate::b::B;\n",
        "a/c.rs": "//! crate::b::B\npub struct C;\n#[cfg(test)]\nmod tests {\n    use crate::b::B;\n}\n",
        "b.rs": "use crate::a::{C};\nuse std::fmt;\n",
    }
    for name, text in files.items():
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text(text)
    imports = Crate(tmp_path).imports()
    assert imports == {(): set(), ("a",): {("b",)}, ("a", "c"): set(), ("b",): {("a", "c")}}
    assert circle(imports) == []
    (tmp_path / "a/c.rs").write_text("fn f() { super::plan(); }\n")
    assert circle(Crate(tmp_path).imports()) == [("a",), ("b",), ("a", "c")]


def test_the_runtime_has_no_unsafe_code():
    assert "#![forbid(unsafe_code)]" in (ROOT / "rust/runtime/src/lib.rs").read_text()


def test_files_stay_short():
    sources = [
        *python_files(),
        *(ROOT / "rust").rglob("*.rs"),
        *(ROOT / "tests").rglob("*.py"),
        *(ROOT / "benches").rglob("*.py"),
        *(ROOT / "docs").rglob("*.md"),
        *ROOT.glob("*.md"),
    ]
    lengths = {path: len(path.read_text().splitlines()) for path in sources}
    long = [f"{path.relative_to(ROOT)}: {length} lines" for path, length in lengths.items() if length > 700]
    assert not long, "\n".join(long)


def loaded_by(statement):
    """The top-level packages, outside the standard library, that a statement loads in a fresh interpreter."""
    code = f"import sys; before = set(sys.modules); {statement}; print(*(set(sys.modules) - before))"
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    return {name.split(".")[0] for name in run.stdout.split()} - set(sys.stdlib_module_names)


def test_importing_octavo_loads_numpy_at_most():
    assert loaded_by("import octavo") <= {"octavo", "numpy"}


def test_a_session_loads_numpy_at_most():
    assert loaded_by("import octavo; octavo.Session") <= {"octavo", "numpy"}


def test_importing_octavo_is_quick():
    """Counted in modules: a clock would tell more of the machine."""
    code = (
        "import sys, numpy; before = set(sys.modules); import octavo; octavo.Session;"
        "print(*(set(sys.modules) - before))"
    )
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert len(run.stdout.split()) <= 30, run.stdout
