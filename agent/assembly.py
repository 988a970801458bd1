"""The one file that builds and wires: settings and ports in, the daemon's parts out. Nothing here runs by itself."""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import timedelta
from functools import partial

from agent.clock_watch import ClockWatch
from agent.explaining import Explaining
from agent.index_view import IndexView
from agent.lanes import lanes_of
from agent.rail_assembly import packed_rail, resend_every
from agent.reading_assembly import build_follower, build_planner
from agent.start_gate import StartGate
from agent.steps.alert import AlertStep
from agent.steps.balance_watch import BalanceWatchStep
from agent.steps.circle_notification import CircleNotificationStep
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
from agent.waking_store import WakingStore
from agent.worker import Step, Worker
from chain.addresses import ata
from chain.nft import Token2022Nft
from config.settings import Settings
from domain.keys import mint_seed
from domain.realtime import PayoutMode, RealtimeRules
from domain.split import Rounding, SplitRule
from gateways.chat_webhook import ChatWebhook
from gateways.circle_api import CircleGateway, Rates
from gateways.circle_api.error_codes import PAUSES_SENDS
from gateways.circle_mint import MintGateway
from gateways.circle_mint.gateway import MINT_RATES
from gateways.stripe_api import StripeGateway
from indexer.absence import AbsenceProver
from indexer.chain_watch import ChainWatch
from indexer.fast_path import FastPath
from indexer.guard import ChainGuard
from indexer.nft_watch import NftWatch
from indexer.packed_chain import PackedChain
from indexer.readback import ReadBack
from indexer.rpc.pool import RpcPool
from indexer.sender import Sender
from indexer.tracker import SignatureTracker
from indexer.treasury.backfill import Backfill
from indexer.treasury.follower import TreasuryFollower
from indexer.wallet_check import WalletCheck
from metrics import Metrics
from payouts.at_mint import AtMint
from payouts.batch import BatchStep, Limits
from payouts.conversion import ConversionStep, ConversionTerms
from payouts.conversion_listing import ConversionListingStep
from payouts.fund import FundStep
from payouts.plan import Planner, PlanStep
from payouts.rails.circle_transfer import CircleTransferStep, RailTerms, TransferLookStep
from payouts.rails.formats import FormatProbe
from payouts.realtime import RealtimePlanner, RealtimeStep
from payouts.reconcile import Platform, ReconcileStep
from ports.clock import Clock
from ports.executor import Executor
from ports.ids import Ids
from ports.sockets import Sockets
from ports.transport import Transport
from storage.payouts.upkeep import Payer
from storage.store import Store

SANDBOX_RPC_PER_SECOND = 2_000.0
"""A local node has no limit worth keeping to."""


@dataclass(frozen=True, slots=True)
class Ports:
    """The world the daemon runs in; the simulator brings its own."""

    clock: Clock
    ids: Ids
    executor: Executor
    transport: Transport
    store: Store
    sockets: Sockets | None = None
    """None: a world without WebSockets; signatures are polled."""


@dataclass(frozen=True, slots=True)
class Gateways:
    stripe: StripeGateway
    circle: CircleGateway
    mint: MintGateway
    rpc: RpcPool
    clock: ClockWatch
    """What their answers say of our clock."""


@dataclass(frozen=True, slots=True)
class Engine:
    """Everything that runs in the background."""

    worker: Worker
    tracker: SignatureTracker
    follower: TreasuryFollower
    gate: StartGate
    planner: Planner
    realtime: RealtimePlanner
    chain: ChainWatch
    nfts: NftWatch
    backfill: Backfill
    index: IndexView
    formats: FormatProbe


def build_gateways(settings: Settings, ports: Ports, metrics: Metrics) -> Gateways:
    fast = settings.agent_circle_limits == "fast"
    heard = ClockWatch(ports.transport, ports.clock, metrics.clock_skew)
    return Gateways(
        clock=heard,
        stripe=StripeGateway(
            heard, settings.stripe_secret_key.get_secret_value(), settings.agent_stripe_api_url, ports.clock
        ),
        circle=CircleGateway(
            heard,
            settings.agent_circle_api_url,
            settings.circle_w3s_api_key.get_secret_value(),
            settings.circle_w3s_entity_secret.get_secret_value(),
            ports.ids,
            ports.clock,
            Rates.fast() if fast else Rates(),
        ),
        mint=MintGateway(
            heard,
            settings.circle_mint_url,
            settings.agent_circle_mint_api_key.get_secret_value(),
            ports.ids,
            ports.clock,
            Rates.fast() if fast else MINT_RATES,
        ),
        rpc=RpcPool(
            settings.rpc_urls,
            heard,
            ports.clock,
            weights=settings.rpc_weights,
            requests_per_second=SANDBOX_RPC_PER_SECOND if fast else settings.rpc_rates,
            slot_seconds=settings.agent_slot_ms / 1000,
            observe=metrics.rpc_call,
            disbelieved=metrics.rpc_disbelieved,
        ),
    )


def build_fast_path(settings: Settings, ports: Ports, gateways: Gateways, metrics: Metrics) -> FastPath | None:
    """None without SOLANA_WS_URL: then signatures are polled."""
    if ports.sockets is None or not settings.ws_url:
        return None
    return FastPath(ports.sockets, settings.ws_url, ports.clock, gateways.rpc.pace, observe=metrics.websocket)


def split_rule(settings: Settings) -> SplitRule:
    return SplitRule(settings.agent_creator_bps, settings.agent_rounding_step, Rounding(settings.agent_rounding))


def _realtime_rules(settings: Settings) -> RealtimeRules:
    return RealtimeRules(
        PayoutMode(settings.agent_payout_mode),
        approvers=settings.agent_approvers,
        payout_cap=settings.agent_cap_payout,
        batch_cap=settings.agent_cap_batch,
        day_cap=settings.agent_cap_day,
    )


def _mint_payouts(
    settings: Settings, gateways: Gateways, planner: Planner, platform_address: str
) -> MintPayouts | None:
    """None where every mint goes alone."""
    if not settings.agent_atomic_settlement:
        return None
    decide = AtMint(planner, _realtime_rules(settings), ata(platform_address, settings.usdc_mint))
    chain = PackedChain(gateways.rpc, settings.usdc_mint)
    return MintPayouts(chain, WalletCheck(gateways.rpc), decide, Token2022Nft(), settings.usdc_mint)


def build_engine(
    settings: Settings, ports: Ports, gateways: Gateways, metrics: Metrics, platform_address: str
) -> Engine:
    """Wire the background: the worker's wake-up is handed to everything that makes jobs due."""
    bell: list[Callable[[], None]] = []

    def wake() -> None:
        for ring in bell:
            ring()

    pace = gateways.rpc.pace
    witness = ReadBack(gateways.rpc, platform_address, settings.usdc_mint)
    seen = metrics.treasury_gap
    follower = build_follower(settings, ports.store, gateways.rpc, witness, ports.clock, wake, seen)
    fast_path = build_fast_path(settings, ports, gateways, metrics)
    idle = float(settings.agent_idle_seconds)
    tracker = SignatureTracker(
        ports.store,
        gateways.rpc,
        ports.clock,
        idle_seconds=idle,
        fast_path=fast_path,
        wake=wake,
        landed=follower.poke,
    )
    sweep = EventsSweepStep(ports.store, ports.clock, gateways.stripe, settings.live)
    explaining = Explaining(
        ports.store,
        ports.clock,
        ports.ids,
        gateways.circle,
        follower,
        witness,
        Payer(settings.circle_w3s_platform_wallet_id, platform_address),
        partial(mint_seed, settings.agent_derivation_secret.get_secret_value().encode()),
    )
    gate = StartGate(ports.store, ports.clock, sweep.sweep, explaining, gateways.rpc, lambda: pace.seconds, wake)
    waking = WakingStore(ports.store, wake)
    planner = build_planner(settings, waking, ports.clock, ports.ids, gateways.rpc, platform_address)
    account = ata(platform_address, settings.usdc_mint)
    realtime = RealtimePlanner(waking, ports.clock, ports.ids, planner, _realtime_rules(settings), account)
    steps = _steps(settings, ports, gateways, platform_address, witness, planner, realtime, sweep, tracker, gate)
    steps["circle_notification"] = CircleNotificationStep(ports.clock, follower.poke)
    packed, formats = packed_rail(
        settings,
        ports.store,
        ports.clock,
        ports.ids,
        gateways.circle,
        gateways.rpc,
        witness,
        platform_address,
        tracker.poke,
    )
    steps |= packed
    listing = ConversionListingStep(
        ports.store, ports.clock, ports.ids, gateways.mint, platform_address, is_on=settings.converts, looked=wake
    )
    steps["conversion_listing"] = listing
    lanes = lanes_of(lambda: gate.is_open, lambda: gateways.clock.trusted, listing)
    most = settings.agent_retries_max
    worker = Worker(ports.store, ports.clock, ports.ids, steps, lanes, metrics, most, idle)
    bell.append(worker.wake)
    guard = ChainGuard(
        gateways.rpc,
        ports.clock,
        expected_genesis=settings.genesis_hash,
        usdc_mint=settings.usdc_mint,
        platform_wallet=platform_address,
    )
    chain = ChainWatch(guard, gateways.rpc, ports.store, ports.clock, metrics, idle)
    every = timedelta(minutes=settings.agent_nft_watch_minutes)
    nfts = NftWatch(ports.store, gateways.rpc, ports.clock, every=every, moved=metrics.nfts_moved)
    backfill = Backfill(follower, gateways.rpc, ports.clock, gate.look_soon)
    index = IndexView(ports.store, ports.clock, gateways.rpc, follower, backfill, fast_path)
    return Engine(worker, tracker, follower, gate, planner, realtime, chain, nfts, backfill, index, formats)


def _steps(
    settings: Settings,
    ports: Ports,
    gateways: Gateways,
    platform_address: str,
    witness: ReadBack,
    planner: Planner,
    realtime: RealtimePlanner,
    sweep: EventsSweepStep,
    tracker: SignatureTracker,
    gate: StartGate,
) -> dict[str, Step]:
    store, clock, ids = ports.store, ports.clock, ports.ids
    pace = gateways.rpc.pace
    account = ata(platform_address, settings.usdc_mint)
    mint_terms = MintTerms(
        wallet_id=settings.circle_w3s_platform_wallet_id,
        platform_address=platform_address,
        usdc_account=account,
        derivation_secret=settings.agent_derivation_secret.get_secret_value().encode(),
        symbol=settings.agent_nft_symbol,
        public_base_url=settings.public_base_url,
        lamports_ceiling=settings.agent_mint_fee_ceiling_lamports,
        attempts_max=settings.agent_attempts_max,
        resend_every=lambda: resend_every(pace.seconds),
    )
    limits = Limits(settings.agent_approvers, settings.agent_cap_payout, settings.agent_cap_batch)
    rail_terms = RailTerms(
        wallet_id=settings.circle_w3s_platform_wallet_id,
        address=platform_address,
        usdc_account=account,
        usdc_token_id=settings.usdc_token_id,
        blockchain=settings.blockchain,
        attempts_max=settings.agent_attempts_max,
        day_cap=settings.agent_cap_day,
        pausing=PAUSES_SENDS,
    )
    mint = MintStep(
        store,
        clock,
        ids,
        Sender(gateways.rpc),
        witness,
        gateways.circle,
        Token2022Nft(),
        mint_terms,
        tracker.poke,
        _mint_payouts(settings, gateways, planner, platform_address),
    )
    races = Races(store, clock, witness, mint.address_of, lambda: gate.is_open)
    transfer = CircleTransferStep(
        store,
        clock,
        gateways.circle,
        witness,
        AbsenceProver(gateways.rpc, account, settings.usdc_mint),
        rail_terms,
        tracker.poke,
    )
    return {
        "stripe_event": StripeEventStep(store, clock),
        "events_sweep": sweep,
        "fee": FeeStep(store, clock, gateways.stripe, split_rule(settings)),
        "refunds": RefundsSyncStep(store, clock, gateways.stripe),
        "session_end": SessionEndStep(store, clock, ids, gateways.stripe),
        "refund": RefundStep(store, clock, ids, gateways.stripe, races),
        "wallet": WalletStep(
            store,
            clock,
            gateways.circle,
            settings.agent_user_wallets,
            settings.agent_wallet_set_id,
            settings.blockchain,
        ),
        "mint": mint,
        "mint_look": MintLookStep(mint, races),
        "mint_listing": MintListingStep(store, clock, gateways.circle, settings.agent_user_wallets),
        "balance_watch": BalanceWatchStep(
            store, clock, ids, settings.agent_balance_alert_usdc, settings.agent_balance_alert_lamports
        ),
        "alert": AlertStep(
            store, clock, ChatWebhook(ports.transport, settings.agent_alert_webhook_url.get_secret_value(), clock)
        ),
        "fund": FundStep(store, clock, account, in_real_time=settings.pays_in_real_time),
        "realtime": RealtimeStep(realtime),
        "conversion": ConversionStep(
            store,
            clock,
            ids,
            gateways.mint,
            ConversionTerms(
                settings.converts, platform_address, settings.agent_cap_conversion, settings.agent_cap_conversion_day
            ),
        ),
        "plan": PlanStep(planner),
        "batch": BatchStep(store, clock, limits),
        "seal": SealStep(store, clock),
        "prune": PruneStep(store, clock),
        "stripe_watch": StripeWatchStep(
            store, clock, gateways.stripe, f"{settings.public_base_url.rstrip('/')}/api/checkout/webhook/"
        ),
        "reconcile": ReconcileStep(
            store,
            clock,
            gateways.stripe,
            gateways.circle,
            gateways.rpc,
            Platform(settings.circle_w3s_platform_wallet_id, platform_address, account, settings.usdc_token_id),
        ),
        "transfer": transfer,
        "transfer_look": TransferLookStep(transfer),
    }
