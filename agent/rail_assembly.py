"""Builds the `solana` rail: its steps share their terms, what they read from the chain, and who signs."""

from collections.abc import Callable
from datetime import timedelta

from agent.worker import Step
from chain.addresses import ata
from chain.packed_plan import TransactionFormat
from config.settings import Settings
from gateways.circle_api import CircleGateway
from indexer.packed_chain import PackedChain
from indexer.readback import ReadBack
from indexer.rpc.pool import RpcPool
from payouts.rails.bisect import Bisector
from payouts.rails.closing import ReceiptsStep
from payouts.rails.formats import FormatProbe
from payouts.rails.pack import PackStep
from payouts.rails.packed_send import PackedSendStep
from payouts.rails.packed_settle import PackedSettleStep
from payouts.rails.packed_sign import PackedSignStep
from payouts.rails.packed_terms import PackedTerms
from payouts.rails.upkeep import UpkeepStep
from ports.clock import Clock
from ports.ids import Ids
from storage.payouts.planning import Judge
from storage.store import Store

RESEND_SLOTS = 10
"""A transaction that the next ten leaders have not taken is handed over again."""


def resend_every(slot_seconds: float) -> timedelta:
    """Between two times that the same bytes are handed over."""
    return timedelta(seconds=max(0.2, slot_seconds * RESEND_SLOTS))


def packed_rail(
    settings: Settings,
    store: Store,
    clock: Clock,
    ids: Ids,
    circle: CircleGateway,
    rpc: RpcPool,
    witness: ReadBack,
    platform_address: str,
    judge: Judge,
    signed: Callable[[], None],
) -> tuple[dict[str, Step], FormatProbe]:
    """The steps by kind, and what finds out at the start which format is taken."""
    terms = packed_terms(settings, platform_address, judge)
    chain = PackedChain(rpc, settings.usdc_mint)
    bisector = Bisector(clock, ids, terms)
    settle = PackedSettleStep(store, clock, witness, bisector, terms)
    wanted = TransactionFormat(settings.agent_packed_format if settings.agent_rail == "solana" else "v0")
    formats = FormatProbe(wanted, chain, circle, ids, terms)
    steps: dict[str, Step] = {
        "pack": PackStep(store, clock, ids, chain, formats, terms),
        "upkeep": UpkeepStep(store, clock, ids, chain, witness, circle, terms, signed),
        "packed_sign": PackedSignStep(store, clock, chain, circle, settle, bisector, terms, signed),
        "packed_send": PackedSendStep(store, clock, chain, terms.resend_every),
        "packed_settle": settle,
        "receipts": ReceiptsStep(store, clock, ids, chain, terms, timedelta(days=settings.agent_receipt_days)),
    }
    return steps, formats


def packed_terms(settings: Settings, platform_address: str, judge: Judge) -> PackedTerms:
    """What every packed payout of this installation has in common."""
    return PackedTerms(
        wallet_id=settings.circle_w3s_platform_wallet_id,
        address=platform_address,
        usdc_account=ata(platform_address, settings.usdc_mint),
        usdc_mint=settings.usdc_mint,
        derivation_secret=settings.agent_derivation_secret.get_secret_value().encode(),
        memo=settings.agent_packed_memo,
        attempts_max=settings.agent_attempts_max,
        day_cap=settings.agent_cap_day,
        lamports_ceiling=settings.agent_packed_fee_ceiling_lamports,
        priority_lamports=settings.priority_fee_lamports,
        sol_cents=settings.agent_sol_price_cents,
        resend_every=resend_every(settings.agent_slot_ms / 1000),
        judge=judge,
    )
