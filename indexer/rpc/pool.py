"""Several endpoints as one: what only guides comes from the first that answers, what something final follows from is
the witnesses' to say."""

from collections.abc import Awaitable, Callable, Collection, Sequence
from typing import TypeVar

from indexer.rpc import sending
from indexer.rpc.endpoint import Observe
from indexer.rpc.errors import EndpointError, is_behind
from indexer.rpc.node import Node
from indexer.rpc.pace import SlotPace
from indexer.rpc.patience import Patience
from indexer.rpc.roster import Roster, endpoints_at
from indexer.rpc.testimony import Testimony, attempt
from indexer.rpc.trouble import Trouble
from indexer.rpc.values import (
    Accounts,
    Amount,
    Commitment,
    EndpointHealth,
    LatestBlockhash,
    SignatureStatuses,
    Simulation,
)
from indexer.rpc.witnesses import Witnesses
from ports.clock import Clock
from ports.transport import Transport

T = TypeVar("T")
AHEAD_MOST_BLOCKS = 1_500
"""By so much one endpoint may be ahead of the others: some minutes."""
RENT_GOOD_SECONDS = 10.0
"""A burst of mints or groups shares one answer. What was built with a rent that has just risen fails its trial run, and
is built anew a moment later."""
DEADLINE_SECONDS = 10.0
SLOT_SECONDS = 0.2
"""The cluster's target (reference/solana.md, section 1), until it is measured."""
REQUESTS_PER_SECOND = 10.0
"""Per endpoint: what the public endpoints allow one address (100 in 10 s)."""


def _unobserved(_label: str, _method: str, _seconds: float, _outcome: str) -> None:
    """Nobody measures."""


class RpcPool(Witnesses):
    """All reads raise Retryable when no endpoint gave a usable answer; that never means "not found"."""

    def __init__(
        self,
        urls: Sequence[str],
        transport: Transport,
        clock: Clock,
        *,
        weights: Sequence[int] = (),
        requests_per_second: float | Sequence[float] = REQUESTS_PER_SECOND,
        deadline_seconds: float = DEADLINE_SECONDS,
        slot_seconds: float = SLOT_SECONDS,
        observe: Observe = _unobserved,
        disbelieved: Callable[[str], None] = lambda _label: None,
    ) -> None:
        """`weights` and `requests_per_second`: one for each URL. Without weights the first URL is asked and the others
        are its reserve; one rate holds for each of them. `slot_seconds` is what the settings say of the cluster.
        `disbelieved` is told the label of an endpoint that shows a slot where the chain can't be."""
        self._pace = SlotPace(slot_seconds)
        endpoints = endpoints_at(
            urls,
            transport,
            clock,
            weights=weights,
            requests_per_second=requests_per_second,
            deadline_seconds=deadline_seconds,
            observe=observe,
        )
        roster = Roster(endpoints, clock, self._pace, disbelieved)
        super().__init__(roster, Trouble(roster, clock), Patience(clock, self._pace))
        self._clock = clock
        self._rents: dict[int, tuple[float, int]] = {}

    @property
    def finalized_slot(self) -> int:
        """The highest finalized slot that an endpoint has shown and that counts; 0 before there is one."""
        return self._roster.memory.finalized

    @property
    def pace(self) -> SlotPace:
        """The cluster's slot time, from what the answers show; waits and time-outs follow it."""
        return self._pace

    # --- health ---------------------------------------------------------------------------------------------------

    def health(self) -> list[EndpointHealth]:
        return [endpoint.health() for endpoint in self._roster.endpoints]

    def trouble(self) -> list[str]:
        """Why the chain can't be read or nothing can be proven now, a sentence each, without an address; empty while
        all is well."""
        return self._trouble.sentences()

    def doubt(self, signatures: Collection[str]) -> None:
        """These are final by the word of one endpoint alone, and no others are."""
        self._trouble.doubt(signatures)

    async def look_around(self) -> list[EndpointHealth]:
        """Ask every endpoint how far it is, so that one that lags is known before it is needed. Raises Retryable."""
        try:
            await self.survey(lambda node: node.get_slot("finalized"))
        finally:
            self._roster.note_lags()
        return self.health()

    # --- questions of several calls, for the first that answers ----------------------------------------------------

    async def ask(self, question: Callable[[Node], Awaitable[T]], *, first: str = "") -> T:
        """Put a question to one endpoint after the other until one answers all of it. `first`: the label of the one to
        begin with, where that matters."""
        return (await self.tell(question, first=first)).answer

    async def tell(self, question: Callable[[Node], Awaitable[T]], *, first: str = "") -> Testimony[T]:
        """As `ask`, with the name of the endpoint that answered. One that only lags is waited for where no other one
        answers: what it is held to may be the word of one that is ahead of the chain."""
        return await self._tell(question, sorted(self._roster.in_turn(), key=lambda node: node.label != first))

    async def tell_soon(self, question: Callable[[Node], Awaitable[T]]) -> Testimony[T]:
        """As `tell`, by whichever endpoint can be asked soonest."""
        return await self._tell(question, self._roster.soonest())

    async def _tell(self, question: Callable[[Node], Awaitable[T]], nodes: Sequence[Node]) -> Testimony[T]:
        failed: list[EndpointError] = []
        for node in nodes:
            told = await attempt(question, node)
            if isinstance(told, Testimony):
                self._trouble.answered()
                return told
            failed.append(told)
        patient = self._patience.patiently(question)
        for node in [node for node, error in zip(nodes, failed, strict=True) if is_behind(error)]:
            told = await attempt(patient, node)
            if isinstance(told, Testimony):
                self._trouble.answered()
                return told
        raise self._trouble.none_answered(failed)

    # --- single reads ---------------------------------------------------------------------------------------------

    async def get_genesis_hash(self) -> str:
        return await self.ask(lambda node: node.get_genesis_hash())

    async def get_version(self) -> str:
        return await self.ask(lambda node: node.get_version())

    async def get_slot(self, commitment: Commitment = "finalized") -> int:
        return await self.ask(lambda node: node.get_slot(commitment))

    async def get_block_height(self, commitment: Commitment = "finalized") -> int:
        return await self.ask(lambda node: node.get_block_height(commitment))

    async def highest_block_height(self) -> int:
        """The highest finalized one that any endpoint tells; not by its word alone one that is absurd."""
        told = await self._block_heights()
        witnessed = told[self.witnesses - 1]
        return max(height for height in told if height <= witnessed + AHEAD_MOST_BLOCKS)

    async def witnessed_block_height(self) -> int:
        """The highest finalized one that as many endpoints have reached as there must be witnesses."""
        return (await self._block_heights())[self.witnesses - 1]

    async def _block_heights(self) -> list[int]:
        told = await self.testify(lambda node: node.get_block_height("finalized"))
        return sorted((one.answer for one in told), reverse=True)

    async def latest_blockhash(self, commitment: Commitment = "confirmed") -> LatestBlockhash:
        """Read right before signing. At `confirmed`: a finalized one has lived 32 of its 150 blocks already, and should
        a fork undo the confirmed block, the transaction never lands and is proven expired like any other."""
        return await self.ask(lambda node: node.latest_blockhash(commitment))

    async def get_balance(self, address: str, commitment: Commitment = "finalized") -> Amount:
        """Lamports."""
        return await self.ask(lambda node: node.get_balance(address, commitment))

    async def get_token_amount(self, account: str, commitment: Commitment = "finalized") -> Amount:
        """Base units in a token account; 0 where there is none."""
        return await self.ask(lambda node: node.get_token_amount(account, commitment))

    async def get_accounts(self, addresses: Sequence[str], commitment: Commitment = "finalized") -> Accounts:
        """Up to 100 accounts as raw bytes with owner and lamports. That one is None is this endpoint's word alone: for
        a fact of absence use `agree_absent`."""
        return await self.ask(lambda node: node.get_accounts(addresses, commitment))

    async def agree_absent(self, address: str) -> bool:
        """Whether no account is there at finalized, by two endpoints where two are configured."""

        async def absent(node: Node) -> bool:
            return (await node.get_accounts([address])).accounts == (None,)

        return await self.agree(absent)

    async def fee_of(self, message: bytes) -> int | None:
        """Lamports that a transaction with this message pays; None where its blockhash is too old."""
        return await self.ask(lambda node: node.fee_of(message))

    async def minimum_rent(self, size: int) -> int:
        """Lamports that keep `size` data bytes alive; an answer is used for some seconds."""
        known = self._rents.get(size)
        if known is None or self._clock.monotonic() - known[0] > RENT_GOOD_SECONDS:
            lamports = await self.ask(lambda node: node.minimum_rent(size))
            known = self._rents[size] = (self._clock.monotonic(), lamports)
        return known[1]

    async def get_signature_statuses(
        self, signatures: Sequence[str], *, search_history: bool = False
    ) -> SignatureStatuses:
        """Up to 256 at once. None = one endpoint does not know it, which proves nothing."""
        return await self.ask(lambda node: node.get_signature_statuses(signatures, search_history=search_history))

    async def simulate(self, wire: bytes, commitment: Commitment = "confirmed") -> Simulation:
        return await self.ask(lambda node: node.simulate(wire, commitment))

    async def priority_fees(self, accounts: Sequence[str]) -> list[int]:
        """Micro-lamports per compute unit in recent slots, for transactions that write these accounts."""
        return await self.ask(lambda node: node.priority_fees(accounts))

    async def send(self, wire: bytes, *, skip_preflight: bool = False, min_context_slot: int = 0) -> str:
        """Hand over a signed transaction; see `sending.send` for what it raises. First time with preflight and the
        blockhash's slot, on resends without."""
        nodes = self._roster.in_turn(0)
        return await sending.send(nodes, wire, skip_preflight=skip_preflight, min_context_slot=min_context_slot)
