"""The switches for faults that only a chain has; those of any HTTP service are in `sandbox.faults`."""

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

MAX_LAG_SLOTS = 150
"""How far an endpoint may lag; the node keeps account pre-images that far behind the finalized slot."""


@dataclass(slots=True)
class Endpoint:
    """One RPC provider, told apart by its path on the same port, with its own view and its own faults."""

    lag_slots: int = 0
    """Its newest slot lies so far behind the chain's; at most `MAX_LAG_SLOTS`."""
    unhealthy: bool = False
    drops_sends: bool = False
    """Answers a signature to sendTransaction and forgets the transaction."""
    keeps_history: bool = True
    """False: a history search finds no more than the status cache."""
    ledger_from: int = 0
    """The first slot that it keeps, having pruned what landed before; 0: it keeps all."""
    silent: bool = False
    """Its WebSocket accepts subscriptions and tells nothing; what happens meanwhile is never told."""
    refuses_sockets: bool = False
    """Takes no WebSocket connection; those that are open are ended by `Subscriptions.drop`."""
    subscriptions_most: int = 10_000
    """Subscriptions that one connection may hold; more are refused, as providers do."""
    hides: set[str] = field(default_factory=set)
    """Signatures it denies knowing, in statuses, transactions and lists."""
    lies: dict[str, Callable[[list[Any]], Any]] = field(default_factory=dict)
    """Method name → what it answers instead, given the parameters."""
    on_answer: list[Callable[[Any, Any], None]] = field(default_factory=list)
    """Called with each request object that it was asked, and with its answer."""


@dataclass(slots=True)
class Switches:
    """What the network itself does to transactions, whoever sends them (the faucet's are exempt)."""

    drop_sends: int = 0
    """So many of the next transactions are lost on the way to the leader."""
    land_after_slots: int = 0
    """Transactions land so many slots late (a blockhash can expire meanwhile: then never)."""
