"""Real daemons that are killed with SIGKILL and started again, behind one address."""

import asyncio
import random
import signal
from collections.abc import Awaitable, Callable, Mapping, Sequence
from contextlib import AsyncExitStack
from pathlib import Path

from agent.cli.children import DaemonFailed, running_daemon
from sandbox.world import World
from tests.deploy.monitors import free_port
from tests.soak.balancer import balanced

SHORT_LIFE = (0.2, 3.0)
"""Seconds after it listens: within the start gate, which takes 182 slots of 40 ms, and its looks."""
LONG_LIFE = (10.0, 30.0)
"""Long enough to open it, and then to sell, mint and pay."""

REFUSES = "cannot start: the database"
"""A daemon's last words where its database is dead too: it is started again, as its supervisor would."""


class Fleet:
    """Use as a context manager; `live_and_die` until cancelled or enough, then the last of each place lives on."""

    def __init__(
        self,
        world: World,
        folder: Path,
        own: Sequence[Mapping[str, str]],
        dice: random.Random,
        share_of_short: float = 0.0,
    ) -> None:
        """`own`: for each replica, which of its settings are not the world's."""
        self._world, self._folder, self._dice = world, folder, dice
        self._share_of_short = share_of_short
        self._own = [{**settings, "AGENT_LISTEN": _address(), "AGENT_ADMIN_LISTEN": _address()} for settings in own]
        self.kills = 0
        self.living: dict[int, asyncio.subprocess.Process] = {}
        """By their places, those that are ready."""

    async def __aenter__(self) -> "Fleet":
        self._stack = AsyncExitStack()
        for name, port in (("AGENT_LISTEN", self._world.ports.agent), ("AGENT_ADMIN_LISTEN", self._world.ports.admin)):
            ports = [int(own[name].rpartition(":")[2]) for own in self._own]
            await self._stack.enter_async_context(balanced(port, lambda ports=ports: ports))  # type: ignore[misc]
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._stack.aclose()

    @property
    def ready_urls(self) -> list[str]:
        """Where each replica says whether it is ready."""
        return [_ready_url(own) for own in self._own]

    async def live_and_die(self, goes_on: Callable[[], bool]) -> None:
        """Every replica dies again and again, each at moments of its own, while it `goes_on`; then all live until this
        is cancelled. Raises AssertionError when one ends by itself."""
        async with asyncio.TaskGroup() as group:
            for place in range(len(self._own)):
                group.create_task(self._lives(place, random.Random(self._dice.random()), goes_on))

    async def _lives(self, place: int, dice: random.Random, goes_on: Callable[[], bool]) -> None:
        settings = self._world.environment | self._own[place]
        log = self._folder / f"replica-{place}.log"
        while True:
            try:
                async with running_daemon(settings, _ready_url(settings), log) as process:
                    self.living[place] = process
                    ended = asyncio.create_task(process.wait())
                    life = dice.uniform(*(SHORT_LIFE if dice.random() < self._share_of_short else LONG_LIFE))
                    await asyncio.wait([ended], timeout=life if goes_on() else None)
                    if ended.done():
                        raise AssertionError(f"a replica ended by itself: {log.read_text()[-3000:]}")
                    del self.living[place]
                    process.send_signal(signal.SIGKILL)
                    await ended
                    self.kills += 1
            except DaemonFailed as error:
                if REFUSES not in str(error):
                    raise


async def again_and_again(
    act: Callable[[], Awaitable[None]], gaps: tuple[float, float], dice: random.Random, goes_on: Callable[[], bool]
) -> None:
    """`act` at random moments, until cancelled or it does not go on."""
    while goes_on():
        await asyncio.sleep(dice.uniform(*gaps))
        await act()


def _ready_url(settings: Mapping[str, str]) -> str:
    return f"http://{settings['AGENT_LISTEN']}/readyz"


def _address() -> str:
    return f"127.0.0.1:{free_port()}"
