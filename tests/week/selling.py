"""Creators who sell and are paid in the virtual world, and a daemon that can be killed at any point of its work."""

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

from solders.keypair import Keypair
from solders.pubkey import Pubkey
from sqlalchemy import Connection

from simulator.life import Life
from tests.week.checker import rows_of, usdc_of, violations
from tests.week.test_virtual_week import People
from tests.week.virtual_world import MONDAY, VirtualWorld

DUE = 2_350_000
"""The creator's part of a $3.00 sale, base units."""


@dataclass(slots=True)
class Creator:
    name: str
    id: int
    token: str
    content: int
    address: str | None = None


@dataclass(slots=True)
class Sale:
    purchase_id: int
    payment: str


class Market(People):
    """Some creators with one work each, and one buyer who buys them all."""

    def __init__(self, world: VirtualWorld) -> None:
        super().__init__(world)
        self.creators: dict[str, Creator] = {}
        self.buyer_token = ""

    async def open(self, *names: str, price_cents: int = 300) -> None:
        await self.world.start()
        _, self.buyer_token = await self.sign_up("buyer")
        for name in names or ("ada",):
            await self.join(name, price_cents)

    async def join(self, name: str, price_cents: int = 300, **content: Any) -> Creator:
        """A creator with a Circle wallet and one published work."""
        user_id, token = await self.sign_up(name)
        made = Creator(name, user_id, token, await self.publish(token, price_cents, **content))
        self.creators[name] = made

        async def has_wallet() -> bool:
            made.address = (await self.world.call("GET", "/api/profile/", token=token)).body["circle_wallet_address"]
            return made.address is not None

        await self.world.until(f"{name} has a wallet", has_wallet)
        return made

    async def join_from_before(self, name: str, address: str | None = None, price_cents: int = 300) -> Creator:
        """A creator of former times, who has an external address."""
        held = address or str(Keypair.from_seed(name.encode().ljust(32, b".")).pubkey())
        body = {
            "email": f"{name}@example.com",
            "password": "correct horse battery",
            "username": name,
            "wallet_provider": "external",
            "wallet_address": held,
        }
        made = await self.world.operator("POST", "/admin/api/users", body)
        assert made.status in (200, 201), made
        login = await self.world.call("POST", "/api/auth/login/", {key: body[key] for key in ("email", "password")})
        token = login.body["token"]
        creator = Creator(name, made.body["user_id"], token, await self.publish(token, price_cents), held)
        self.creators[name] = creator
        return creator

    async def sell(self, *names: str, minted: bool = True) -> list[Sale]:
        """The buyer buys one work of each, in this order; all of it minted and priced."""
        payments = []
        for name in names or tuple(self.creators):
            session = await self.buy(self.buyer_token, self.creators[name].content)
            await self._closed(session)
            payments.append(self.payment_of(session))

        def known() -> dict[str, Any]:
            rows = rows_of(self.world, "SELECT * FROM purchases")
            return {row["stripe_payment_intent_id"]: row for row in rows}

        async def done() -> bool:
            ours = known()
            return all(
                payment in ours
                and ours[payment]["stripe_fee"] is not None
                and (ours[payment]["status"] == "completed" or not minted)
                for payment in payments
            )

        await self.world.until("the sales are minted", done)
        ours = known()
        return [Sale(ours[payment]["id"], payment) for payment in payments]

    async def _closed(self, session_id: str) -> None:
        """Until the daemon knows of the payment: the next purchase of the same work gets a Session of its own."""
        sql = f"SELECT id FROM checkouts WHERE stripe_session_id = '{session_id}' AND state = 'completed'"

        async def known() -> bool:
            return bool(rows_of(self.world, sql))

        await self.world.until("the Session is closed", known)

    def payment_of(self, session_id: str) -> str:
        ledger: Any = self.world.stripe.controls.ledger()
        return next(str(one["payment_intent"]) for one in ledger["payments"] if one["session"] == session_id)

    def fund(self, base_units: int) -> str:
        """A deposit into the platform wallet; its signature."""
        return self.world.node.mint_usdc(Pubkey.from_string(self.world.platform.address), base_units)

    async def deposited(self, base_units: int) -> None:
        """A deposit, until it is booked."""
        signature = self.fund(base_units)

        async def booked() -> bool:
            return bool(rows_of(self.world, f"SELECT id FROM chain_movements WHERE signature = '{signature}'"))

        await self.world.until("the deposit is booked", booked)
        await self.world.clock.sleep(1)

    async def plan(self) -> dict[str, Any] | None:
        """An off-cycle batch; None when nothing is payable."""
        made = await self.world.operator("POST", "/admin/api/batches", {})
        assert made.status == 200, made
        batch: dict[str, Any] | None = made.body["batch"]
        return batch

    async def batch(self, batch_id: int = 1) -> dict[str, Any]:
        shown = await self.world.operator("GET", f"/admin/api/batches/{batch_id}")
        assert shown.status == 200, shown
        return dict(shown.body)

    async def batch_is(self, status: str, batch_id: int = 1, seconds: float = 600) -> None:
        async def holds() -> bool:
            found = rows_of(self.world, f"SELECT status FROM batches WHERE id = {batch_id}")
            return [row["status"] for row in found] == [status]

        await self.world.until(f"batch {batch_id} is {status}", holds, seconds)

    async def parked(self, text: str = "") -> list[dict[str, Any]]:
        """Work that waits for a person, with this text in its error."""
        work = await self.world.operator("GET", "/admin/api/work")
        return [row for row in work.body["items"] if text in f"{row['error_code']} {row['error']}"]

    async def open_work(self, kind: str) -> list[dict[str, Any]]:
        work = await self.world.operator("GET", "/admin/api/work?state=open")
        return [row for row in work.body["items"] if row["kind"] == kind]

    async def until_work_says(self, text: str, seconds: float = 600) -> None:
        async def says() -> bool:
            work = await self.world.operator("GET", "/admin/api/work?state=open")
            return any(text in (row["error"] or "") for row in work.body["items"])

        await self.world.until(f"some work says: {text}", says, seconds)

    async def dashboard(self, name: str) -> dict[str, Any]:
        who = self.creators[name]
        shown = await self.world.call("GET", f"/api/creators/{who.id}/dashboard/", token=who.token)
        return dict(shown.body)

    def states(self) -> list[str]:
        """The payouts' states, oldest payment first."""
        rows = rows_of(self.world, "SELECT state FROM payouts ORDER BY paid_at, purchase_id, recipient_number")
        return [row["state"] for row in rows]

    def paid(self) -> dict[str, int]:
        """What each creator's address holds on chain, finalized."""
        return {one.name: usdc_of(self.world, one.address) if one.address else 0 for one in self.creators.values()}

    async def close(self, accepted: Sequence[str] = ()) -> None:
        """Every scenario ends here: at rest, no invariant is broken."""
        await self.world.clock.sleep(20)
        found = violations(self.world, accepted)
        assert not found, found
        await self.world.verify()
        await self.world.close()


class Fuse:
    """Counts the points at which a process may die: before and after each commit and each call."""

    def __init__(self) -> None:
        self.is_armed = False
        self.is_blown = False
        self.points = 0
        self._last: int | None = None

    def arm(self, last: int | None) -> None:
        """From now on count; die at point `last` (None: only count)."""
        self.is_armed, self.is_blown, self.points, self._last = True, False, 0, last

    def disarm(self) -> None:
        self.is_armed = self.is_blown = False

    def blows(self, where: str) -> bool:
        if self.is_armed:
            self.points += 1
            self.is_blown = self.points == self._last
        return self.is_blown


class MortalWorld(VirtualWorld):
    """A world whose daemon dies when its fuse blows, and is found dead by `died`."""

    def __init__(self, folder: Path, seed: int = 1, start: datetime = MONDAY, **settings: str) -> None:
        super().__init__(folder, seed, start, **settings)
        self.fuse = Fuse()

    def new_life(self) -> Life:
        return Life("daemon", self.fuse.blows)

    async def died(self, seconds: float = 120) -> bool:
        """Wait for the fuse, then bury the process and disarm. False when the fuse held: it was killed all the same."""
        end = self.clock.monotonic() + seconds
        while not self.fuse.is_blown and self.clock.monotonic() < end:
            await asyncio.sleep(0.05)
        blown = self.fuse.is_blown
        await self.process.kill()
        self.fuse.disarm()
        return blown


async def written(world: VirtualWorld, change: Any) -> Any:
    """Change rows as no code of the daemon would: the mark of a fault from outside."""
    assert world.daemon is not None

    def run(conn: Connection) -> Any:
        return change(conn)

    return await world.daemon.ports.store.write(run)


async def sleep_until(world: VirtualWorld, moment: datetime) -> None:
    """Let virtual time pass up to a wall time."""
    await world.clock.sleep(max(0.0, (moment - world.clock.now()).total_seconds()))


async def skip_to(world: VirtualWorld, moment: datetime) -> None:
    """Set all clocks forward at once; only while the daemon is down."""
    by: timedelta = moment - world.clock.now()
    if by > timedelta(0):
        world.clock.shift(by)
    await world.clock.sleep(0.1)
