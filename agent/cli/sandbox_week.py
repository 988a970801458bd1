"""The week on this machine: the world in this process, the unchanged daemon in another, the player between them."""

import asyncio
import shlex
import signal
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import aiohttp
import orjson
import uvloop
from rich.console import Console

from agent.cli.children import DaemonFailed, run_command, running_daemon
from agent.cli.sandbox_services import STOP_SIGNALS, show
from sandbox.circle_service.faucet import give
from sandbox.handover import ACCESS_FILE, ENVIRONMENT_FILE
from sandbox.loopback import PortTaken
from sandbox.week.access import Access
from sandbox.week.plan import Person, plan_week
from sandbox.week.player import Finished, Week
from sandbox.week.report import Outcome, closing_table, write_report
from sandbox.week.stages import Stages
from sandbox.week.wire import Wire
from sandbox.world import World, WorldOptions, running_world

INTERRUPTED = 128 + signal.SIGINT
"""What shells report for a command that Ctrl-C ended."""
LOG_FILE = "daemon.log"
SHOWN_VIOLATIONS = 20
POCKET_LAMPORTS = 10_000_000
"""0.01 SOL: fees, and the rent of a few token accounts."""


@dataclass(frozen=True, slots=True)
class Options:
    """The command's options."""

    once: bool
    report: Path | None
    purchases: int
    creators: int
    seed: int
    data_dir: Path
    port_base: int
    database_url: str | None
    grouping: Literal["purchase", "creator"]
    rail: Literal["circle", "solana"]
    packed_format: Literal["v0", "v1"]
    payout_mode: Literal["weekly", "realtime"]
    user_wallets: Literal["user", "developer"]
    circle_limits: Literal["fast", "real"]
    as_json: bool = False

    def world(self) -> WorldOptions:
        """What of it concerns the world."""
        return WorldOptions(
            self.data_dir,
            port_base=self.port_base,
            seed=self.seed,
            circle_limits=self.circle_limits,
            grouping=self.grouping,
            rail=self.rail,
            packed_format=self.packed_format,
            payout_mode=self.payout_mode,
            user_wallets=self.user_wallets,
            database_url=self.database_url,
        )


def run(options: Options) -> int:
    """The exit code: 0 when every check held, 1 when not or when something can't start, 130 for Ctrl-C on the way."""
    console = Console(highlight=False, stderr=options.as_json)
    try:
        return uvloop.run(_Run(options, console).until_stopped())
    except (PortTaken, DaemonFailed) as error:
        Console(stderr=True, highlight=False, soft_wrap=True).print(f"sandbox: {error}", markup=False)
        return 1


class _Run:
    """One run of the command. The first signal cancels what goes on, and the blocks that are left by it end the daemon
    and the world in order; further signals change nothing, since that end is bounded."""

    def __init__(self, options: Options, console: Console) -> None:
        self._options = options
        self._console = console
        self._exit_code = INTERRUPTED

    async def until_stopped(self) -> int:
        body = asyncio.create_task(self._body())
        stopping = False

        def stop() -> None:
            nonlocal stopping
            if not stopping:
                stopping = True
                self._console.print("\nEnding the daemon and the sandbox")
                body.cancel()

        for number in STOP_SIGNALS:
            asyncio.get_running_loop().add_signal_handler(number, stop)
        await asyncio.wait({body})
        if body.cancelled():
            return self._exit_code
        return body.result()

    async def _body(self) -> int:
        options, console = self._options, self._console
        async with running_world(options.world()) as world:
            show(world, console)
            log = options.data_dir / LOG_FILE
            console.print(f"Daemon   {world.agent_url}   log in {log}\n", markup=False)
            async with running_daemon(world.environment, f"{world.agent_url}/readyz", log) as daemon:
                died = asyncio.create_task(daemon.wait())
                week = asyncio.create_task(self._week(world))
                try:
                    await asyncio.wait((week, died), return_when=asyncio.FIRST_COMPLETED)
                    if not week.done():
                        raise DaemonFailed(f"the daemon ended with {died.result()}; its log is {log}")
                    return week.result()
                finally:
                    week.cancel()
                    died.cancel()
                    await asyncio.gather(week, died, return_exceptions=True)

    async def _week(self, world: World) -> int:
        """The week, and with `--once` its exit code; without, it never ends by itself."""
        outcome = await self._play(world)
        self._exit_code = 1 if outcome.violations else 0
        if not self._options.once:
            hand_over(world, outcome)
            show_links(world, outcome, self._console)
            await asyncio.Event().wait()
        return self._exit_code

    async def _play(self, world: World) -> Outcome:
        options, console = self._options, self._console

        async def distribute(arguments: Sequence[str]) -> Finished:
            return await run_command(["distribute_usdc_batch", *arguments], world.environment)

        access = Access.read(options.data_dir / ACCESS_FILE)
        plan = plan_week(options.seed, options.purchases, options.creators)
        async with aiohttp.ClientSession() as session:
            with Stages(console) as stages:
                week = Week(
                    access,
                    plan,
                    Wire(session),
                    stages,
                    distribute,
                    in_real_time=options.payout_mode == "realtime",
                )
                outcome = await week.play()
        if options.report is not None:
            write_report(options.report, outcome)
        show_outcome(outcome, console)
        if options.as_json:
            print(orjson.dumps(outcome.report, option=orjson.OPT_INDENT_2).decode(), flush=True)
        return outcome


def show_outcome(outcome: Outcome, console: Console) -> None:
    """The closing table and the verdict."""
    console.print()
    console.print(closing_table(outcome.seen))
    report = outcome.report
    console.print(
        f"Purchases {report['purchases']}, NFTs minted {report['minted']}, paid out {report['distributed']}, "
        f"ledger imbalance {report['ledger_sum']}, {report['seconds']} s"
    )
    if not outcome.violations:
        console.print("Every check holds.", style="green")
        return
    console.print(f"{len(outcome.violations)} checks do not hold:", style="bold red")
    for violation in outcome.violations[:SHOWN_VIOLATIONS]:
        console.print(f"  {violation}", markup=False, soft_wrap=True)
    if len(outcome.violations) > SHOWN_VIOLATIONS:
        console.print("  … all of them are in the report (--report)")


def hand_over(world: World, outcome: Outcome) -> None:
    """From here on people play: Circle asks for PINs, and creators have the SOL that a withdrawal of theirs costs."""
    world.circle.custody.switches.auto_pin = False
    for creator in outcome.creators:
        if creator.address:
            give(world.circle.custody.chain, creator.address, 0, POCKET_LAMPORTS)


def show_links(world: World, outcome: Outcome, console: Console) -> None:
    """Where to look around in a browser, with what to be let in."""
    admin = f"curl -H 'Authorization: Bearer {world.identity.admin_token}' {world.admin_url}"
    lines = ["Open in a browser:", f"  Shop                  {world.agent_url}/"]
    if outcome.pay_page is not None:
        lines += [f"  Pay page, one open    {outcome.pay_page}"]
    if outcome.creators:
        lines += [f"  Creator's dashboard   {world.agent_url}/sales   {_login(outcome.creators[0].person)}"]
    if outcome.buyers:
        lines += [f"  Buyer's library       {world.agent_url}/library   {_login(outcome.buyers[0].person)}"]
    lines += [
        f"  Sign up               {world.agent_url}/signup   {_invited(world)}",
        f"  Admin console         {world.admin_url}/console/   token {world.identity.admin_token}",
        "In a shell:",
        f"  Every command         {command_line(world)}",
        f"  Metrics               {admin}/metrics",
        f"  Stripe's controls     curl {world.access['stripe_api']}/_sandbox/",
        f"  Circle's switches     curl {world.access['circle_api']}/_sandbox/switches",
        "",
        "All this stays up until Ctrl-C.",
    ]
    console.print()
    for line in lines:
        console.print(line, markup=False, soft_wrap=True)


def command_line(world: World) -> str:
    """In a shell of its own, so that the world's settings don't stay behind in the reader's."""
    python, here = Path(sys.executable), Path.cwd()
    shown = shlex.join([str(python.relative_to(here) if python.is_relative_to(here) else python), "main.py", "status"])
    return f"(set -a; . {shlex.quote(str(world.options.data_dir / ENVIRONMENT_FILE))}; {shown})"


def _invited(world: World) -> str:
    """From here on the sandbox's Circle asks for PINs, as the real one does."""
    return f"invite code {world.identity.invite_code}, any six digits as PIN"


def _login(person: Person) -> str:
    return f"{person.email}, password {person.password}   ({person.name})"
