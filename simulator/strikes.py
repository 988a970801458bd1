"""Whether what goes wrong meets anything: its strikes are counted where they happen, and the first can be awaited."""

import asyncio
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from sandbox.solana_node import SolanaNode
from sandbox.solana_node.endpoints import Endpoint

HONEST = "/honest"
"""An endpoint without switches."""
READS = frozenset(
    {
        "getAccountInfo",
        "getBalance",
        "getMultipleAccounts",
        "getSignaturesForAddress",
        "getSignatureStatuses",
        "getTokenAccountBalance",
        "getTokenAccountsByOwner",
        "getTransaction",
    }
)
"""What tells of money. That an endpoint is behind shows in its heights at any time, and changes nothing by itself."""
MOVES_ON = frozenset({"context", "confirmations"})


@dataclass(slots=True)
class Tally:
    """`note` what was struck."""

    count: int = 0
    met: asyncio.Event = field(default_factory=asyncio.Event)

    def note(self) -> None:
        self.count += 1
        self.met.set()

    def of(self, heard: list[Callable[[], None]]) -> Callable[[], None]:
        """Count what is called there, until the answer is called."""
        heard.append(self.note)
        return lambda: heard.remove(self.note)


@dataclass(slots=True)
class Answers:
    """Counts what an endpoint answers otherwise than an honest one would now."""

    node: SolanaNode
    endpoint: Endpoint
    methods: frozenset[str] = READS
    tally: Tally = field(default_factory=Tally)

    def begin(self) -> None:
        self.endpoint.on_answer.append(self._judge)

    def end(self) -> None:
        self.endpoint.on_answer.remove(self._judge)

    def _judge(self, asked: Any, answer: Any) -> None:
        if not isinstance(asked, dict) or asked.get("method") not in self.methods:
            return
        if _told(answer) != _told(self.node.answer_call(HONEST, asked)):
            self.tally.note()


def _told(answer: Any) -> Any:
    """Without what is another at every slot."""
    if isinstance(answer, dict):
        return {name: _told(value) for name, value in answer.items() if name not in MOVES_ON}
    return [_told(one) for one in answer] if isinstance(answer, list) else answer


def _begun() -> asyncio.Event:
    event = asyncio.Event()
    event.set()
    return event


@dataclass(slots=True)
class Ended:
    """What a storm leaves to be undone, and how often it struck. Until it has `met` something it does not pass."""

    undo: Callable[[], None]
    struck: Callable[[], int]
    met: asyncio.Event = field(default_factory=_begun)
