"""The page on first steps: each command runs, in order, and shows what the page says.

Here with the package under test; `make wheel` does the same with the wheel, in an environment of the page's.
"""

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from serving import running

ROOT = Path(__file__).resolve().parents[2]
PAGE = ROOT / "docs" / "first-steps.md"
NAMED = re.compile(r"`(\w+\.py)`:\n\n```py\n(.*?)^```", re.M | re.S)
CONSOLE = re.compile(r"^```console\n(.*?)^```", re.M | re.S)
SETUP = ("python3 -m venv", ". venv", "pip install")


def steps():
    """Each command of the page, and what it shows there."""
    for block in CONSOLE.findall(PAGE.read_text()):
        for step in re.split(r"^\$ ", block, flags=re.M)[1:]:
            command, _, shown = step.partition("\n")
            yield command, shown


def masked(text):
    """What measurements differ in left out: the machine, times, and all numbers that are no counts."""
    text = re.sub(r"^.* threads?$", "<machine>", text, flags=re.M)
    text = re.sub(r"\d+(\.\d+)? (ns|µs|ms|s)\b|\d+ ?%|-?\d+\.\d+", "<measured>", text)
    return re.sub(r" +", " ", re.sub(r"\d+ +<measured>x$", "<measured>", text, flags=re.M))


def walk(folder, path):
    """Does what the page says in the folder, with the commands of a PATH."""
    shutil.copy(ROOT / "examples" / "service.py", folder)
    for name, code in NAMED.findall(PAGE.read_text()):
        (folder / name).write_text(code)
    environment = os.environ | {"PATH": path}
    service = None
    commands = [step for step in steps() if not step[0].startswith(SETUP)]
    for command, shown in commands:
        if command.startswith("python service.py "):
            service = command.split()[2:]
            continue
        if service is None:
            assert shell(command, folder, environment) == masked(shown)
            continue
        with running(folder, *service, python=shutil.which("python", path=path)) as url:
            asking = folder / command.split()[1]
            asking.write_text(asking.read_text().replace("http://localhost:8000", url))
            assert shell(command, folder, environment) == masked(shown)
    assert len(commands) == 7
    assert (folder / "report.html").stat().st_size > 1000
    assert (folder / "compare.html").stat().st_size > 1000


def shell(command, folder, environment):
    done = subprocess.run(
        ["bash", "-e", "-c", command],
        cwd=folder,
        env=environment,
        capture_output=True,
        text=True,
        timeout=300,
    )
    assert done.returncode == 0, done.stderr
    return masked(done.stdout)


def test_the_page_with_this_package(tmp_path):
    commands = tmp_path / "bin"
    commands.mkdir()
    for name, arguments in (("octavo", "-m octavo "), ("python", "")):
        (commands / name).write_text(f'#!/bin/sh\nexec "{sys.executable}" {arguments}"$@"\n')
        (commands / name).chmod(0o755)
    walk(tmp_path, f"{commands}{os.pathsep}{os.environ['PATH']}")


@pytest.mark.outside
def test_the_page_with_the_wheel(tmp_path):
    (tmp_path / "dist").symlink_to(ROOT / "dist")
    setup = [command for command, _ in steps() if command.startswith(SETUP)]
    assert len(setup) == 3
    shell("\n".join(setup), tmp_path, os.environ | {"PYTHONPATH": ""})
    walk(tmp_path, f"{tmp_path / 'venv' / 'bin'}{os.pathsep}{os.environ['PATH']}")
