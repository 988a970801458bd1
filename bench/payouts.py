"""Payouts at size: the plan of a large batch, and packed transactions against one call for each transfer.

`python -m bench.payouts plan [creators] [purchases]` times the plan alone; `python -m bench.payouts [creators]
[purchases] [one by one]` plays all of it against the sandbox with Circle's real limits and
the unchanged daemon as a process of its own; token accounts exist. Rates are sustained ones, from the first to the
last finalized transaction by the chain's own slots. The last line is one JSON object. Figures of one run on a shared
machine: compare within it.
"""

import asyncio
import contextlib
import json
import sqlite3
import struct
import sys
import tempfile
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import psutil
from solders.account import Account
from solders.pubkey import Pubkey

from agent.cli.children import running_daemon
from agent.cli.client import AdminClient
from agent.daemon import spare_the_collector
from bench.arguments import numbers
from bench.payout_rows import Eve
from config.admin_access import AdminAccess
from domain.states import BatchStatus
from payouts.addresses import AddressJudge, DenyList
from payouts.plan import Planner, PlanRules
from ports.system import SystemClock, SystemIds
from sandbox.handover import DATABASE_FILE
from sandbox.solana_node import Commitment
from sandbox.solana_node.token_layouts import TOKEN, associated_token_address, token_amount
from sandbox.world import World, WorldOptions, running_world
from storage import schema
from storage.engines.sqlite import SqliteStore, open_writer

CREATORS, PURCHASES, ONE_BY_ONE = 10_000, 100_000, 200
SAMPLE_SECONDS = 0.5
MOST_SECONDS = 600.0
RPC_PER_SECOND = 1_000
"""The limits in question are Circle's; a paid RPC provider gives so much."""


@dataclass(frozen=True, slots=True)
class Ran:
    """One batch: payouts a second between its first and its last finalized transaction, and what it took besides.
    `refused`: calls that were beyond Circle's rates."""

    per_second: float
    batch_seconds: float
    lamports_per_payout: int
    rent_lamports: int
    transactions: int
    rss_mb: int
    refused: int


def plan_alone(creators: int, purchases: int) -> dict[str, object]:
    """On a machine that others use too, CPU seconds say more."""
    with tempfile.TemporaryDirectory() as folder:
        eve = Eve(creators, purchases, datetime.now(UTC))  # noqa: TID251 (a bench runs on the machine's clock)
        _fill(Path(folder) / "eve.db", eve)
        seconds, cpu = asyncio.run(_plan(Path(folder) / "eve.db"))
        return {"plan_seconds": round(seconds, 3), "plan_cpu_seconds": round(cpu, 3)}


def main(creators: int, purchases: int, one_by_one: int) -> dict[str, object]:
    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder)
        eve = Eve(creators, purchases, datetime.now(UTC))  # noqa: TID251 (a bench runs on the machine's clock)
        _fill(root / "eve.db", eve)
        plan_seconds, _ = asyncio.run(_plan(root / "eve.db"))
        print(f"plan of {creators} creators, {purchases} purchases: {plan_seconds:.3f} s")
        single = asyncio.run(pay_out(root / "circle", Eve(one_by_one, one_by_one, eve.now), "circle", "v0"))
        _tell(f"{one_by_one} transfers, one call each", single)
        packed = {}
        for version in ("v0", "v1"):
            packed[version] = asyncio.run(pay_out(root / version, eve, "solana", version))
            _tell(f"{creators} creators packed in {version}", packed[version])
    return {
        "plan_seconds": round(plan_seconds, 3),
        "v0_ratio": round(packed["v0"].per_second / single.per_second, 1),
        "v1_ratio": round(packed["v1"].per_second / single.per_second, 1),
        "batch_seconds_v0": round(packed["v0"].batch_seconds, 1),
        "batch_seconds_v1": round(packed["v1"].batch_seconds, 1),
        "lamports_per_payout_v0": packed["v0"].lamports_per_payout,
        "lamports_per_payout_v1": packed["v1"].lamports_per_payout,
        "rss_mb": max(one.rss_mb for one in packed.values()),
    }


def _tell(what: str, ran: Ran) -> None:
    print(
        f"{what}: {ran.per_second:.1f} payouts/s, {ran.transactions} transactions, whole batch "
        f"{ran.batch_seconds:.1f} s, {ran.lamports_per_payout} lamports of fees a payout, "
        f"{ran.rent_lamports} lamports of returnable rent, daemon {ran.rss_mb} MB"
    )


def _fill(path: Path, eve: Eve) -> None:
    """A database of this eve, with every table there."""
    path.parent.mkdir(parents=True, exist_ok=True)
    engine = open_writer(path, synchronous="OFF")
    with engine.begin() as connection:
        schema.upgrade(connection)
        eve.write(connection)
    engine.dispose()


async def _plan(path: Path) -> tuple[float, float]:
    """Seconds that planning takes on the daemon's own store, flush included, in a process that spares the collector as
    the daemon does; and those of the processor."""
    store, clock = SqliteStore(path), SystemClock()
    await store.start()
    rules = PlanRules(10_000, False, timedelta(hours=24), "creator", "solana")
    planner = Planner(store, clock, SystemIds(), rules, AddressJudge(DenyList(()), ()), "treasury")
    spare_the_collector()
    began, used = time.perf_counter(), time.process_time()
    planned = await planner.plan_off_cycle("bench")
    seconds, cpu = time.perf_counter() - began, time.process_time() - used
    await store.stop()
    assert planned is not None
    return seconds, cpu


async def pay_out(
    folder: Path, eve: Eve, rail: str, version: str, trouble: Callable[[World], None] = lambda _: None
) -> Ran:
    """Plan the eve's batch in a world of its own, with what `trouble` does to it, and wait until it is settled. Raises
    AssertionError unless the chain shows each creator's due, and nothing else."""
    options = WorldOptions(
        folder, port_base=0, circle_limits="real", grouping="creator", rail=rail, packed_format=version
    )
    async with running_world(options) as world:
        _fill(folder / DATABASE_FILE, eve)
        owners = [Pubkey.from_string(owner) for owner in eve.owners()]
        for owner in owners:
            _open_account(world, owner)
        world.node.mint_usdc(Pubkey.from_string(world.platform.address), eve.total)
        environment = world.environment | {"AGENT_RPC_PER_SECOND": str(RPC_PER_SECOND)}
        async with (
            running_daemon(environment, f"{world.agent_url}/readyz", folder / "daemon.log") as daemon,
            AdminClient(AdminAccess(world.admin_url, world.identity.admin_token)) as client,
        ):
            memory: list[int] = []
            watcher = asyncio.create_task(_watch(daemon.pid, memory))
            await _until_deposited(client)
            trouble(world)
            began = time.perf_counter()
            batch = await client.plan()
            assert batch is not None
            await _until_settled(client, batch.id)
            seconds = time.perf_counter() - began
            watcher.cancel()
            await asyncio.gather(watcher, return_exceptions=True)
        _require_paid(world, owners, eve)
        return _measured(world, folder / DATABASE_FILE, eve, seconds, max(memory, default=0))


def _open_account(world: World, owner: Pubkey) -> None:
    """The owner's empty USDC account, by decree: what is timed is paying."""
    mint = world.node.usdc_mint
    data = bytes(mint) + bytes(owner) + struct.pack("<Q", 0) + bytes(36) + bytes([1]) + bytes(56)
    address = associated_token_address(owner, mint)
    world.node.place_account(address, Account(world.node.minimum_rent(len(data)), data, TOKEN))


async def _until_deposited(client: AdminClient) -> None:
    async def holds() -> bool:
        return await client.gate_is_open() is True and (await client.status()).treasury.to_convert == "0.00"

    await _until(holds)


async def _until_settled(client: AdminClient, batch_id: int) -> None:
    async def holds() -> bool:
        return (await client.batch(batch_id)).status == BatchStatus.SETTLED

    await _until(holds)


async def _until(holds: Callable[[], Awaitable[bool]]) -> None:
    async with asyncio.timeout(MOST_SECONDS):
        while True:
            if await holds():
                return
            await asyncio.sleep(SAMPLE_SECONDS)


def _require_paid(world: World, owners: list[Pubkey], eve: Eve) -> None:
    """Every owner has what he was due, by the chain."""
    for owner, due in zip(owners, eve.due(), strict=True):
        account = world.node.account(associated_token_address(owner, world.node.usdc_mint), Commitment.FINALIZED)
        assert account is not None
        assert token_amount(account) == due, f"{owner} got {token_amount(account)}, due are {due}"


def _measured(world: World, database: Path, eve: Eve, seconds: float, memory: int) -> Ran:
    """Rates by the chain's slots; lamports by what the daemon booked for its transactions."""
    treasury = str(associated_token_address(Pubkey.from_string(world.platform.address), world.node.usdc_mint))
    paid: list[tuple[int, int]] = []
    for landed in world.node.history.landed:
        changes = [one for one in landed.token_changes() if one.delta and landed.err is None]
        if any(one.account == treasury and one.delta < 0 for one in changes):
            paid.append((landed.slot, len(changes) - 1))
    slots = [slot for slot, _ in paid]
    began, ended = min(slots), max(slots)
    counted = sum(count for slot, count in paid if slot > began)
    with contextlib.closing(sqlite3.connect(database)) as connection:
        fees, costs = _costs(connection)
    return Ran(
        per_second=counted / max((ended - began) * world.options.slot_ms / 1000, world.options.slot_ms / 1000),
        batch_seconds=seconds,
        lamports_per_payout=fees // eve.creators,
        rent_lamports=costs - fees,
        transactions=len(paid),
        rss_mb=memory // 2**20,
        refused=world.circle.rates.refused,
    )


def _costs(connection: Any) -> tuple[int, int]:
    sql = (
        "SELECT COALESCE(SUM(fee_lamports), 0), COALESCE(SUM(cost_lamports), 0) FROM group_attempts "
        "WHERE state = 'finalized'"
    )
    fees, costs = connection.execute(sql).fetchone()
    if costs:
        return fees, costs
    (single,) = connection.execute("SELECT COALESCE(SUM(cost_lamports), 0) FROM transfer_attempts").fetchone()
    return single, single


async def _watch(pid: int, memory: list[int]) -> None:
    process = psutil.Process(pid)
    while True:
        with contextlib.suppress(psutil.NoSuchProcess):
            memory.append(process.memory_info().rss)
        await asyncio.sleep(SAMPLE_SECONDS)


if __name__ == "__main__":
    if sys.argv[1:2] == ["plan"]:
        del sys.argv[1]
        print(json.dumps(plan_alone(*numbers(__doc__, CREATORS, PURCHASES))))
    else:
        print(json.dumps(main(*numbers(__doc__, CREATORS, PURCHASES, ONE_BY_ONE))))
