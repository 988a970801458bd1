"""Tells systemd that the daemon is ready, alive and stopping (sd_notify); does nothing elsewhere."""

import asyncio
import os
import socket

from storage.store import Store

ALIVE_EVERY_SECONDS = 10.0
"""Well within the unit's WatchdogSec of 60 s."""


class ServiceManager:
    """`run` until cancelled. The sign of life is a read of the database, not just a turning loop."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._address = os.environ.get("NOTIFY_SOCKET", "")  # noqa: TID251 (systemd's own channel, no setting)

    async def run(self) -> None:
        self._tell("READY=1")
        while True:
            if await self._store.healthy():
                self._tell("WATCHDOG=1")
            await asyncio.sleep(ALIVE_EVERY_SECONDS)

    def stopping(self) -> None:
        self._tell("STOPPING=1")

    def _tell(self, text: str) -> None:
        if not self._address:
            return
        target = "\0" + self._address[1:] if self._address.startswith("@") else self._address
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as channel:
            channel.connect(target)
            channel.sendall(text.encode())
