"""What a finalized transaction of ours really did, read from the chain for the step that must know."""

from collections.abc import Callable
from dataclasses import replace
from functools import partial
from typing import TypeVar

from chain import programs
from chain.addresses import ata
from chain.nft_plan import NftPlan
from chain.packed_plan import PackedPlan
from domain.errors import Retryable
from domain.evidence import Evidence, MintOutflow, PackedOutflow, TransferIntent
from indexer.effects.decode import decode_transaction
from indexer.effects.errors import MalformedAnswer
from indexer.effects.facts import TransactionFacts
from indexer.effects.match import (
    Mismatch,
    Verdict,
    check_landed,
    check_mint,
    check_packed,
    check_transfer,
    platform_cost_lamports,
    receipts_made,
    usdc_paid,
)
from indexer.history import list_since
from indexer.movements import moment
from indexer.rpc.errors import EndpointError
from indexer.rpc.node import Node
from indexer.rpc.pool import RpcPool
from indexer.rpc.testimony import Testimony

T = TypeVar("T")
KEPT_MOST = 1024
"""Decoded transactions kept in memory: most are asked for by their step and by the follower of each address."""


class ReadBack:
    """Finalized transactions as evidence for the steps. Not being found is Retryable: it proves nothing.

    One for the whole process: what two endpoints have shown is final, and asked for once.
    """

    def __init__(self, rpc: RpcPool, platform_wallet: str, usdc_mint: str) -> None:
        self._rpc, self.wallet, self.usdc_mint = rpc, platform_wallet, usdc_mint
        self.usdc_account = ata(platform_wallet, usdc_mint, programs.TOKEN)
        self._known: dict[str, TransactionFacts] = {}
        self._heard: dict[str, Testimony[TransactionFacts]] = {}

    async def hear(self, signature: str) -> Testimony[TransactionFacts]:
        """What one endpoint shows of a finalized transaction, whichever can be asked soonest: nothing final by itself.
        Raises Retryable."""
        known = self._known.get(signature)
        if known is not None:
            return Testimony("", known)
        heard = self._heard.pop(signature, None)
        if heard is None:
            heard = await self._rpc.tell_soon(partial(_show, signature))
        _keep(self._heard, signature, heard)
        return heard

    async def read_back(self, signature: str, heard: Testimony[TransactionFacts] | None = None) -> TransactionFacts:
        """The facts of a finalized transaction that two endpoints show alike (one, where only one is configured); one
        of them may have been heard. Raises Retryable."""
        self._heard.pop(signature, None)  # contradicted, it is asked anew: not held against the others for ever
        known = self._known.pop(signature, None)
        if known is None:
            known = await self._rpc.vouched(partial(_show, signature), heard)
        _keep(self._known, signature, known)
        return known

    async def mint_evidence(self, signature: str, plan: NftPlan) -> Evidence:
        """Whether it made exactly the planned NFT, in the buyer's account; its name, its first owner, and what USDC it
        paid to whom."""
        facts = await self.read_back(signature)
        verdict, paid = check_mint(facts, plan), self._paid(facts)
        if verdict.matches and paid is None:
            verdict = Verdict(Mismatch.OTHER_MOVEMENTS, f"{signature} moved USDC in another way than a payout")
        made = next((one for one in facts.nft_mints if one.mint == plan.mint_address), None)
        found = replace(self._evidence(facts, verdict), paid=paid or ())
        if made is None or made.metadata is None:
            return found
        return replace(found, name=made.metadata.name, owner=made.owner or "")

    async def mint_outflow(self, signature: str) -> MintOutflow | None:
        """What a transaction that made one NFT of ours paid to whom; None for any other."""
        facts = await self.read_back(signature)
        paid = self._paid(facts)
        made = facts.nft_mints[0] if len(facts.nft_mints) == 1 else None
        if made is None or made.owner is None or made.metadata is None or not paid:
            return None
        seeds = [one.seed for one in facts.allocations if (one.address, one.base) == (made.mint, self.wallet)]
        if len(seeds) != 1:
            return None
        told = made.metadata
        return MintOutflow(signature, made.mint, seeds[0], made.owner, told.name, told.symbol, told.uri, paid)

    async def transfer_evidence(self, signature: str, intent: TransferIntent) -> Evidence:
        """Whether it moved exactly the intended USDC between the associated accounts of the intended owners."""
        facts = await self.read_back(signature)
        verdict = check_transfer(
            facts,
            mint=self.usdc_mint,
            source_owner=intent.source_owner,
            source_account=ata(intent.source_owner, self.usdc_mint, programs.TOKEN),
            destination_owner=intent.destination_owner,
            amount_base_units=intent.amount,
        )
        return self._evidence(facts, verdict)

    async def packed_evidence(self, signature: str, plan: PackedPlan) -> Evidence:
        """Whether it made the group's receipt and paid exactly the planned owners."""
        facts = await self.read_back(signature)
        return self._evidence(facts, check_packed(facts, plan))

    async def landed(self, signature: str) -> Evidence:
        """Whether a transaction took effect at all, for those whose effect is looked at by itself."""
        facts = await self.read_back(signature)
        return self._evidence(facts, check_landed(facts))

    async def maker_of(self, mint_address: str) -> str | None:
        """Signature of the finalized transaction that made this mint; None when two endpoints (one, where only one is
        configured) say that there is no mint. Lamports that a stranger sent there make none.

        Raises Retryable while the mint is there and its transaction is not to be found.
        """
        return await self._maker(mint_address, lambda facts: any(one.mint == mint_address for one in facts.nft_mints))

    async def receipt_maker(self, receipt: str) -> str | None:
        """As `maker_of`, for the receipt of a packed payout."""
        return await self._maker(receipt, lambda facts: receipt in self._receipts(facts))

    async def packed_outflow(self, signature: str) -> PackedOutflow | None:
        """What a transaction with exactly one receipt of ours paid to whom; None for any other."""
        facts = await self.read_back(signature)
        made = self._receipts(facts)
        ours = [one for one in facts.token_movements if one.mint == self.usdc_mint and one.delta]
        legs = tuple((one.owner, one.delta) for one in ours if one.account != self.usdc_account)
        known = [(owner, amount) for owner, amount in legs if owner is not None and amount > 0]
        seeds = [one.seed for one in facts.allocations if made == (one.address,) and one.base == self.wallet]
        if len(seeds) != 1 or len(known) != len(legs) or not known:
            return None
        return PackedOutflow(signature, made[0], seeds[0], tuple(known), facts.slot, moment(facts))

    async def was_receipt(self, account: str) -> bool:
        """Whether an account that is gone was once allocated with a seed of the platform wallet, as receipts are.

        Raises Retryable while its history can't be read.
        """
        for entry in await self._rpc.ask(lambda node: list_since(node, account, None, 0)):
            if entry.failed:
                continue
            made = (await self.read_back(entry.signature)).allocations
            if any((one.address, one.base) == (account, self.wallet) for one in made):
                return True
        return False

    async def _maker(self, address: str, made: Callable[[TransactionFacts], bool]) -> str | None:
        async def is_made(node: Node) -> bool:
            (account,) = (await node.get_accounts([address])).accounts
            return account is not None and account.program != programs.SYSTEM

        if not await self._rpc.agree(is_made):
            return None
        history = await self._rpc.ask(lambda node: list_since(node, address, None, 0))
        for entry in history:
            if not entry.failed and made(await self.read_back(entry.signature)):
                return entry.signature
        raise Retryable(f"{address} exists, and no endpoint lists the transaction that made it")

    def _paid(self, facts: TransactionFacts) -> tuple[tuple[str, int], ...] | None:
        return usdc_paid(facts, self.usdc_mint, self.wallet, self.usdc_account)

    def _receipts(self, facts: TransactionFacts) -> tuple[str, ...]:
        return receipts_made(facts, self.wallet, self.usdc_mint, self.usdc_account)

    def _evidence(self, facts: TransactionFacts, verdict: Verdict) -> Evidence:
        return Evidence(
            signature=facts.signature,
            matches=verdict.matches,
            why="" if verdict.reason is None else f"{verdict.reason.value}: {verdict.detail}",
            slot=facts.slot,
            block_time=moment(facts),
            cost_lamports=platform_cost_lamports(facts, self.wallet),
            fee_lamports=facts.fee_lamports,
        )


def _keep(kept: dict[str, T], signature: str, value: T) -> None:
    kept[signature] = value
    if len(kept) > KEPT_MOST:
        del kept[next(iter(kept))]


async def _show(signature: str, node: Node) -> TransactionFacts:
    result = await node.get_transaction(signature)
    if result is None:
        raise EndpointError(f"{node.label} does not show {signature} at finalized")
    try:
        return decode_transaction(result, signature)
    except MalformedAnswer as error:
        raise EndpointError(f"{node.label}: getTransaction: {error}") from error
