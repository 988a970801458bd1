"""Tells systemd that the daemon is ready, alive and stopping (sd_notify); does nothing elsewhere."""

import asyncio
import os
import socket
from collections.abc import Callable

from ports.clock import Clock
from storage.errors import StoreUnavailable
from storage.reading import vitals
from storage.store import Store

ALIVE_EVERY_SECONDS = 10.0
"""Well within the unit's WatchdogSec of 60 s."""


class ServiceChannel:
    """Where systemd listens."""

    def __init__(self) -> None:
        self._address = os.environ.get("NOTIFY_SOCKET", "")  # noqa: TID251 (systemd's own channel, no setting)

    def ready(self) -> None:
        self._tell("READY=1")

    def alive(self) -> None:
        self._tell("WATCHDOG=1")

    def stopping(self) -> None:
        self._tell("STOPPING=1")

    def _tell(self, text: str) -> None:
        if not self._address:
            return
        target = "\0" + self._address[1:] if self._address.startswith("@") else self._address
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as channel:
            channel.connect(target)
            channel.sendall(text.encode())


class ServiceManager:
    """`run` until cancelled. The sign of life is a write that reached the disk, not just a turning loop. `alive` is
    told the Unix time of each."""

    def __init__(self, store: Store, clock: Clock, alive: Callable[[float], None]) -> None:
        self._store, self._clock, self._alive = store, clock, alive
        self._channel = ServiceChannel()

    async def run(self) -> None:
        self._channel.ready()
        while True:
            await self._beat()
            await asyncio.sleep(ALIVE_EVERY_SECONDS)

    def stopping(self) -> None:
        self._channel.stopping()

    async def _beat(self) -> None:
        now = self._clock.now()
        try:
            await self._store.write(lambda conn: vitals.beat(conn, now))
        except StoreUnavailable:
            return
        self._alive(now.timestamp())
        self._channel.alive()
