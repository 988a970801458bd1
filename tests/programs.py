"""Programs of other projects that the tests run for real. Where one is missing, a single line says so."""

import os
import shutil
import subprocess
from collections.abc import Mapping, Sequence
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
RUN_SECONDS = 60.0
NOT_INSTALLED = "not installed"


def needs(*programs: str) -> pytest.MarkDecorator:
    """Skip where a program is missing; under CI=true nothing may be missing, so that the test runs and fails."""
    missing = [name for name in programs if shutil.which(name) is None]
    in_ci = os.environ.get("CI") == "true"  # noqa: TID251 (the surroundings of the tests)
    reason = f"{', '.join(missing)} {NOT_INSTALLED}: what needs it is not tested"
    return pytest.mark.skipif(bool(missing) and not in_ci, reason=reason)


def run(command: Sequence[str | Path], folder: Path = ROOT, environment: Mapping[str, str] | None = None) -> str:
    """Its output; fails the test unless it ends with 0."""
    ended = subprocess.run(
        command, cwd=folder, capture_output=True, text=True, timeout=RUN_SECONDS, check=False, env=environment
    )
    assert ended.returncode == 0, ended.stdout + ended.stderr
    return ended.stdout + ended.stderr
