"""Threads and instruction sets: as arguments, from the environment, and from what the machine allows."""

import os
import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import octavo
import pytest
from tier_coverage import machine_tiers

THREADS = "must be a number from 1 to 1024"


@pytest.fixture(autouse=True)
def no_settings(monkeypatch):
    monkeypatch.delenv("OCTAVO_ISA", raising=False)
    monkeypatch.delenv("OCTAVO_THREADS", raising=False)


def test_tiers_are_those_of_this_cpu_poorest_first():
    assert octavo.tiers() == machine_tiers()
    octavo.tiers().clear()
    assert octavo.tiers() == machine_tiers()


def test_every_tier_runs_what_its_name_says(network_bytes, images):
    feed = {"x": images(2, 16, 16)}
    expected = octavo.Session(network_bytes, isa="scalar", threads=1).run(None, feed)
    for isa in octavo.tiers():
        session = octavo.Session(network_bytes, threads=1, isa=isa)
        assert session.isa == isa
        up_to = octavo.tiers()[: octavo.tiers().index(isa) + 1]
        assert {row.tier for row in session.profile(feed)} <= set(up_to)
        for e, given in zip(expected, session.run(None, feed), strict=True):
            assert e.tobytes() == given.tobytes()
    assert octavo.Session(network_bytes).isa == octavo.tiers()[-1]


@pytest.mark.parametrize("threads", [1, 2, 5, 1024])
def test_threads_as_an_argument(network_bytes, threads):
    assert octavo.Session(network_bytes, threads=threads).threads == threads


@pytest.mark.parametrize("threads", [0, -1, 1025, 2**40, 2**64, 10**30, -(10**30)])
def test_threads_out_of_range(network_bytes, threads):
    with pytest.raises(octavo.RunError, match=f"^threads is '{threads}'.*{THREADS}$"):
        octavo.Session(network_bytes, threads=threads)


def test_more_threads_than_python_writes_out(network_bytes):
    with pytest.raises(octavo.RunError, match=rf"^threads is '\?' \(int\): it {THREADS}$"):
        octavo.Session(network_bytes, threads=10**5000)


class Unprintable:
    def __repr__(self):
        raise ValueError("no text")


@pytest.mark.parametrize(
    "threads", ["2", 1.5, [1], True, False, np.True_, "\udcff", "9\n" * 999, Unprintable()]
)
def test_threads_of_another_type(network_bytes, threads):
    with pytest.raises(octavo.RunError, match=f"^threads is '.*' \\(.*\\): it {THREADS}$"):
        octavo.Session(network_bytes, threads=threads)


@pytest.mark.parametrize("integer", [np.int64, np.uint8, np.int32])
def test_threads_as_an_integer_of_numpy(network_bytes, integer):
    assert octavo.Session(network_bytes, threads=integer(2)).threads == 2


@pytest.mark.parametrize(
    "isa", ["", "AVX2", "scalar\n", "\udcff", "x" * 10**6, b"scalar", 1, True, [], Unprintable()]
)
def test_an_instruction_set_that_is_none(network_bytes, isa):
    with pytest.raises(
        octavo.RunError, match=f"^isa is '.*available: {', '.join(octavo.tiers())}$"
    ) as raised:
        octavo.Session(network_bytes, isa=isa)
    assert str(raised.value).isprintable()
    assert len(str(raised.value)) < 500


def test_the_environment_sets_threads(network_bytes, monkeypatch):
    monkeypatch.setenv("OCTAVO_THREADS", "3")
    assert octavo.Session(network_bytes).threads == 3
    assert octavo.Session(network_bytes, threads=2).threads == 2
    monkeypatch.setenv("OCTAVO_THREADS", "")
    assert octavo.Session(network_bytes).threads == len(os.sched_getaffinity(0))


@pytest.mark.parametrize(
    "text", ["0", "-1", "many", "1.5", "1025", "99999999999999999999", "0x2", "2 2", "²", "True", "+-2"]
)
def test_the_environment_sets_threads_wrongly(network_bytes, monkeypatch, text):
    monkeypatch.setenv("OCTAVO_THREADS", text)
    with pytest.raises(octavo.RunError, match=f"^OCTAVO_THREADS is '{re.escape(text)}': it {THREADS}$"):
        octavo.Session(network_bytes)
    assert octavo.Session(network_bytes, threads=1).threads == 1  # what is not used is not read


def test_the_environment_sets_the_instruction_set(network_bytes, monkeypatch):
    monkeypatch.setenv("OCTAVO_ISA", "scalar")
    assert octavo.Session(network_bytes).isa == "scalar"
    assert octavo.Session(network_bytes, isa=octavo.tiers()[-1]).isa == octavo.tiers()[-1]
    monkeypatch.setenv("OCTAVO_ISA", "")
    assert octavo.Session(network_bytes).isa == octavo.tiers()[-1]


@pytest.mark.parametrize("name", ["mmx", "AVX2", "neon\n", "\udcff"])
def test_an_instruction_set_that_is_not_there(network_bytes, monkeypatch, name):
    there = f"available: {', '.join(octavo.tiers())}$"
    monkeypatch.setenv("OCTAVO_ISA", name)
    with pytest.raises(octavo.RunError, match=there) as raised:
        octavo.Session(network_bytes)
    assert str(raised.value).startswith("OCTAVO_ISA is '")
    monkeypatch.delenv("OCTAVO_ISA")
    if name.isascii():
        with pytest.raises(octavo.RunError, match=there):
            octavo.Session(network_bytes, isa=name)


def test_the_affinity_mask_is_honoured(network_bytes, tmp_path):
    (tmp_path / "network.octavo").write_bytes(network_bytes)
    code = (
        "import os, octavo; os.sched_setaffinity(0, {min(os.sched_getaffinity(0))});"
        "print(octavo.Session('network.octavo').threads)"
    )
    run = subprocess.run(
        [sys.executable, "-c", code], cwd=tmp_path, capture_output=True, text=True, check=True
    )
    assert run.stdout == "1\n"


def test_a_quota_is_honoured(network_bytes):
    """A cgroup's quota cannot be set without rights: the number has to be the one that this process has."""
    bounds = [len(os.sched_getaffinity(0))]
    lines = Path("/proc/self/cgroup").read_text().splitlines()
    folder = next(
        (Path("/sys/fs/cgroup") / line[3:].strip("/") for line in lines if line.startswith("0::")), None
    )
    while folder is not None and folder.is_relative_to("/sys/fs/cgroup"):
        if (folder / "cpu.max").exists():
            quota, period = (folder / "cpu.max").read_text().split()
            if quota != "max":
                bounds.append(max(1, int(quota) // int(period)))
        folder = folder.parent
    assert octavo.Session(network_bytes).threads == min(bounds)


def test_any_number_of_threads_gives_the_same_bits(network_bytes, images):
    feed = {"x": images(3, 24, 40)}
    expected = octavo.Session(network_bytes, threads=1).run(None, feed)
    for threads in (2, 3, 16):
        given = octavo.Session(network_bytes, threads=threads).run(None, feed)
        assert all(np.array_equal(e, g) for e, g in zip(expected, given, strict=True))
