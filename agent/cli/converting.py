"""Conversions on the command line: `conversion announce`, and orders at Circle Mint."""

from typing import Annotated

import typer

from agent.cli.operating import AsJson, Note

conversions = typer.Typer(help="Conversions of USD into USDC.", no_args_is_help=True)

OrderId = Annotated[int, typer.Argument(min=1, help="The order's number, as `conversion orders` shows it.")]


@conversions.command("announce")
def announce_conversion(
    usd: Annotated[str, typer.Option(help="Dollars sent, for example 132.10.")],
    usdc: Annotated[str | None, typer.Option(help="USDC expected; as many as dollars if left out.")] = None,
    note: Note = "",
    as_json: AsJson = False,
) -> None:
    """Tell the books that dollars are being turned into USDC. It explains the deposit; it releases no money."""
    from agent.cli.converting_acts import announce
    from agent.cli.looking import run_command

    run_command(announce(usd, usdc, note, as_json), as_json)


@conversions.command("announced")
def list_announced(
    limit: Annotated[int, typer.Option(min=1, max=100, help="How many, newest first.")] = 20, as_json: AsJson = False
) -> None:
    """Show announced conversions, newest first, and what has come for each. Needs the daemon."""
    from agent.cli.converting_acts import show_announced
    from agent.cli.looking import run_command

    run_command(show_announced(limit, as_json), as_json)


@conversions.command("withdraw")
def withdraw_conversion(
    conversion_id: Annotated[int, typer.Argument(min=1, help="Its number, as `conversion announced` shows it.")],
    reason: Annotated[str, typer.Option(help="Why no dollars left for it; it is written down.")],
    as_json: AsJson = False,
) -> None:
    """Take back an announcement that was a mistake, while nothing has come for it. Needs the daemon."""
    from agent.cli.converting_acts import withdraw
    from agent.cli.looking import run_command

    run_command(withdraw(conversion_id, reason, as_json), as_json)


@conversions.command("order")
def order_conversion(
    usdc: Annotated[
        str | None, typer.Option(help="How much; what next Monday lacks and is not on its way if left out.")
    ] = None,
    note: Note = "",
    as_json: AsJson = False,
) -> None:
    """Propose an order of USDC from Circle Mint; it waits for its approval. Needs the daemon."""
    from agent.cli.converting_acts import propose
    from agent.cli.looking import run_command

    run_command(propose(usdc, note, as_json), as_json)


@conversions.command("orders")
def list_orders(
    limit: Annotated[int, typer.Option(min=1, max=100, help="How many, newest first.")] = 20, as_json: AsJson = False
) -> None:
    """Show orders, newest first, and what each waits for. Needs the daemon."""
    from agent.cli.converting_acts import show_orders
    from agent.cli.looking import run_command

    run_command(show_orders(limit, as_json), as_json)


@conversions.command("approve")
def approve_order(
    order_id: OrderId,
    digest: Annotated[
        str | None,
        typer.Option(help="The order's digest, as looked at; without it the order is asked about."),
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Approve exactly this order. Needs the daemon and an approver's token.

    Exit codes: 0 approved, 1 refused or answered no, 2 no terminal to ask and no --digest.
    """
    from agent.cli.converting_acts import approve
    from agent.cli.looking import run_command

    run_command(approve(order_id, digest, as_json), as_json)


@conversions.command("cancel")
def cancel_order(
    order_id: OrderId,
    reason: Annotated[str, typer.Option(help="Why; it is written down and shown to the others.")],
    as_json: AsJson = False,
) -> None:
    """Take back an order that was not sent yet. Needs the daemon."""
    from agent.cli.converting_acts import cancel
    from agent.cli.looking import run_command

    run_command(cancel(order_id, reason, as_json), as_json)


@conversions.command("wire")
def show_wire(as_json: AsJson = False) -> None:
    """Show where dollars are wired to, as Circle Mint tells it now. Needs the daemon and an operator's token."""
    from agent.cli.converting_acts import show_instructions
    from agent.cli.looking import run_command

    run_command(show_instructions(as_json), as_json)
