"""Batches, the switch for all sends and the platform wallet: `batch …`, `sends pause|resume`, `treasury`."""

from typing import Annotated

import typer

from agent.cli.operating import AsJson

batches = typer.Typer(help="Batches of payouts.", no_args_is_help=True)
sends = typer.Typer(help="The switch that stops all mints and payouts.", no_args_is_help=True)

BatchId = Annotated[int, typer.Argument(min=1, help="The batch's number, as `batch list` shows it.")]


@batches.command("list")
def list_batches(
    limit: Annotated[int, typer.Option(min=1, max=100, help="How many, newest first.")] = 20, as_json: AsJson = False
) -> None:
    """Show batches, newest first. Needs the daemon."""
    from agent.cli.looking import run_command
    from agent.cli.money_acts import show_batches

    run_command(show_batches(limit, as_json), as_json)


@batches.command("show")
def show_batch(batch_id: BatchId, as_json: AsJson = False) -> None:
    """Show the frozen plan, payout by payout, its digest, and where what is sent differs from it. Needs the daemon."""
    from agent.cli.looking import run_command
    from agent.cli.money_acts import show_plan

    run_command(show_plan(batch_id, as_json), as_json)


@batches.command("approve")
def approve_batch(
    batch_id: BatchId,
    digest: Annotated[
        str | None, typer.Option(help="The plan's digest, as looked at; without it the plan is shown and asked about.")
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Approve exactly this plan. Needs the daemon and an approver's token.

    Exit codes: 0 approved, 1 refused or answered no, 2 no terminal to ask and no --digest.
    """
    from agent.cli.looking import run_command
    from agent.cli.money_acts import approve

    run_command(approve(batch_id, digest, as_json), as_json)


@batches.command("pause")
def pause_batch(
    batch_id: BatchId,
    reason: Annotated[str, typer.Option(help="Why; it is written down and shown to the others.")],
    as_json: AsJson = False,
) -> None:
    """Stop a batch: nothing more of it is sent; what is on its way is followed to its end. Needs the daemon."""
    from agent.cli.looking import run_command
    from agent.cli.money_acts import pause

    run_command(pause(batch_id, reason, as_json), as_json)


@batches.command("resume")
def resume_batch(batch_id: BatchId, as_json: AsJson = False) -> None:
    """Let a paused batch go on. Needs the daemon."""
    from agent.cli.looking import run_command
    from agent.cli.money_acts import resume

    run_command(resume(batch_id, as_json), as_json)


@sends.command("pause")
def stop_all(
    reason: Annotated[str, typer.Option(help="Why; it is written down and shown to the others.")],
    as_json: AsJson = False,
) -> None:
    """Stop every mint and payout; webhooks and sales go on. Needs the daemon."""
    from agent.cli.looking import run_command
    from agent.cli.money_acts import pause_sends

    run_command(pause_sends(reason, as_json), as_json)


@sends.command("resume")
def let_all_go_on(as_json: AsJson = False) -> None:
    """Let sends go on, with the keys they had. Needs the daemon."""
    from agent.cli.looking import run_command
    from agent.cli.money_acts import resume_sends

    run_command(resume_sends(as_json), as_json)


def treasury(
    days: Annotated[int, typer.Option(min=1, max=366, help="Costs and margin of as many days.")] = 28,
    as_json: AsJson = False,
) -> None:
    """Show the wallet, what next Monday needs, what to convert by when, how long its SOL lasts, what sales leave.

    Needs the daemon.
    """
    from agent.cli.looking import run_command
    from agent.cli.money_acts import show_treasury

    run_command(show_treasury(days, as_json), as_json)
