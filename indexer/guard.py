"""Is this the chain we were told it is, and what is it like? Every complaint is one line that names the setting."""

from collections.abc import Mapping
from dataclasses import dataclass

from solders.instruction import Instruction
from solders.message import TransactionConfig
from solders.pubkey import Pubkey
from solders.system_program import TransferParams, transfer

from chain import programs
from chain.addresses import ata
from chain.transactions import message_bytes, unsigned_v0, unsigned_v1
from domain.errors import Rejected, Retryable
from indexer.effects.accounts import made, parse_mint, parse_token_account
from indexer.effects.errors import MalformedAnswer
from indexer.rpc.errors import INVALID_PARAMS, RpcRefusal
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
PASSING = frozenset({"rpc_unreachable", "chain_stands_still"})
"""Codes of complaints that may be gone at the next look; all others mean that the settings and the chain disagree."""


@dataclass(frozen=True, slots=True)
class ChainFacts:
    """What was found. `slot_seconds` is measured; `rent_lamports` is what keeps a token account (165 bytes) alive,
    `fee_lamports` what a transaction with one signature pays; `transaction_version` the newest the cluster runs."""

    genesis_hash: str
    version: str
    finalized_slot: int
    slot_seconds: float
    rent_lamports: int
    fee_lamports: int
    transaction_version: int
    usdc_decimals: int
    usdc_freeze_authority: str | None
    usdc_frozen: bool
    """The platform wallet's USDC account is frozen."""


@dataclass(frozen=True, slots=True)
class _Usdc:
    decimals: int
    freeze_authority: str | None
    account_is_frozen: bool


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
        """Look and judge in one. Raises Rejected as they do."""
        facts = await self.look()
        self.judge(facts)
        return facts

    async def look(self) -> ChainFacts:
        """What the chain is like. Raises Rejected with a code of `PASSING`, `wrong_cluster` or `wrong_usdc_mint`; the
        message is for the operator. An endpoint on another cluster is asked nothing more until it is found on ours."""
        try:
            version = await self._check_cluster()
            usdc = await self._read_usdc()
            slot, seconds = await self._measure_slots()
            return ChainFacts(
                genesis_hash=self._genesis,
                version=version,
                finalized_slot=slot,
                slot_seconds=seconds,
                rent_lamports=await self._rpc.ask(lambda node: node.minimum_rent(programs.TOKEN_ACCOUNT_SIZE)),
                fee_lamports=await self._fee(),
                transaction_version=await self._rpc.ask(self._transaction_version),
                usdc_decimals=usdc.decimals,
                usdc_freeze_authority=usdc.freeze_authority,
                usdc_frozen=usdc.account_is_frozen,
            )
        except Retryable as error:
            raise Rejected("rpc_unreachable", f"SOLANA_RPC_URLS: {error}") from error

    def judge(self, facts: ChainFacts) -> None:
        """Raises Rejected with `wrong_usdc_mint` or `usdc_frozen`."""
        if facts.usdc_decimals != programs.USDC_DECIMALS:
            raise self._wrong_mint()
        if facts.usdc_frozen:
            account = ata(self._wallet, self._usdc_mint, programs.TOKEN)
            raise Rejected("usdc_frozen", f"the platform wallet's USDC account {account} is frozen: ask Circle why")

    async def _check_cluster(self) -> str:
        """Every endpoint that answers must be on our cluster: one on another would lie about everything.

        The slots asked for on the way tell the pool how far each of them is.
        """

        async def identity(node: Node) -> tuple[str, str, str]:
            genesis, version = await node.get_genesis_hash(), await node.get_version()
            node.exclude("" if genesis == self._genesis else f"its genesis hash is {genesis}")
            await node.get_slot("finalized")
            return node.label, genesis, version

        answered = await self._rpc.survey(identity)
        for label, genesis, _ in answered:
            if genesis != self._genesis:
                raise Rejected(
                    "wrong_cluster",
                    f"SOLANA_RPC_URLS: {label} is on the cluster with genesis hash {genesis}, while "
                    f"CIRCLE_W3S_PRODUCTION asks for {self._genesis}",
                )
        return answered[0][2]

    async def _fee(self) -> int:
        latest = await self._rpc.latest_blockhash()
        fee = await self._rpc.fee_of(message_bytes(unsigned_v0(self._wallet, [self._nothing()], latest.blockhash)))
        if fee is None:
            raise Retryable("the fee of a message with the newest blockhash is not known")
        return fee

    async def _transaction_version(self, node: Node) -> int:
        """The newest version that a transaction may have here, by a trial run that has no effect."""
        latest = await node.latest_blockhash("confirmed")
        wire = unsigned_v1(self._wallet, [self._nothing()], latest.blockhash, TransactionConfig())
        try:
            tried = await node.simulate(wire, replace_blockhash=True)
        except RpcRefusal as refusal:
            if refusal.code == INVALID_PARAMS:  # the node can't read the bytes at all
                return 0
            raise
        return 0 if tried.err == "UnsupportedVersion" else 1

    def _nothing(self) -> Instruction:
        """The platform wallet sends itself nothing."""
        wallet = Pubkey.from_string(self._wallet)
        return transfer(TransferParams(from_pubkey=wallet, to_pubkey=wallet, lamports=0))

    async def _read_usdc(self) -> _Usdc:
        account = ata(self._wallet, self._usdc_mint, programs.TOKEN)
        found = await self._rpc.get_accounts([self._usdc_mint, account])
        mint_account, ours = map(made, found.accounts)
        try:
            mint = None if mint_account is None else parse_mint(mint_account)
            is_frozen = ours is not None and parse_token_account(ours).frozen
        except MalformedAnswer:
            mint, is_frozen = None, False
        if mint is None or mint.program != programs.TOKEN:
            raise self._wrong_mint()
        return _Usdc(mint.decimals, mint.freeze_authority, is_frozen)

    def _wrong_mint(self) -> Rejected:
        return Rejected(
            "wrong_usdc_mint",
            f"the USDC mint {self._usdc_mint} is no token of the Token program with {programs.USDC_DECIMALS} "
            "decimals on this cluster: SOLANA_RPC_URLS and CIRCLE_W3S_PRODUCTION must name the same one",
        )

    async def _measure_slots(self) -> tuple[int, float]:
        first, begun = await self._rpc.get_slot("finalized"), self._clock.monotonic()
        await self._clock.sleep(MEASURED_SLOTS * self._rpc.pace.seconds)
        last, seconds = await self._rpc.get_slot("finalized"), self._clock.monotonic() - begun
        if (last - first) * STANDSTILL_FACTOR < MEASURED_SLOTS:
            raise Rejected(
                "chain_stands_still",
                f"SOLANA_RPC_URLS: {last - first} slots were finalized in {seconds:.1f} s where AGENT_SLOT_MS "
                f"expects {MEASURED_SLOTS}",
            )
        return last, seconds / (last - first)
