"""Builds the steps, in the order in which a sale meets them."""

from dataclasses import dataclass

from agent.gateway_assembly import Gateways, Ports
from agent.rail_assembly import resend_every
from agent.start_gate import StartGate
from agent.steps.alert import AlertStep
from agent.steps.balance_watch import BalanceWatchStep
from agent.steps.events_sweep import EventsSweepStep
from agent.steps.fee import FeeStep
from agent.steps.mint import MintLookStep, MintStep, MintTerms
from agent.steps.mint_listing import MintListingStep
from agent.steps.mint_payouts import MintPayouts
from agent.steps.prune import PruneStep
from agent.steps.races import Races
from agent.steps.refund import RefundStep
from agent.steps.refunds_sync import RefundsSyncStep
from agent.steps.seal import SealStep
from agent.steps.session_end import SessionEndStep
from agent.steps.stripe_event import StripeEventStep
from agent.steps.stripe_watch import StripeWatchStep
from agent.steps.wallet import WalletStep
from agent.steps.wallet_listing import WalletListingStep
from agent.steps.wallet_look import WalletLookStep
from agent.worker import Step
from chain.nft import Token2022Nft
from config.settings import Settings
from domain.realtime import PayoutMode, RealtimeRules
from domain.split import Rounding, SplitRule
from gateways.chat_webhook import ChatWebhook
from indexer.absence import AbsenceProver
from indexer.packed_chain import PackedChain
from indexer.readback import ReadBack
from indexer.sender import Sender
from indexer.standings import Standings
from indexer.tracker import SignatureTracker
from indexer.wallet_check import WalletCheck
from payouts.at_mint import AtMint
from payouts.batch import BatchStep, Limits
from payouts.conversion import ConversionStep, ConversionTerms
from payouts.fund import FundStep
from payouts.plan import Planner, PlanStep
from payouts.rails.circle_transfer import CircleTransferStep, RailTerms
from payouts.rails.transfer_look import TransferLookStep
from payouts.realtime import RealtimePlanner, RealtimeStep
from payouts.reconcile import Platform, ReconcileStep


def split_rule(settings: Settings) -> SplitRule:
    return SplitRule(settings.agent_creator_bps, settings.agent_rounding_step, Rounding(settings.agent_rounding))


def realtime_rules(settings: Settings) -> RealtimeRules:
    return RealtimeRules(
        PayoutMode(settings.agent_payout_mode),
        approvers=settings.agent_approvers,
        payout_cap=settings.agent_cap_payout,
        batch_cap=settings.agent_cap_batch,
        day_cap=settings.agent_cap_day,
    )


@dataclass(frozen=True, slots=True)
class Parts:
    """What steps are made of. `address` is the platform wallet's, `account` its USDC account."""

    settings: Settings
    ports: Ports
    gateways: Gateways
    address: str
    account: str
    witness: ReadBack
    planner: Planner
    realtime: RealtimePlanner
    sweep: EventsSweepStep
    tracker: SignatureTracker
    gate: StartGate


def steps_of(parts: Parts) -> dict[str, Step]:
    """By kind: all but those of the `solana` rail and of what is told and listed."""
    return {**_sales(parts), **_mints(parts), **_money(parts), **_transfers(parts), **_watches(parts)}


def _sales(parts: Parts) -> dict[str, Step]:
    settings, store, clock, ids = parts.settings, parts.ports.store, parts.ports.clock, parts.ports.ids
    stripe, circle = parts.gateways.stripe, parts.gateways.circle
    how, wallet_set, blockchain = settings.agent_user_wallets, settings.agent_wallet_set_id, settings.blockchain
    return {
        "stripe_event": StripeEventStep(store, clock),
        "events_sweep": parts.sweep,
        "fee": FeeStep(store, clock, stripe, split_rule(settings)),
        "refunds": RefundsSyncStep(store, clock, stripe),
        "session_end": SessionEndStep(store, clock, ids, stripe),
        "wallet": WalletStep(store, clock, circle, how, wallet_set, blockchain),
        "wallet_listing": WalletListingStep(store, clock, circle, how, wallet_set),
        "wallet_look": WalletLookStep(store, clock, circle, how, blockchain),
    }


def _mints(parts: Parts) -> dict[str, Step]:
    """And refunds: whether the loser of a race gets his money back is a question of who has the NFT."""
    settings, store, clock, ids = parts.settings, parts.ports.store, parts.ports.clock, parts.ports.ids
    stripe, circle, gate, signed = parts.gateways.stripe, parts.gateways.circle, parts.gate, parts.tracker.poke
    sender, pays = Sender(parts.gateways.rpc), _mint_payouts(parts)
    terms = _mint_terms(parts)
    mint = MintStep(store, clock, ids, sender, parts.witness, circle, Token2022Nft(), terms, signed, pays)
    races = Races(store, clock, parts.witness, mint.address_of, lambda: gate.is_open)
    return {
        "mint": mint,
        "mint_look": MintLookStep(mint, races),
        "mint_listing": MintListingStep(store, clock, circle, settings.agent_user_wallets),
        "refund": RefundStep(store, clock, ids, stripe, races),
    }


def _mint_terms(parts: Parts) -> MintTerms:
    settings, pace = parts.settings, parts.gateways.rpc.pace
    return MintTerms(
        wallet_id=settings.circle_w3s_platform_wallet_id,
        platform_address=parts.address,
        usdc_account=parts.account,
        derivation_secret=settings.agent_derivation_secret.get_secret_value().encode(),
        symbol=settings.agent_nft_symbol,
        public_base_url=settings.public_base_url,
        lamports_ceiling=settings.agent_mint_fee_ceiling_lamports,
        priority_lamports=settings.priority_fee_lamports,
        attempts_max=settings.agent_attempts_max,
        resend_every=lambda: resend_every(pace.seconds),
    )


def _mint_payouts(parts: Parts) -> MintPayouts | None:
    """None where every mint goes alone."""
    settings, rpc = parts.settings, parts.gateways.rpc
    if not settings.agent_atomic_settlement:
        return None
    decide = AtMint(parts.planner, realtime_rules(settings), parts.account)
    chain = PackedChain(rpc, settings.usdc_mint)
    bids, judge = settings.priority_fee_lamports > 0, parts.planner.judge
    return MintPayouts(chain, WalletCheck(rpc), decide, judge, Token2022Nft(), settings.usdc_mint, bids=bids)


def _money(parts: Parts) -> dict[str, Step]:
    """From a sale's due to its batch, and the USDC that covers it."""
    settings, store, clock, ids = parts.settings, parts.ports.store, parts.ports.clock, parts.ports.ids
    caps = settings.agent_cap_conversion, settings.agent_cap_conversion_day
    converting = ConversionTerms(settings.converts, parts.address, *caps)
    limits = Limits(settings.agent_approvers, settings.agent_cap_payout, settings.agent_cap_batch)
    return {
        "conversion": ConversionStep(store, clock, ids, parts.gateways.mint, converting),
        "fund": FundStep(store, clock, parts.account, in_real_time=settings.pays_in_real_time),
        "realtime": RealtimeStep(parts.realtime),
        "plan": PlanStep(parts.planner),
        "batch": BatchStep(store, clock, limits),
    }


def _transfers(parts: Parts) -> dict[str, Step]:
    settings, store, clock = parts.settings, parts.ports.store, parts.ports.clock
    terms = RailTerms(
        wallet_id=settings.circle_w3s_platform_wallet_id,
        address=parts.address,
        usdc_account=parts.account,
        usdc_token_id=settings.usdc_token_id,
        blockchain=settings.blockchain,
        attempts_max=settings.agent_attempts_max,
        day_cap=settings.agent_cap_day,
        judge=parts.planner.judge,
    )
    rpc, circle = parts.gateways.rpc, parts.gateways.circle
    prover = AbsenceProver(rpc, parts.account, settings.usdc_mint)
    accounts = Standings(PackedChain(rpc, settings.usdc_mint).standings)
    signed = parts.tracker.poke
    transfer = CircleTransferStep(store, clock, circle, parts.witness, prover, accounts, terms, signed)
    return {"transfer": transfer, "transfer_look": TransferLookStep(transfer)}


def _watches(parts: Parts) -> dict[str, Step]:
    """What looks after the house: balances, books, Stripe's endpoint, what is old."""
    settings, store, clock, ids = parts.settings, parts.ports.store, parts.ports.clock, parts.ports.ids
    stripe, circle, rpc = parts.gateways.stripe, parts.gateways.circle, parts.gateways.rpc
    least = settings.agent_balance_alert_usdc, settings.agent_balance_alert_lamports
    chat = ChatWebhook(parts.ports.transport, settings.agent_alert_webhook_url.get_secret_value(), clock)
    webhook = f"{settings.public_base_url.rstrip('/')}/api/checkout/webhook/"
    wallet_id, token_id = settings.circle_w3s_platform_wallet_id, settings.usdc_token_id
    platform = Platform(wallet_id, parts.address, parts.account, token_id)
    return {
        "balance_watch": BalanceWatchStep(store, clock, ids, *least),
        "alert": AlertStep(store, clock, chat),
        "seal": SealStep(store, clock),
        "prune": PruneStep(store, clock),
        "stripe_watch": StripeWatchStep(store, clock, stripe, webhook),
        "reconcile": ReconcileStep(store, clock, stripe, circle, rpc, platform),
    }
