"""`simulate`: weeks on virtual time in which everything goes wrong, judged by an independent checker."""

from pathlib import Path
from typing import Annotated, Literal

import typer


def simulate(
    weeks: Annotated[int, typer.Option(min=1, help="Weeks in all; a world lives for up to four of them.")] = 1,
    seed: Annotated[int, typer.Option(min=0, help="The first world's seed; the next world has the next one.")] = 1,
    faults: Annotated[str, typer.Option(help="all, none, or kinds separated by commas.")] = "all",
    operators: Annotated[
        bool, typer.Option("--operators", help="People retry what is parked, approve and decide; all must be served.")
    ] = False,
    purchases: Annotated[int, typer.Option(min=1, max=5_000, help="Purchases a week.")] = 50,
    payout_mode: Annotated[
        Literal["weekly", "realtime"], typer.Option(help="realtime: each sale is paid as it is minted.")
    ] = "weekly",
    processes: Annotated[
        int, typer.Option(min=0, max=256, help="Worlds played at once; 0: one on each core. The outcome is the same.")
    ] = 0,
    report: Annotated[Path | None, typer.Option(help="Write the figures as JSON to this file.")] = None,
    replay: Annotated[
        bool, typer.Option("--replay", help="Print every line of what happens, and keep the database beside.")
    ] = False,
) -> None:
    """Play weeks against the unchanged daemon on a virtual clock, and try to make it lose money.

    Processes die before and after every commit and every call, answers are lost, late or doubled, nodes lag and lie.
    Exit 0 only if no invariant broke. The same options give the same trace_hash, on every machine.
    """
    from agent.cli.simulating import Wish, run
    from simulator.cores import cores

    wish = Wish(weeks, seed, faults, operators, purchases, report, replay, payout_mode, processes or cores())
    raise typer.Exit(run(wish))
