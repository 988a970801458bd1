"""Which transaction format payouts are packed in: what the settings ask for, if signer and chain take it."""

from typing import Protocol

import structlog

from chain.packed import build_packed
from chain.packed_plan import PackedPlan, TransactionFormat
from chain.transactions import with_signature
from chain.usdc_payouts import PackedTransfer
from domain.errors import Rejected, Retryable
from domain.keys import receipt_seed
from gateways.circle_api import Lane
from payouts.rails.packed_terms import PackedTerms
from ports.ids import Ids

log = structlog.get_logger(__name__)

PROBE_RENT_LAMPORTS = 1
"""What is probed is never sent, and would fail: a receipt can't live on one lamport."""
UNREADABLE = ("deserialize", "version", "malformed")
"""Words of a node that can't read the bytes at all."""


class ProbeChain(Protocol):
    async def latest_blockhash(self) -> tuple[str, int]: ...

    async def simulate(self, wire: bytes) -> str | None: ...


class Signer(Protocol):
    async def sign_transaction(self, wallet_id: str, raw_wire: bytes, memo: str, lane: Lane) -> str: ...


class FormatProbe:
    """`current` is the format new groups are made in; `probe` once at the start."""

    def __init__(
        self, wanted: TransactionFormat, chain: ProbeChain, signer: Signer, ids: Ids, terms: PackedTerms
    ) -> None:
        self._wanted, self._chain, self._signer = wanted, chain, signer
        self._ids, self._terms = ids, terms
        self.current = TransactionFormat.V0

    async def probe(self) -> None:
        """Ask the signer and a node for the wanted format. Raises Retryable while they can't be asked."""
        if self._wanted is self.current:
            return
        refusal = await self._refusal()
        if refusal is None:
            self.current = self._wanted
        else:
            log.warning("payouts are packed in v0", wanted=self._wanted, why=refusal)

    async def _refusal(self) -> str | None:
        terms = self._terms
        plan = PackedPlan(
            platform_wallet=terms.address,
            mint=terms.usdc_mint,
            seed=receipt_seed(terms.derivation_secret, self._ids.uuid()),
            transfers=(PackedTransfer(terms.usdc_mint, 1),),
            format=self._wanted,
        )
        blockhash, _ = await self._chain.latest_blockhash()
        wire = build_packed(plan, blockhash=blockhash, rent_lamports=PROBE_RENT_LAMPORTS, receipt_lamports_now=0)
        try:
            signature = await self._signer.sign_transaction(terms.wallet_id, wire, "format probe", Lane.PAYOUT)
            with_signature(wire, terms.address, signature)
        except Rejected as error:
            return f"the signer refuses it: {error}"
        try:
            await self._chain.simulate(wire)
        except Retryable as error:
            if any(word in str(error) for word in UNREADABLE):
                return f"the nodes can't read it: {error}"
            raise
        return None
