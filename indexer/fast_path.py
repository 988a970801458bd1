"""Told instead of asking: a WebSocket says when a signature is confirmed and how far the chain is rooted.

What it says is a hint. The tracker asks over HTTP before anything is written, so a socket that lies, lags or falls
silent costs calls and time and never a wrong fate; polling goes on underneath as the net.
"""

from collections.abc import Callable, Collection
from typing import Protocol

import orjson
import structlog

from indexer.effects.errors import MalformedAnswer
from indexer.effects.shape import fields, malformed, whole
from indexer.rpc.answers import COUNT_MAX, with_context
from indexer.rpc.pace import SlotPace
from indexer.together import together
from ports.clock import Clock
from ports.sockets import Socket, SocketBroken, Sockets
from ports.waking import Bell

_log = structlog.get_logger(__name__)

SUBSCRIPTIONS_MOST = 1_000
"""Signatures on one connection; providers allow from some hundreds to some thousands. The rest is polled."""
SILENT_SLOTS = 50
"""Without news of a slot for so long the connection counts as dead: a node tells each slot."""
IDLE_SECONDS = 60.0
"""With nothing to follow for so long the connection is given up: a node tells five slots a second, to nobody's use."""
FIRST_PAUSE_SECONDS = 0.5
LONGEST_PAUSE_SECONDS = 30.0
"""Between tries to connect, twice as long each time."""
STEADY_SECONDS = 60.0
"""A connection that held so long was a good one: the next try comes soon again."""

Observe = Callable[[bool, int], None]
"""Told whether a connection stands now, and how many were made since the start."""


class Listener(Protocol):
    """The tracker, as it is told."""

    def heard(self, signature: str) -> None:
        """Something happened to it."""
        ...

    def rooted(self, slot: int) -> None:
        """The newest finalized slot."""
        ...

    def follows(self) -> None:
        """More signatures are followed from now on; what happened to them before has to be asked for once."""
        ...


class _Enough(Exception):
    """Nothing has been wanted for a while."""


class _Session:
    """What is known of one connection. A request's id is also its signature's place until the node gave a number."""

    def __init__(self, socket: Socket, opened_at: float) -> None:
        self.socket, self.opened_at = socket, opened_at
        self.asked: dict[int, str] = {}
        """Request id → signature, until the node has answered."""
        self.numbers: dict[int, str] = {}
        """The node's number of a subscription → signature."""
        self.followed_at: dict[str, float] = {}
        """Signature → when the node has confirmed its subscription."""
        self.most = SUBSCRIPTIONS_MOST
        self.last_id = 0
        self.slot_heard_at = opened_at
        self.closing: set[int] = set()

    def taken(self) -> set[str]:
        return {*self.asked.values(), *self.followed_at}

    def forget(self, number: int) -> str | None:
        signature = self.numbers.pop(number, None)
        if signature is not None:
            del self.followed_at[signature]
        return signature


class FastPath:
    """Run `run` once per process. Connects only while there is something to follow."""

    def __init__(
        self,
        sockets: Sockets,
        url: str,
        clock: Clock,
        pace: SlotPace,
        *,
        observe: Observe = lambda connected, made: None,
    ) -> None:
        self._sockets, self._url, self._clock, self._pace, self._observe = sockets, url, clock, pace, observe
        self._wanted: set[str] = set()
        self._wanted_at = clock.monotonic()
        self._bell = Bell(clock)
        self._session: _Session | None = None
        self._made = 0

    @property
    def is_live(self) -> bool:
        """Whether slots are being told now."""
        return self._session is not None

    def want(self, signatures: Collection[str]) -> None:
        """Follow these and no others, as far as one connection takes them."""
        wanted = set(signatures)
        if wanted:
            self._wanted_at = self._clock.monotonic()
        if wanted != self._wanted:
            self._wanted = wanted
            self._bell.ring()

    def covers(self, signature: str, asked_at: float) -> bool:
        """Whether anything that happened to it since `asked_at` (monotonic) would have been told."""
        followed_at = None if self._session is None else self._session.followed_at.get(signature)
        return followed_at is not None and followed_at <= asked_at

    async def run(self, listener: Listener) -> None:
        """Until cancelled: connect, follow, and connect again after a break."""
        failures = 0
        while True:
            if not self._wanted:
                await self._bell.wait(IDLE_SECONDS)
                continue
            begun = self._clock.monotonic()
            try:
                await self._follow(listener)
                failures = 0
            except SocketBroken as error:
                failures = 1 if self._clock.monotonic() - begun > STEADY_SECONDS else failures + 1
                if failures == 1:
                    _log.warning("websocket_lost", error=str(error), meanwhile="signatures are polled")
                pause = FIRST_PAUSE_SECONDS * 2.0 ** min(failures - 1, 10)
                await self._clock.sleep(min(pause, LONGEST_PAUSE_SECONDS))

    async def _follow(self, listener: Listener) -> None:
        """One connection, to its end. Raises SocketBroken; returns when nothing is wanted any more."""
        socket = await self._sockets.open(self._url)
        session = _Session(socket, self._clock.monotonic())
        try:
            await together([self._listen(session, listener), self._subscribe(session), self._watch(session)])
        except _Enough:
            return
        finally:
            self._session = None
            self._observe(False, self._made)
            await socket.close()

    async def _subscribe(self, session: _Session) -> None:
        await self._send(session, "slotSubscribe", [])
        while True:
            room = max(0, session.most - len(session.taken()))
            for signature in sorted(self._wanted - session.taken())[:room]:
                request = await self._send(session, "signatureSubscribe", [signature, {"commitment": "confirmed"}])
                session.asked[request] = signature
            for number in [one for one, signature in session.numbers.items() if signature not in self._wanted]:
                session.forget(number)
                session.closing.add(await self._send(session, "signatureUnsubscribe", [number]))
            await self._bell.wait(IDLE_SECONDS)
            if not self._wanted and self._clock.monotonic() - self._wanted_at >= IDLE_SECONDS:
                raise _Enough

    async def _send(self, session: _Session, method: str, params: list[object]) -> int:
        session.last_id += 1
        body = {"jsonrpc": "2.0", "id": session.last_id, "method": method, "params": params}
        await session.socket.send(orjson.dumps(body).decode())
        return session.last_id

    async def _watch(self, session: _Session) -> None:
        """Notice a connection that says nothing any more."""
        while True:
            await self._clock.sleep(SILENT_SLOTS * self._pace.seconds / 2)
            if self._clock.monotonic() - session.slot_heard_at > SILENT_SLOTS * self._pace.seconds:
                raise SocketBroken("no slot was told for too long")

    async def _listen(self, session: _Session, listener: Listener) -> None:
        while True:
            text = await session.socket.receive()
            try:
                told = fields(orjson.loads(text), "message")
                if "method" in told:
                    self._told(session, told, listener)
                else:
                    self._answered(session, told, listener)
            except (orjson.JSONDecodeError, MalformedAnswer) as error:
                raise SocketBroken(f"it told something of no known shape: {error}") from error

    def _answered(self, session: _Session, answer: dict[str, object], listener: Listener) -> None:
        request = whole(answer.get("id"), "id", COUNT_MAX)
        if request in session.closing:
            session.closing.discard(request)
            return
        signature = session.asked.pop(request, None)
        if signature is None:
            if "result" not in answer:
                malformed("answer to slotSubscribe", "a subscription")
            self._opened(session)
        elif "error" in answer:  # most often: no more of them on one connection
            session.most = len(session.taken())
        else:
            session.numbers[whole(answer.get("result"), "result", COUNT_MAX)] = signature
            session.followed_at[signature] = self._clock.monotonic()
            listener.follows()

    def _opened(self, session: _Session) -> None:
        self._session = session
        self._made += 1
        self._observe(True, self._made)

    def _told(self, session: _Session, told: dict[str, object], listener: Listener) -> None:
        params = fields(told.get("params"), "params")
        if told["method"] == "slotNotification":
            session.slot_heard_at = self._clock.monotonic()
            listener.rooted(whole(fields(params.get("result"), "result").get("root"), "root", COUNT_MAX))
        elif told["method"] == "signatureNotification":
            with_context(params.get("result"))
            signature = session.forget(whole(params.get("subscription"), "subscription", COUNT_MAX))
            if signature is not None:
                listener.heard(signature)
