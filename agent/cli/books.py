"""The commands that hold the books to account: `verify`, `reconcile`, `trace`."""

from typing import Annotated

import typer

AsJson = Annotated[bool, typer.Option("--json", help="One JSON document instead of lines.")]


def verify(as_json: AsJson = False) -> None:
    """Check the ledger's hash chain, its sums and every rule that the rows can show; name the first bad row of each.

    Beside a running daemon, or on the database alone. Ends with 0 when everything holds, 3 when something does not,
    1 when it can't be checked.
    """
    from agent.cli.looking import run_command
    from agent.cli.verification import run

    run_command(run(as_json), as_json)


def reconcile(
    last: Annotated[bool, typer.Option("--last", help="Show the latest report; start none.")] = False,
    explained: Annotated[
        bool, typer.Option("--explained", help="List the explained sales too, not only count them.")
    ] = False,
    as_json: AsJson = False,
) -> None:
    """Hold Stripe, the ledger, Circle and the chain against each other, sale by sale. The daemon does it daily itself.

    Ends with 0 when everything is green or explained, 3 when something is not, 1 when it can't be done.
    """
    from agent.cli.looking import run_command
    from agent.cli.reconciling import run

    run_command(run(last, explained, as_json), as_json)


def trace(
    purchase_id: Annotated[str, typer.Argument(help="The purchase's number, or its payment_intent (pi_…).")],
    as_json: AsJson = False,
) -> None:
    """Show one sale from Stripe to the last signature: every change of a state, every attempt, the books, its cost."""
    from agent.cli.looking import run_command
    from agent.cli.tracing import run

    run_command(run(purchase_id, as_json), as_json)
