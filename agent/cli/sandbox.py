"""`sandbox` plays a week against the whole system on this machine; `sandbox-services` is the outside world alone."""

from datetime import datetime
from pathlib import Path
from typing import Annotated, Literal

import typer

from sandbox.loopback import PORT_BASE

DATA = Path("data")

DataDir = Annotated[Path | None, typer.Option(help="Where sandbox.json, sandbox.env, the database and logs lie.")]
PortBase = Annotated[int, typer.Option(help="The first of seven ports on the loopback interface; 0: any free ones.")]
CircleLimits = Annotated[
    Literal["fast", "real"], typer.Option(help="real: Circle's request rates, 429 beyond, and its pace of transfers.")
]


def services(
    data_dir: DataDir = None,
    port_base: PortBase = PORT_BASE,
    circle_limits: CircleLimits = "fast",
    as_json: Annotated[bool, typer.Option("--json", help="Say where everything is as one JSON document.")] = False,
) -> None:
    """Start the outside world only: Stripe, Circle and Solana on loopback, until Ctrl-C.

    Writes sandbox.json (for clients) and sandbox.env (for the daemon: set -a; . sandbox.env; python main.py run). The
    world's state lies in memory: started again it is a new chain, and an agent.db from before is set aside.
    """
    from agent.cli.sandbox_services import Options, serve

    raise typer.Exit(serve(Options(data_dir or DATA / "sandbox-services", port_base, circle_limits, as_json)))


def play(
    once: Annotated[bool, typer.Option("--once", help="Exit when the week is over; 0 only if every check holds.")] = (
        False
    ),
    report: Annotated[Path | None, typer.Option(help="Write the outcome as JSON to this file.")] = None,
    purchases: Annotated[int, typer.Option(min=1, help="Purchases, each by a buyer of his own.")] = 47,
    creators: Annotated[int, typer.Option(min=1, help="Creators.")] = 12,
    seed: Annotated[int, typer.Option(help="Another seed, another week: names, prices, keys.")] = 1,
    data_dir: DataDir = None,
    port_base: PortBase = PORT_BASE,
    database_url: Annotated[
        str | None, typer.Option(help="An empty database of your own instead of an SQLite file in the data dir.")
    ] = None,
    grouping: Annotated[Literal["purchase", "creator"], typer.Option(help="One transfer for each.")] = "purchase",
    rail: Annotated[
        Literal["circle", "solana"], typer.Option(help="circle: a call for each transfer; solana: packed payouts.")
    ] = "circle",
    packed_format: Annotated[
        Literal["v0", "v1"], typer.Option("--format", help="Of packed payouts: v0 holds 14 or 15, v1 58.")
    ] = "v0",
    payout_mode: Annotated[
        Literal["weekly", "realtime"], typer.Option(help="realtime: each sale is paid as it is minted.")
    ] = "weekly",
    user_wallets: Annotated[Literal["user", "developer"], typer.Option(help="Who controls the users' wallets.")] = (
        "user"
    ),
    circle_limits: CircleLimits = "fast",
    as_json: Annotated[
        bool, typer.Option("--json", help="The report as one JSON document; all else goes to standard error.")
    ] = False,
) -> None:
    """Play one week on this machine: sales, NFTs, the batch, USDC; then stay up with links until Ctrl-C.

    Starts the sandbox services and the unchanged daemon. The world's state lies in memory and ends with the command.
    """
    from agent.cli.sandbox_week import Options, run

    raise typer.Exit(
        run(
            Options(
                once=once,
                report=report,
                purchases=purchases,
                creators=creators,
                seed=seed,
                data_dir=data_dir or _fresh_folder(),
                port_base=port_base,
                database_url=database_url,
                grouping=grouping,
                rail=rail,
                packed_format=packed_format,
                payout_mode=payout_mode,
                user_wallets=user_wallets,
                circle_limits=circle_limits,
                as_json=as_json,
            )
        )
    )


def _fresh_folder() -> Path:
    return DATA / f"sandbox-{datetime.now().astimezone():%Y%m%d-%H%M%S}"  # noqa: TID251 (a name for a folder)
