"""The commands of `python main.py`: each in a module of its own, with a function that typer reads.

A command module imports what it needs inside its function: `--help` and a mistyped option answer at once. To add a
command, write its module and register it below.
"""

import inspect
import re

import typer
from typer._click.core import Command
from typer._completion_classes import completion_init
from typer.core import TyperGroup, TyperOption
from typer.main import get_command

from agent.cli import (
    backup,
    books,
    completion,
    contract,
    converting,
    distribute,
    doctor,
    indexing,
    intake,
    money,
    operating,
    people,
    run,
    sandbox,
    simulate,
    work,
)

app = typer.Typer(
    help="Card money in, an NFT for the buyer and USDC for the creator out: exactly once.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)
app.command("run")(run.run)
app.command("intake")(intake.intake)
app.command("sandbox")(sandbox.play)
app.command("sandbox-services")(sandbox.services)
app.command("simulate")(simulate.simulate)
app.command("distribute_usdc_batch")(distribute.distribute_usdc_batch)
app.command("contract")(contract.contract)
app.command("status")(operating.status)
app.command("doctor")(doctor.doctor)
app.command("verify")(books.verify)
app.command("reconcile")(books.reconcile)
app.command("trace")(books.trace)
app.command("backup")(backup.backup)
app.command("restore")(backup.restore)
app.command("retry")(work.retry)
app.command("treasury")(money.treasury)
app.command("completion")(completion.completion)
app.add_typer(money.batches, name="batch")
app.add_typer(money.sends, name="sends")
app.add_typer(work.events, name="events")
app.add_typer(people.tokens, name="token")
app.add_typer(people.users, name="users")
app.add_typer(indexing.index, name="index")
app.add_typer(operating.database, name="db")
app.add_typer(operating.invites, name="invite")
app.add_typer(converting.conversions, name="conversion")


def main() -> None:
    """Run the command that the arguments name, or tell a shell what could come next."""
    completion_init()
    commands = get_command(app)
    _tidy_help(commands)
    commands(complete_var=completion.VARIABLE)


def _tidy_help(command: Command) -> None:
    """Typer's help says `--json <bool>`, for which people type `--json true`, and breaks lines as the source does."""
    if command.help:
        command.help = re.sub(r"(?<!\n)\n(?!\n)", " ", inspect.cleandoc(command.help))
    for parameter in command.get_params(typer.Context(command)):
        if isinstance(parameter, TyperOption) and parameter.is_flag:
            parameter.metavar = ""
    for below in command.commands.values() if isinstance(command, TyperGroup) else ():
        _tidy_help(below)
