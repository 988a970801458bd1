"""Outgoing WebSockets as a port: one connection that carries texts both ways until it breaks."""

from typing import Protocol


class SocketBroken(Exception):
    """The connection could not be made, broke, or was closed by the other side. What was under way is lost."""


class Socket(Protocol):
    """One open connection. `close` may be called twice; everything else raises SocketBroken once it is gone."""

    async def send(self, text: str) -> None: ...

    async def receive(self) -> str:
        """The next text; waits as long as it takes."""
        ...

    async def close(self) -> None: ...


class Sockets(Protocol):
    async def open(self, url: str) -> Socket:
        """Raises SocketBroken. Never retries."""
        ...

    async def close(self) -> None: ...
