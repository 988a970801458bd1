"""The outside world alone, until Ctrl-C."""

import asyncio
import signal
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import orjson
import uvloop
from rich.console import Console

from sandbox.handover import ACCESS_FILE, ENVIRONMENT_FILE
from sandbox.loopback import PortTaken
from sandbox.world import World, WorldOptions, running_world

STOP_SIGNALS = (signal.SIGINT, signal.SIGTERM)


@dataclass(frozen=True, slots=True)
class Options:
    """The command's options."""

    data_dir: Path
    port_base: int
    circle_limits: Literal["fast", "real"]
    as_json: bool = False


def serve(options: Options) -> int:
    """Run until SIGINT or SIGTERM; the exit code."""
    console = Console(highlight=False, soft_wrap=True)
    try:
        uvloop.run(_serve(options, console))
    except PortTaken as error:
        Console(stderr=True, highlight=False, soft_wrap=True).print(f"sandbox-services: {error}", markup=False)
        return 1
    return 0


async def _serve(options: Options, console: Console) -> None:
    stopped = asyncio.Event()
    for number in STOP_SIGNALS:
        asyncio.get_running_loop().add_signal_handler(number, stopped.set)
    world_options = WorldOptions(options.data_dir, port_base=options.port_base, circle_limits=options.circle_limits)
    async with running_world(world_options) as world:
        if options.as_json:
            print(orjson.dumps(addresses(world), option=orjson.OPT_INDENT_2).decode(), flush=True)
            await stopped.wait()
            return
        show(world, console)
        console.print("In another shell, in this folder:\n")
        console.print(f"  set -a; . {options.data_dir / ENVIRONMENT_FILE}; python main.py run\n", markup=False)
        console.print("Ctrl-C ends it; its chain, payments and wallets are gone then.")
        await stopped.wait()


def addresses(world: World) -> dict[str, str]:
    """Where the services and the files for clients and daemon are."""
    names = ("stripe_api", "circle_api", "circle_mint_api", "solana_rpc", "solana_ws")
    files = {"access": world.options.data_dir / ACCESS_FILE, "environment": world.options.data_dir / ENVIRONMENT_FILE}
    return {name: str(world.access[name]) for name in names} | {name: str(path) for name, path in files.items()}


def show(world: World, console: Console) -> None:
    """Where the services are."""
    access = world.access
    if world.old_database is not None:
        console.print(f"A database of an earlier world was set aside as {world.old_database}.", markup=False)
    console.print(f"Stripe   {access['stripe_api']}   controls under /_sandbox/", markup=False)
    console.print(f"Circle   {access['circle_api']}   controls under /_sandbox/", markup=False)
    console.print(f"Mint     {access['circle_mint_api']}   controls under /_sandbox/", markup=False)
    console.print(f"Solana   {access['solana_rpc']}   {access['solana_ws']}", markup=False)
    console.print(f"Keys and addresses   {world.options.data_dir / ACCESS_FILE}", markup=False)
