"""The simulator's world with one daemon, as the stories of `tests/week/` and others use it."""

import json
import random
from collections.abc import Awaitable, Callable
from datetime import datetime
from pathlib import Path
from typing import Any

from agent.startup import Daemon
from gateways.circle_api import CircleGateway, Rates
from ports.transport import HttpRequest
from ports.virtual import SeededIds
from sandbox.circle_service import setup_platform
from simulator.life import Life
from simulator.outside import ADMIN_TOKEN, AGENT_URL, CIRCLE_URL, RPC_URL, START_LAMPORTS, STRIPE_URL
from simulator.world import DATABASE, MONDAY, Answer, World, empty_database
from tests.verified import first_findings

__all__ = ["AGENT_URL", "CIRCLE_URL", "MONDAY", "RPC_URL", "START_LAMPORTS", "STRIPE_URL", "Answer", "VirtualWorld"]

LOOK_EVERY_SECONDS = 2.0
"""A few slots of the virtual chain, and far less than any story lets pass between two things that it tells apart."""
LATER_BY = 1 / 50
"""What no row tells is seen so much later than it could have been: else a story that waits for an hour asks as often as
thirty short ones."""


class VirtualWorld(World):
    """Build inside a running VirtualLoop. `start` the daemon, `stop` it, start it again."""

    def __init__(self, folder: Path, seed: int = 1, start: datetime = MONDAY, **settings: str) -> None:
        super().__init__(folder, seed, start, settings)
        if not (folder / DATABASE).exists():
            (folder / DATABASE).write_bytes(empty_database())
        self.process = self.processes[0]
        self._changes = 0

    @property
    def daemon(self) -> Daemon | None:
        return self.process.daemon

    async def start(self) -> None:
        """Start the daemon on the database as it lies there."""
        self.process.settings = self.settings
        await self.process.start(self.new_life())

    def committed(self, name: str, changed: int) -> None:
        self._changes += changed
        super().committed(name, changed)

    def new_life(self) -> Life:
        """Under what the next start lives; by default nothing happens to it."""
        return Life()

    async def stop(self) -> None:
        """End the daemon wherever it is: every await of it is cancelled, as a killed process would stop there."""
        await self.process.stop()

    async def verify(self) -> None:
        """The daemon's own verification finds nothing, at whatever moment it is asked."""
        assert self.daemon is not None
        found = await self.daemon.ports.store.read(first_findings)
        assert not found, found

    def check_alive(self) -> None:
        """Raise what ended the daemon by itself."""
        self.process.check_alive()

    async def call(
        self, method: str, path: str, body: Any = None, token: str | None = None, *, admin: bool = False
    ) -> Answer:
        """One request to the daemon's router, as the front would make it."""
        answer = await super().call(method, path, body, token, admin=admin)
        if answer is None:
            raise AssertionError("the daemon is down")
        return answer

    async def operator(self, method: str, path: str, body: Any = None) -> Answer:
        return await self.call(method, path, body, ADMIN_TOKEN, admin=True)

    async def circle_get(self, path: str) -> dict[str, Any]:
        """What Circle's own API shows an outside client."""
        return await self._circle("GET", path, b"")

    async def circle_post(self, path: str, body: Any) -> dict[str, Any]:
        return await self._circle("POST", path, json.dumps(body).encode())

    async def another_wallet(self) -> str:
        """A second developer-controlled wallet of the same entity; its id."""
        return str(setup_platform(self.circle, name="Other", ref_id="other").wallet_id)

    async def circle_transfer(self, amount: str, to: str | None = None, token_id: str | None = None) -> None:
        """Somebody else with our entity's keys moves USDC out, or another token, past the daemon; to a wallet of his
        unless told."""
        await self.circle_transfers(amount, 1, token_id, to)

    async def circle_transfers(
        self, amount: str, count: int, token_id: str | None = None, to: str | None = None
    ) -> None:
        """So many of them, each of that amount, until all are complete."""
        stranger = setup_platform(self.circle, name="Stranger", ref_id="stranger")
        gateway = CircleGateway(
            self.transport,
            CIRCLE_URL,
            "TEST_API_KEY:id:secret",
            "ab" * 32,
            SeededIds(random.Random(99)),
            self.clock,
            Rates.fast(),
        )
        body = {
            "walletId": self.platform.wallet_id,
            "tokenId": token_id or self.settings.usdc_token_id,
            "destinationAddress": to or stranger.address,
            "amounts": [amount],
            "feeLevel": "MEDIUM",
        }
        keys = SeededIds(random.Random(98))
        made = [await gateway.submit_transfer(keys.uuid(), body) for _ in range(count)]
        for one in made:
            while (await gateway.fetch_transaction(one.id)).state != "COMPLETE":
                await self.clock.sleep(1)

    async def abandon(self) -> None:
        """End a world whose daemon has ended by itself."""
        await self.process.kill()
        await self._still()

    async def _circle(self, method: str, path: str, body: bytes) -> dict[str, Any]:
        headers = {"authorization": "Bearer TEST_API_KEY:id:secret", "content-type": "application/json"}
        answer = await self.transport.send(HttpRequest(method, f"{CIRCLE_URL}{path}", headers, body))
        assert 200 <= answer.status < 300, answer
        told = json.loads(answer.body or b"{}")
        return dict(told.get("data", told))

    async def until(self, what: str, holds: Callable[[], Awaitable[bool]], seconds: float = 600) -> None:
        """Wait on virtual time until a condition holds; fails after a bound."""
        begun = self.clock.monotonic()
        while not await holds():
            self.check_alive()
            waited = self.clock.monotonic() - begun
            if waited > seconds:
                raise AssertionError(f"after {seconds} s still not: {what}")
            await self._something_happens(max(LOOK_EVERY_SECONDS, waited * LATER_BY))

    async def _something_happens(self, most: float) -> None:
        """A commit has changed rows, or time has passed in which the chain may have gone on: asking any sooner would
        answer the same, and most of a story's processor time went into asking."""
        changes, latest = self._changes, self.clock.monotonic() + most
        while self._changes == changes and self.clock.monotonic() < latest:
            await self.clock.sleep(0.5)
