"""The endpoints there are: which of them is asked, in which order, and held to which slot."""

from collections.abc import Callable, Iterator, Sequence

from domain.errors import Misuse
from indexer.rpc.endpoint import Endpoint, Observe
from indexer.rpc.node import Node
from indexer.rpc.pace import SlotPace
from indexer.rpc.slot_memory import SlotMemory
from indexer.rpc.turns import Turns
from ports.clock import Clock
from ports.transport import Transport


def endpoints_at(
    urls: Sequence[str],
    transport: Transport,
    clock: Clock,
    *,
    weights: Sequence[int],
    requests_per_second: float | Sequence[float],
    deadline_seconds: float,
    observe: Observe,
) -> list[Endpoint]:
    """Raises Misuse where there is no URL."""
    if not urls:
        raise Misuse("no RPC endpoint is configured")
    shares = weights or [1, *([0] * (len(urls) - 1))]
    rates = [requests_per_second] * len(urls) if isinstance(requests_per_second, int | float) else requests_per_second
    return [
        Endpoint(
            number,
            url,
            transport,
            clock,
            weight=weight,
            requests_per_second=rate,
            deadline_seconds=deadline_seconds,
            observe=observe,
        )
        for number, (url, weight, rate) in enumerate(zip(urls, shares, rates, strict=True), start=1)
    ]


class Roster:
    """Hands out endpoints as nodes, each held to answers that are not older than its caller bears."""

    def __init__(
        self, endpoints: Sequence[Endpoint], clock: Clock, pace: SlotPace, disbelieved: Callable[[str], None]
    ) -> None:
        self.endpoints = endpoints
        self.memory = SlotMemory(endpoints, clock, pace, disbelieved)
        self._turns = Turns(endpoints)

    def in_turn(self, floor: int | None = None) -> list[Node]:
        """By weight, those that lag or rest after an error last; `floor` None: the highest slot that counts."""
        at = self.memory.finalized if floor is None else floor
        return [Node(endpoint, self.memory, at) for endpoint in self._turns.next()]

    def soonest(self) -> list[Node]:
        """Whoever can be asked soonest first."""
        at = self.memory.finalized
        return [Node(endpoint, self.memory, at) for endpoint in self._turns.soonest()]

    def beside(self, label: str) -> Iterator[Node]:
        """All but that one, for a second opinion; nobody's turn is used up."""
        for endpoint in self._turns.as_they_are():
            if endpoint.label != label:
                yield Node(endpoint, self.memory, self.memory.witnessed)

    def everybody(self) -> list[Node]:
        """Excluded ones too, from any slot."""
        return [Node(endpoint, self.memory, 0) for endpoint in self.endpoints]

    def note_lags(self) -> None:
        """Tell each how far it is behind: of use right after all were asked together."""
        for endpoint in self.endpoints:
            endpoint.lag_slots = max(0, self.memory.newest - endpoint.finalized_slot)
