"""`contract`: checks with real test keys, and the report that live asks for."""

from pathlib import Path
from typing import Annotated

import typer


def contract(
    report: Annotated[
        Path | None, typer.Option(help="Where to store the report; AGENT_CONTRACT_REPORT if left out.")
    ] = None,
    only: Annotated[
        list[str] | None,
        typer.Option(help="Only this check, or all of stripe, circle or chain (repeatable); stores no report."),
    ] = None,
    show: Annotated[bool, typer.Option("--list", help="List the checks and what each settles; ask nothing.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="One JSON document instead of lines.")] = False,
) -> None:
    """Check with test keys what no document answers about Stripe, Circle and Solana, and store the report.

    It spends a little test money: a mint's rent, 0.01 USDC, a card payment that is given back. Refuses live keys.
    Exit codes: 0 live may start with this report, 1 error, 4 a needed check failed or was skipped.
    """
    from agent.cli.contracting import Wishes, run
    from agent.cli.looking import run_command

    run_command(run(Wishes(report, tuple(only or ()), show, as_json)), as_json)
