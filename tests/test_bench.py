"""How the benches are called; their figures are for people to compare."""

import subprocess
import sys

import pytest

from bench import intake, payouts, week
from bench.arguments import numbers
from tests.programs import ROOT


def test_numbers_that_are_left_out_are_the_usual_ones(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "argv", ["bench", "20"])
    assert numbers("told", 1_000, 100) == [20, 100]


@pytest.mark.parametrize("given", [["--help"], ["twenty"], ["1", "2", "3"]])
def test_anything_else_is_answered_with_how_it_is_called(given: list[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "argv", ["bench", *given])
    with pytest.raises(SystemExit, match="told"):
        numbers("told", 1_000, 100)


@pytest.mark.parametrize("module", [intake, payouts, week], ids=lambda module: str(module.__name__))
def test_a_bench_tells_of_itself_and_does_not_begin(module: object) -> None:
    name, told = getattr(module, "__name__", ""), getattr(module, "__doc__", "")
    ended = subprocess.run(
        [sys.executable, "-m", name, "--help"], cwd=ROOT, capture_output=True, text=True, timeout=60, check=False
    )
    assert (ended.returncode, ended.stderr.strip()) == (1, told.strip())
