"""What all commands have in common: `--json`, a help text that answers at once, and completion by the shell."""

import asyncio
import os
import shutil
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from typer.main import get_command

from agent.cli import app

ROOT = Path(__file__).parents[2]
BASH = shutil.which("bash") or ""
NO_DOCUMENT = {"completion", "simulate"}
"""One prints a program for a shell, the other writes its figures to a file (`--report`)."""


def commands(group: object, path: tuple[str, ...] = ()) -> Iterator[tuple[str, set[str]]]:
    """Each command's words, with its options."""
    for name, one in group.commands.items():  # type: ignore[attr-defined]
        if hasattr(one, "commands"):
            yield from commands(one, (*path, name))
        else:
            yield " ".join((*path, name)), {option for param in one.params for option in param.opts}


def test_every_command_takes_json() -> None:
    found = dict(commands(get_command(app)))
    assert len(found) > 20
    assert [name for name, options in found.items() if "--json" not in options and name not in NO_DOCUMENT] == []


@pytest.mark.skipif(not BASH, reason="bash is not installed: completion is not tried")
async def test_the_shell_completes_commands_and_the_values_of_options() -> None:
    script = f"""
eval "$({sys.executable} main.py completion bash)"
COMP_WORDS=(agent tok); COMP_CWORD=1; _agent_completion; echo "${{COMPREPLY[*]}}"
COMP_WORDS=(agent token create --role ""); COMP_CWORD=4; _agent_completion; echo "${{COMPREPLY[*]}}"
"""
    process = await asyncio.create_subprocess_exec(
        BASH, "-c", script, cwd=ROOT, env={"PATH": os.defpath}, stdout=asyncio.subprocess.PIPE
    )
    out, _ = await process.communicate()
    assert [line.split() for line in out.decode().splitlines()] == [["token"], ["viewer", "operator", "approver"]]
