"""What a finalized transaction of ours really did, read from the chain for the step that must know."""

from chain import programs
from chain.addresses import ata
from chain.nft_plan import NftPlan
from domain.errors import Retryable
from domain.evidence import Evidence, TransferIntent
from indexer.effects.decode import decode_transaction
from indexer.effects.errors import MalformedAnswer
from indexer.effects.facts import TransactionFacts
from indexer.effects.match import Verdict, check_mint, check_transfer, platform_cost_lamports
from indexer.history import list_since
from indexer.movements import moment
from indexer.rpc.errors import EndpointError
from indexer.rpc.node import Node
from indexer.rpc.pool import RpcPool


class ReadBack:
    """Finalized transactions as evidence for the steps. Not being found is Retryable: it proves nothing."""

    def __init__(self, rpc: RpcPool, platform_wallet: str, usdc_mint: str) -> None:
        self._rpc, self._wallet, self._usdc_mint = rpc, platform_wallet, usdc_mint

    async def read_back(self, signature: str) -> TransactionFacts:
        """The facts of a finalized transaction, from the first endpoint that shows it whole. Raises Retryable."""

        async def show(node: Node) -> TransactionFacts:
            result = await node.get_transaction(signature)
            if result is None:
                raise EndpointError(f"{node.label} does not show {signature} at finalized")
            try:
                return decode_transaction(result, signature)
            except MalformedAnswer as error:
                raise EndpointError(f"{node.label}: getTransaction: {error}") from error

        return await self._rpc.ask(show)

    async def mint_evidence(self, signature: str, plan: NftPlan) -> Evidence:
        """Whether it made exactly the planned NFT, in the buyer's account."""
        facts = await self.read_back(signature)
        return self._evidence(facts, check_mint(facts, plan))

    async def transfer_evidence(self, signature: str, intent: TransferIntent) -> Evidence:
        """Whether it moved exactly the intended USDC between the associated accounts of the intended owners."""
        facts = await self.read_back(signature)
        verdict = check_transfer(
            facts,
            mint=self._usdc_mint,
            source_owner=intent.source_owner,
            source_account=ata(intent.source_owner, self._usdc_mint, programs.TOKEN),
            destination_owner=intent.destination_owner,
            amount_base_units=intent.amount,
        )
        return self._evidence(facts, verdict)

    async def maker_of(self, mint_address: str) -> str | None:
        """Signature of the finalized transaction that made this mint; None when two endpoints (one, where only one is
        configured) say that there is no mint. Lamports that a stranger sent there make none.

        Raises Retryable while the mint is there and its transaction is not to be found.
        """

        async def is_made(node: Node) -> bool:
            (account,) = (await node.get_accounts([mint_address])).accounts
            return account is not None and account.program != programs.SYSTEM

        if not await self._rpc.agree(is_made):
            return None
        history = await self._rpc.ask(lambda node: list_since(node, mint_address, None, 0))
        for entry in history:
            if entry.failed:
                continue
            facts = await self.read_back(entry.signature)
            if any(made.mint == mint_address for made in facts.nft_mints):
                return entry.signature
        raise Retryable(f"{mint_address} exists, and no endpoint lists the transaction that made it")

    def _evidence(self, facts: TransactionFacts, verdict: Verdict) -> Evidence:
        return Evidence(
            signature=facts.signature,
            matches=verdict.matches,
            why="" if verdict.reason is None else f"{verdict.reason.value}: {verdict.detail}",
            slot=facts.slot,
            block_time=moment(facts),
            cost_lamports=platform_cost_lamports(facts, self._wallet),
        )
