"""What every test shares: the folder of real models and images, and what a run says at its end."""

import os
from pathlib import Path

import pytest
from hypothesis import Phase, settings
from tier_coverage import machine_tiers, summary

ROOT = Path(__file__).resolve().parent.parent
DATA = Path(os.environ.get("OCTAVO_TEST_DATA") or ROOT.parent / "shared" / "data").resolve()

# A loaded machine is no failure. What fails is shown as it was found: making it smaller can take minutes.
settings.register_profile("octavo", deadline=None, phases=set(Phase) - {Phase.shrink, Phase.explain})
settings.load_profile("octavo")


@pytest.fixture(scope="session")
def data_dir() -> Path:
    """The folder of real models and images. Tests that need it are skipped where it is not there."""
    if not DATA.is_dir():
        pytest.skip("the folder of models and images is not there (OCTAVO_TEST_DATA)")
    return DATA


def pytest_terminal_summary(terminalreporter):
    write = terminalreporter.write_line
    line, missed = summary(machine_tiers())
    write(line, red=bool(missed))
    if not DATA.is_dir():
        write(f"models and images: {DATA} is not there, tests on real models were skipped (OCTAVO_TEST_DATA)")
    elif terminalreporter.stats.get("skipped"):
        count = len(terminalreporter.stats["skipped"])
        write(
            f"models and images: {DATA} is there, so a skipped test is a failure: {count} skipped", red=True
        )


def pytest_sessionfinish(session, exitstatus):
    reporter = session.config.pluginmanager.get_plugin("terminalreporter")
    _, missed = summary(machine_tiers())
    skipped = DATA.is_dir() and reporter.stats.get("skipped")
    if exitstatus == pytest.ExitCode.OK and (missed or skipped):
        session.exitstatus = pytest.ExitCode.TESTS_FAILED
