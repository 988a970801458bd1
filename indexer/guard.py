"""Is this the chain we were told it is? Asked at start; every complaint is one line that names the setting."""

from collections.abc import Mapping
from dataclasses import dataclass

from chain import programs
from chain.addresses import ata
from domain.errors import Rejected, Retryable
from indexer.effects.accounts import Account, parse_mint, parse_token_account
from indexer.effects.errors import MalformedAnswer
from indexer.rpc.node import Node
from indexer.rpc.pool import RpcPool
from ports.clock import Clock

GENESIS_HASHES: Mapping[str, str] = {
    "mainnet": "5eykt4UsFv8P8NJdTREpY1vzqKqZKvdpKuc147dw2N9d",
    "devnet": "EtWTRABZaYq6iMfeYKouRu166VU2xqa1wcaWoxPkrZBG",
}
"""What getGenesisHash answers on Solana's own clusters."""
MEASURED_SLOTS = 10
"""Slots over which the slot time is measured: two seconds at today's 200 ms."""
STANDSTILL_FACTOR = 5
"""A chain that takes this many times longer than the settings say counts as standing still."""


@dataclass(frozen=True, slots=True)
class ChainFacts:
    """What was found. `slot_seconds` is measured."""

    genesis_hash: str
    version: str
    finalized_slot: int
    slot_seconds: float


class ChainGuard:
    """`expected_genesis` is the cluster's hash (`GENESIS_HASHES`, or the one stored at first start)."""

    def __init__(
        self,
        rpc: RpcPool,
        clock: Clock,
        *,
        expected_genesis: str,
        usdc_mint: str,
        platform_wallet: str,
    ) -> None:
        self._rpc, self._clock = rpc, clock
        self._genesis, self._usdc_mint, self._wallet = expected_genesis, usdc_mint, platform_wallet

    async def check(self) -> ChainFacts:
        """Raises Rejected with `rpc_unreachable`, `wrong_cluster`, `wrong_usdc_mint`, `usdc_frozen` or
        `chain_stands_still`; the message is for the operator."""
        version = await self._check_cluster()
        await self._check_usdc()
        slot, seconds = await self._measure_slots()
        return ChainFacts(self._genesis, version, slot, seconds)

    async def _check_cluster(self) -> str:
        """Every endpoint that answers must be on our cluster: one on another would lie about everything.

        The slots asked for on the way tell the pool how far each of them is.
        """

        async def identity(node: Node) -> tuple[str, str, str]:
            genesis, version = await node.get_genesis_hash(), await node.get_version()
            await node.get_slot("finalized")
            return node.label, genesis, version

        try:
            answered = await self._rpc.survey(identity)
        except Retryable as error:
            raise Rejected("rpc_unreachable", f"SOLANA_RPC_URLS: {error}") from error
        for label, genesis, _ in answered:
            if genesis != self._genesis:
                raise Rejected(
                    "wrong_cluster",
                    f"SOLANA_RPC_URLS: {label} is on the cluster with genesis hash {genesis}, while "
                    f"CIRCLE_W3S_PRODUCTION asks for {self._genesis}",
                )
        return answered[0][2]

    async def _check_usdc(self) -> None:
        account = ata(self._wallet, self._usdc_mint, programs.TOKEN)
        try:
            found = await self._rpc.get_accounts([self._usdc_mint, account])
        except Retryable as error:
            raise Rejected("rpc_unreachable", f"SOLANA_RPC_URLS: {error}") from error
        mint, ours = found.accounts
        self._check_mint(mint)
        if ours is not None and parse_token_account(ours).frozen:
            raise Rejected("usdc_frozen", f"the platform wallet's USDC account {account} is frozen: ask Circle why")

    def _check_mint(self, account: Account | None) -> None:
        try:
            mint = None if account is None else parse_mint(account)
        except MalformedAnswer:
            mint = None
        if mint is None or mint.program != programs.TOKEN or mint.decimals != programs.USDC_DECIMALS:
            raise Rejected(
                "wrong_usdc_mint",
                f"the USDC mint {self._usdc_mint} is no token of the Token program with {programs.USDC_DECIMALS} "
                "decimals on this cluster: SOLANA_RPC_URLS and CIRCLE_W3S_PRODUCTION must name the same one",
            )

    async def _measure_slots(self) -> tuple[int, float]:
        try:
            first, begun = await self._rpc.get_slot("finalized"), self._clock.monotonic()
            await self._clock.sleep(MEASURED_SLOTS * self._rpc.pace.seconds)
            last, seconds = await self._rpc.get_slot("finalized"), self._clock.monotonic() - begun
        except Retryable as error:
            raise Rejected("rpc_unreachable", f"SOLANA_RPC_URLS: {error}") from error
        if (last - first) * STANDSTILL_FACTOR < MEASURED_SLOTS:
            raise Rejected(
                "chain_stands_still",
                f"SOLANA_RPC_URLS: {last - first} slots were finalized in {seconds:.1f} s where AGENT_SLOT_MS "
                f"expects {MEASURED_SLOTS}",
            )
        return last, seconds / (last - first)
