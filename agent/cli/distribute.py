"""`distribute_usdc_batch`: pays creators what they are owed, now."""

from typing import Annotated

import typer


def distribute_usdc_batch(
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Show what would be paid; change nothing.")] = False,
    auto_confirm: Annotated[bool, typer.Option("--auto-confirm", help="Do not ask.")] = False,
    wait: Annotated[bool, typer.Option("--wait", help="Follow the batch until every payout has an end.")] = False,
    timeout: Annotated[
        float | None, typer.Option(min=0, help="Seconds to wait at most; the batch goes on without us.")
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="One JSON document instead of lines.")] = False,
) -> None:
    """Pay creators what they are owed: a batch of all that is payable now.

    Exit codes: 0 accepted (with --wait: all paid) or nothing to pay, 1 error or answered no, 2 no terminal to ask and
    no --auto-confirm, 3 not covered by the platform wallet's USDC (with --wait it goes on waiting), 4 --wait ended
    with failed payouts.
    """
    from agent.cli.distribution import Wishes, run
    from agent.cli.looking import run_command

    run_command(run(Wishes(dry_run, auto_confirm, wait, timeout, as_json)), as_json)
