"""Several endpoints as one: what only guides comes from the first that answers, what something final follows from needs
two that agree, be it there or not there."""

from collections.abc import AsyncIterator, Awaitable, Callable, Collection, Sequence
from functools import partial
from typing import TypeVar

from domain.errors import Misuse, Retryable
from indexer.rpc import sending
from indexer.rpc.endpoint import LAG_SLOTS_MOST, Endpoint, Observe
from indexer.rpc.errors import Disagreement, EndpointError, is_behind
from indexer.rpc.node import SIGNATURES_PAGE_MAX, Node
from indexer.rpc.pace import SlotPace
from indexer.rpc.slot_memory import SlotMemory
from indexer.rpc.testimony import Testimony, attempt
from indexer.rpc.turns import Turns
from indexer.rpc.values import (
    Accounts,
    Amount,
    Commitment,
    EndpointHealth,
    Holder,
    LatestBlockhash,
    ListedSignature,
    SignatureStatuses,
    Simulation,
)
from indexer.together import together
from ports.clock import Clock
from ports.transport import Transport

T = TypeVar("T")
DOUBT_SECONDS = 60.0
"""For so long one endpoint may lie behind another in what it calls final before that is trouble."""
AHEAD_MOST_BLOCKS = 1_500
"""By so much one endpoint may be ahead of the others: some minutes."""
RENT_GOOD_SECONDS = 10.0
"""A burst of mints or groups shares one answer. What was built with a rent that has just risen fails its trial run, and
is built anew a moment later."""
CATCH_UP_SLOTS = 4
"""Between two questions to an endpoint that lags: a dozen of them at most."""
DEADLINE_SECONDS = 10.0
SLOT_SECONDS = 0.2
"""The cluster's target (reference/solana.md, section 1), until it is measured."""
REQUESTS_PER_SECOND = 10.0
"""Per endpoint: what the public endpoints allow one address (100 in 10 s)."""


def _unobserved(_label: str, _method: str, _seconds: float, _outcome: str) -> None:
    """Nobody measures."""


class RpcPool:
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
        if not urls:
            raise Misuse("no RPC endpoint is configured")
        shares = weights or [1, *([0] * (len(urls) - 1))]
        rates = (
            [requests_per_second] * len(urls) if isinstance(requests_per_second, int | float) else requests_per_second
        )
        self._endpoints = [
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
        self._pace = SlotPace(slot_seconds)
        self._memory = SlotMemory(self._endpoints, clock, self._pace, disbelieved)
        self._turns = Turns(self._endpoints)
        self._clock = clock
        self._rents: dict[int, tuple[float, int]] = {}
        self._unanswered_since: float | None = None
        self._doubted: dict[str, float] = {}

    @property
    def witnesses(self) -> int:
        """How many endpoints must say something before it holds: two, or one where only one is configured."""
        return self._memory.witnesses

    @property
    def finalized_slot(self) -> int:
        """The highest finalized slot that an endpoint has shown and that counts; 0 before there is one."""
        return self._memory.finalized

    @property
    def pace(self) -> SlotPace:
        """The cluster's slot time, from what the answers show; waits and time-outs follow it."""
        return self._pace

    def health(self) -> list[EndpointHealth]:
        return [endpoint.health() for endpoint in self._endpoints]

    def trouble(self) -> list[str]:
        """Why the chain can't be read or nothing can be proven now, a sentence each, without an address; empty while
        all is well."""
        if self._unanswered_since is not None:
            seconds = self._clock.monotonic() - self._unanswered_since
            return [f"no RPC endpoint has answered for {seconds:.0f} s"]
        return [*self._too_few_well(), *self._contradictions()]

    def _too_few_well(self) -> list[str]:
        well = [endpoint for endpoint in self._endpoints if endpoint.is_well]
        if len(well) >= self.witnesses:
            return []
        unwell = ", ".join(endpoint.name for endpoint in self._endpoints if not endpoint.is_well)
        return [f"{len(well)} of {len(self._endpoints)} RPC endpoints are well, {self.witnesses} needed; not: {unwell}"]

    def _contradictions(self) -> list[str]:
        now = self._clock.monotonic()
        lasting = sum(now - since >= DOUBT_SECONDS for since in self._doubted.values())
        return [f"{lasting} transactions are final by the word of one RPC endpoint alone"] if lasting else []

    def doubt(self, signatures: Collection[str]) -> None:
        """These are final by the word of one endpoint alone, and no others are."""
        now = self._clock.monotonic()
        self._doubted = {signature: self._doubted.get(signature, now) for signature in signatures}

    async def look_around(self) -> list[EndpointHealth]:
        """Ask every endpoint how far it is, so that one that lags is known before it is needed. Raises Retryable."""
        try:
            await self.survey(lambda node: node.get_slot("finalized"))
        finally:
            for endpoint in self._endpoints:
                endpoint.lag_slots = max(0, self._memory.newest - endpoint.finalized_slot)
        return self.health()

    # --- questions of several calls -------------------------------------------------------------------------------

    async def ask(self, question: Callable[[Node], Awaitable[T]], *, first: str = "") -> T:
        """Put a question to one endpoint after the other until one answers all of it. `first`: the label of the one to
        begin with, where that matters."""
        return (await self.tell(question, first=first)).answer

    async def tell(self, question: Callable[[Node], Awaitable[T]], *, first: str = "") -> Testimony[T]:
        """As `ask`, with the name of the endpoint that answered. One that only lags is waited for where no other one
        answers: what it is held to may be the word of one that is ahead of the chain."""
        return await self._tell(question, sorted(self._nodes(), key=lambda node: node.label != first))

    async def tell_soon(self, question: Callable[[Node], Awaitable[T]]) -> Testimony[T]:
        """As `tell`, by whichever endpoint can be asked soonest."""
        return await self._tell(
            question, [Node(one, self._memory, self._memory.finalized) for one in self._turns.soonest()]
        )

    async def _tell(self, question: Callable[[Node], Awaitable[T]], nodes: Sequence[Node]) -> Testimony[T]:
        failed: list[EndpointError] = []
        for node in nodes:
            told = await attempt(question, node)
            if isinstance(told, Testimony):
                self._unanswered_since = None
                return told
            failed.append(told)
        patient = partial(self._once_there, question, self._patience())
        for node in [node for node, error in zip(nodes, failed, strict=True) if is_behind(error)]:
            told = await attempt(patient, node)
            if isinstance(told, Testimony):
                self._unanswered_since = None
                return told
        raise self._none_answered(failed)

    async def others(self, question: Callable[[Node], Awaitable[T]], beside: str) -> AsyncIterator[T]:
        """What the endpoints other than `beside` say, one after the other, for as long as the caller asks."""
        for endpoint in self._turns.as_they_are():
            if endpoint.label == beside:
                continue
            told = await attempt(question, Node(endpoint, self._memory, self._memory.witnessed))
            if isinstance(told, Testimony):
                yield told.answer

    async def vouched(self, question: Callable[[Node], Awaitable[T]], told: Testimony[T] | None = None) -> T:
        """What something final follows from: the first answer that as many endpoints give as there must be witnesses.

        No more of them are asked than that takes, and not again the one whose answer is `told`. Raises Disagreement
        when no two say the same, Retryable when too few answer.
        """
        given = [] if told is None else [told]
        if len(given) >= self.witnesses:
            return given[0].answer
        nodes = [node for node in self._nodes(self._memory.witnessed) if told is None or node.label != told.label]
        most = len(given)
        failed: list[EndpointError] = []
        while nodes and most < self.witnesses:
            asked, nodes = nodes[: self.witnesses - most], nodes[self.witnesses - most :]
            answered, lost = await self._put(question, asked)
            given, failed = [*given, *answered], [*failed, *lost]
            answers = [one.answer for one in given]
            most = max(map(answers.count, answers), default=0)
            if most >= self.witnesses:
                return next(one for one in answers if answers.count(one) == most)
        if len(given) < self.witnesses:
            raise self._none_answered(failed, self.witnesses, answered=len(given))
        raise Disagreement(f"no two endpoints say the same: {', '.join(one.label for one in given)}")

    async def hear(self, question: Callable[[Node], Awaitable[T]]) -> list[Testimony[T]]:
        """What each endpoint answers that does, at least one of them, from any slot."""
        return await self._ask_all(question, self._nodes(0), 1)

    async def testify(self, question: Callable[[Node], Awaitable[T]], *, floor: int = 0) -> list[Testimony[T]]:
        """Put a question to all endpoints at once; at least `witnesses` must answer, from slot `floor` or later.

        The floor is the question's own and not the pool's: an endpoint some slots behind another is a good witness of
        what happened before both.
        """
        return await self._ask_all(question, self._nodes(floor), self.witnesses)

    async def survey(self, question: Callable[[Node], Awaitable[T]]) -> list[T]:
        """What each endpoint answers, excluded ones too; those that do not answer are left out, at least one does."""
        nodes = [Node(endpoint, self._memory, 0) for endpoint in self._endpoints]
        return [one.answer for one in await self._ask_all(question, nodes, 1)]

    async def _ask_all(
        self, question: Callable[[Node], Awaitable[T]], nodes: Sequence[Node], needed: int
    ) -> list[Testimony[T]]:
        answered, failed = await self._put(question, nodes)
        if len(answered) < needed:
            raise self._none_answered(failed, needed, answered=len(answered))
        return answered

    async def _put(
        self, question: Callable[[Node], Awaitable[T]], nodes: Sequence[Node]
    ) -> tuple[list[Testimony[T]], list[EndpointError]]:
        """What they answer, asked at once, and why the others do not."""
        results = await together([attempt(question, node) for node in nodes])
        answered = [one for one in results if isinstance(one, Testimony)]
        if answered:
            self._unanswered_since = None
        return answered, [one for one in results if isinstance(one, EndpointError)]

    async def agree(self, question: Callable[[Node], Awaitable[T]], *, floor: int | None = None) -> T:
        """A fact that counts only if all endpoints that answer say the same, two at least where two are configured.

        For what is *not* there. Raises Disagreement, or Retryable when too few answered. `floor`: the slot they must
        have reached, by default the highest that two have shown. One that has not is waited for, as long as one that is
        well may need: by the time of a later try the highest slot would again be one that it has not reached.
        """
        nodes = self._nodes(self._memory.witnessed if floor is None else floor)
        given = await self._ask_all(partial(self._once_there, question, self._patience()), nodes, self.witnesses)
        if any(one.answer != given[0].answer for one in given):
            raise Disagreement(f"endpoints disagree: {', '.join(one.label for one in given)}")
        return given[0].answer

    def _patience(self) -> float:
        """Until when an endpoint is waited for that has not got as far as it is held to."""
        return self._clock.monotonic() + LAG_SLOTS_MOST * self._pace.seconds

    async def _once_there(self, question: Callable[[Node], Awaitable[T]], give_up: float, node: Node) -> T:
        while True:
            try:
                return await question(node)
            except EndpointError as error:
                if not is_behind(error) or self._clock.monotonic() >= give_up:
                    raise
            await self._clock.sleep(CATCH_UP_SLOTS * self._pace.seconds)

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

    async def is_blockhash_valid(self, blockhash: str, commitment: Commitment = "confirmed") -> bool:
        return await self.ask(lambda node: node.is_blockhash_valid(blockhash, commitment))

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

    async def largest_holders(self, mint: str) -> list[Holder]:
        """Up to 20 token accounts of a mint, largest first, at finalized."""
        return await self.ask(lambda node: node.largest_holders(mint))

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

    async def get_transaction(self, signature: str, commitment: Commitment = "finalized") -> object:
        """The raw `result`; None when every endpoint that answered does not know it."""
        failed: list[EndpointError] = []
        answered = False
        for node in self._nodes():
            try:
                found = await node.get_transaction(signature, commitment)
            except EndpointError as error:
                failed.append(error)
                continue
            if found is not None:
                return found
            answered = True
        if answered:
            return None
        raise self._none_answered(failed)

    async def get_signatures_for_address(
        self,
        address: str,
        *,
        before: str | None = None,
        until: str | None = None,
        limit: int = SIGNATURES_PAGE_MAX,
        commitment: Commitment = "finalized",
        min_context_slot: int = 0,
    ) -> list[ListedSignature]:
        """One page, newest first. Pages that belong together are asked of one endpoint: `ask`."""
        return await self.ask(
            lambda node: node.get_signatures_for_address(
                address,
                before=before,
                until=until,
                limit=limit,
                commitment=commitment,
                min_context_slot=min_context_slot,
            )
        )

    async def simulate(self, wire: bytes, commitment: Commitment = "confirmed") -> Simulation:
        return await self.ask(lambda node: node.simulate(wire, commitment))

    async def priority_fees(self, accounts: Sequence[str]) -> list[int]:
        """Micro-lamports per compute unit in recent slots, for transactions that write these accounts."""
        return await self.ask(lambda node: node.priority_fees(accounts))

    async def send(self, wire: bytes, *, skip_preflight: bool = False, min_context_slot: int = 0) -> str:
        """Hand over a signed transaction; see `sending.send` for what it raises. First time with preflight and the
        blockhash's slot, on resends without."""
        nodes = self._nodes(0)
        return await sending.send(nodes, wire, skip_preflight=skip_preflight, min_context_slot=min_context_slot)

    def _nodes(self, floor: int | None = None) -> list[Node]:
        """Endpoints in the order to ask them: by weight, those that lag or rest after an error last."""
        at = self._memory.finalized if floor is None else floor
        return [Node(endpoint, self._memory, at) for endpoint in self._turns.next()]

    def _none_answered(self, failed: Sequence[EndpointError], needed: int = 1, answered: int = 0) -> Retryable:
        if not answered and self._unanswered_since is None:
            self._unanswered_since = self._clock.monotonic()
        retry_after = max((error.retry_after_seconds or 0.0 for error in failed), default=0.0) or None
        reasons = "; ".join([*(str(error) for error in failed), *self._exclusions()])
        want = "no RPC endpoint answered" if needed == 1 else f"fewer than {needed} RPC endpoints answered"
        return Retryable(f"{want}: {reasons}", retry_after)

    def _exclusions(self) -> list[str]:
        return [
            f"{endpoint.label} is left out: {endpoint.excluded}" for endpoint in self._endpoints if endpoint.excluded
        ]
