"""The sandbox's chain behind the transport port, on a clock that only the test moves; alice is the platform wallet."""

import asyncio
from datetime import UTC, datetime
from typing import Any

import orjson
from sqlalchemy import Connection, func, insert, select

from chain import programs
from chain.addresses import ata
from domain.ledger import Asset
from indexer.fast_path import FastPath
from indexer.readback import ReadBack
from indexer.rpc.pool import RpcPool
from indexer.tracker import SignatureTracker
from indexer.treasury.follower import TreasuryFollower
from ports.clock import Clock
from ports.transport import HttpRequest, HttpResponse
from sandbox.solana_node.endpoints import Endpoint
from simulator.wire import ServiceSockets, ServiceTransport
from storage.store import Store
from storage.tables import batches, chain_movements, transfer_attempts, transfers, users
from storage.treasury.chain_rows import Watched, watched
from storage.work import Claim
from tests.sandbox.solana.world import SLOT_MS, World

HOST, WS_HOST = "http://chain.test", "ws://chain.test"
SLOT_SECONDS = SLOT_MS / 1000
FINALITY_SLOTS = 33


class ManualClock:
    """Time of the chain's world. Sleeping moves it."""

    def __init__(self, world: World) -> None:
        self._world = world

    def now(self) -> datetime:
        return datetime.fromtimestamp(self._world.now_ms / 1000, UTC)

    def monotonic(self) -> float:
        return self._world.now_ms / 1000

    async def sleep(self, seconds: float) -> None:
        self._world.now_ms += round(seconds * 1000)
        self._world.node.tick(self._world.now_ms)
        await asyncio.sleep(0)


class LivingWorld(World):
    """The same world, whose time goes on by itself with the event loop's; build it in a VirtualLoop."""

    _offset_ms = 0

    @property
    def now_ms(self) -> int:
        return self._offset_ms + int(asyncio.get_running_loop().time() * 1000)

    @now_ms.setter
    def now_ms(self, value: int) -> None:
        self._offset_ms += value - self.now_ms


class LivingClock:
    """Time of a living world: sleeping takes the loop's time."""

    def __init__(self, world: LivingWorld) -> None:
        self._world = world

    def now(self) -> datetime:
        return datetime.fromtimestamp(self._world.now_ms / 1000, UTC)

    def monotonic(self) -> float:
        return asyncio.get_running_loop().time()

    async def sleep(self, seconds: float) -> None:
        await asyncio.sleep(seconds)


class Killed(Exception):
    """The process ends here."""


class Wire:
    """A transport that counts calls by method and, if told so, kills the process at its nth call."""

    def __init__(self, world: World) -> None:
        self._inner = ServiceTransport({HOST: world.node})
        self.calls: list[str] = []
        self.kill_at: int | None = None

    async def send(self, request: HttpRequest) -> HttpResponse:
        if self.kill_at is not None and len(self.calls) >= self.kill_at:
            raise Killed
        self.calls.append(orjson.loads(request.body)["method"])
        return await self._inner.send(request)

    async def close(self) -> None:
        """Nothing is open."""

    def count(self, method: str) -> int:
        return self.calls.count(method)


class Indexed:
    """The chain, and the indexer's parts as one process has them."""

    def __init__(self, store: Store, paths: tuple[str, ...] = ("/",), *, living: bool = False, **options: Any) -> None:
        """`living`: on a loop's own time, and with a WebSocket."""
        self._living = living
        self.store = store
        if living:
            self.world: World = (lively := LivingWorld(**options))
            self.clock: Clock = LivingClock(lively)
        else:
            self.world = World(**options)
            self.clock = ManualClock(self.world)
        self.wallet = str(self.world.alice.pubkey())
        self.usdc_mint = str(self.world.node.usdc_mint)
        self.usdc_account = ata(self.wallet, self.usdc_mint, programs.TOKEN)
        self.woken = 0
        self.gaps: list[tuple[Asset, int]] = []
        self.disbelieved: list[str] = []
        self.restart(paths)

    def restart(self, paths: tuple[str, ...] = ("/",)) -> None:
        """A new process on the same database."""
        for path in paths:
            self.world.node.endpoints.setdefault(path, Endpoint())
        self.wire = Wire(self.world)
        self.rpc = RpcPool(
            [HOST + path for path in paths],
            self.wire,
            self.clock,
            requests_per_second=1_000_000.0,
            slot_seconds=SLOT_SECONDS,
            disbelieved=self.disbelieved.append,
        )
        self.sockets = ServiceSockets({WS_HOST: self.world.node})
        self.fast_path = FastPath(self.sockets, WS_HOST, self.clock, self.rpc.pace) if self._living else None
        self.tracker = SignatureTracker(
            self.store, self.rpc, self.clock, idle_seconds=30.0, fast_path=self.fast_path, wake=self._wake
        )
        self.treasury = TreasuryFollower(
            self.store,
            self.rpc,
            ReadBack(self.rpc, self.wallet, self.usdc_mint),
            self.clock,
            poll_seconds=1.0,
            wake=self._wake,
            observe=lambda asset, gap: self.gaps.append((asset, gap)),
        )

    def _wake(self) -> None:
        self.woken += 1

    def finalize(self) -> None:
        self.world.pass_slots(FINALITY_SLOTS)

    async def fate(self, signature: str) -> Watched:
        row = await self.store.read(lambda conn: watched(conn, signature))
        assert row is not None
        return row

    async def movements(self) -> list[Any]:
        def load(conn: Connection) -> list[Any]:
            return list(conn.execute(select(chain_movements).order_by(chain_movements.c.slot, chain_movements.c.id)))

        return await self.store.read(load)

    async def kinds(self, account: str) -> list[str]:
        return [row.kind for row in await self.movements() if row.account == account]

    async def sum_of(self, account: str) -> int:
        statement = select(func.sum(chain_movements.c.amount)).where(chain_movements.c.account == account)
        return int(await self.store.read(lambda conn: conn.scalar(statement)) or 0)

    async def plan_transfer(self, destination: str, amount: int, signature: str | None = None) -> int:
        """A transfer with one submitted attempt, as the payout step leaves it; answers the transfer's id."""
        now = self.clock.now()

        def save(conn: Connection) -> int:
            number = (conn.scalar(select(func.count()).select_from(transfers)) or 0) + 1
            user_id = conn.scalar(
                insert(users)
                .values(
                    uuid=f"user-{number}",
                    email=f"{number}@example.com",
                    username="creator",
                    password_hash="-",
                    wallet_state="ready",
                    created_at=now,
                )
                .returning(users.c.id)
            )
            batch_id = conn.scalar(
                insert(batches)
                .values(
                    uuid=f"batch-{number}",
                    key=f"offcycle:{number}",
                    cutoff_at=now,
                    status="sending",
                    grouping="purchase",
                    rail="circle",
                    payout_count=1,
                    planned_amount=amount,
                    created_at=now,
                )
                .returning(batches.c.id)
            )
            transfer_id = conn.scalar(
                insert(transfers)
                .values(
                    uuid=f"transfer-{number}",
                    batch_id=batch_id,
                    recipient_id=user_id,
                    reference=f"reference-{number}",
                    key_scope="-",
                    amount=amount,
                    destination_address=destination,
                    created_at=now,
                )
                .returning(transfers.c.id)
            )
            assert transfer_id is not None
            conn.execute(
                insert(transfer_attempts).values(
                    transfer_id=transfer_id,
                    attempt=1,
                    state="submitted",
                    idempotency_key=f"key-{number}",
                    wallet_id="wallet",
                    source_address=self.wallet,
                    body="{}",
                    signature=signature,
                    created_at=now,
                    first_sent_at=now,
                )
            )
            return int(transfer_id)

        return await self.store.write(save)


def subjects(claims: list[Claim]) -> list[tuple[str, str]]:
    return [(claim.kind, claim.subject) for claim in claims]
