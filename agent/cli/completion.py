"""`completion`: makes a shell complete the commands, their options and their choices."""

import shlex
import sys
from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

NAME = "agent"
"""What the shell calls the program once the script is loaded: nobody can complete after `python main.py`."""
VARIABLE = "_AGENT_COMPLETE"
_BASH = """\
%(name)s() { %(program)s "$@"; }
_%(name)s_completion() {
    local IFS=$'\\n'
    COMPREPLY=( $( env COMP_WORDS="${COMP_WORDS[*]}" COMP_CWORD=$COMP_CWORD \\
        %(variable)s=complete_bash %(program)s ) )
}
complete -o default -F _%(name)s_completion %(name)s main.py"""
_ZSH = """\
%(name)s() { %(program)s "$@" }
_%(name)s_completion() {
    eval $(env _TYPER_COMPLETE_ARGS="${words[1,$CURRENT]}" %(variable)s=complete_zsh %(program)s)
}
compdef _%(name)s_completion %(name)s"""
_FISH = """\
function %(name)s; %(program)s $argv; end
complete --command %(name)s --no-files \\
    --arguments "(env %(variable)s=complete_fish _TYPER_COMPLETE_FISH_ACTION=get-args \\
        _TYPER_COMPLETE_ARGS=(commandline -cp) %(program)s)" \\
    --condition "env %(variable)s=complete_fish _TYPER_COMPLETE_FISH_ACTION=is-args \\
        _TYPER_COMPLETE_ARGS=(commandline -cp) %(program)s\""""


class Shell(StrEnum):
    BASH = "bash"
    ZSH = "zsh"
    FISH = "fish"


_SCRIPTS = {Shell.BASH: _BASH, Shell.ZSH: _ZSH, Shell.FISH: _FISH}


def completion(shell: Annotated[Shell, typer.Argument(help="bash, zsh or fish.")]) -> None:
    """Print a script for your shell: `agent` runs these commands, and Tab completes them.

    For this session: `eval "$(python main.py completion bash)"`; for all: the same line in ~/.bashrc or ~/.zshrc.
    """
    main = Path(__file__).resolve().parents[2] / "main.py"
    program = f"{shlex.quote(sys.executable)} {shlex.quote(str(main))}"
    typer.echo(_SCRIPTS[shell] % {"name": NAME, "program": program, "variable": VARIABLE})
