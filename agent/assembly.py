"""Wires the background: settings, ports and gateways in, the daemon's parts out. Nothing here runs by itself."""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import timedelta
from functools import partial

from agent.explaining import Explaining
from agent.gateway_assembly import Gateways, Ports, build_fast_path
from agent.index_view import IndexView
from agent.lanes import lanes_of
from agent.rail_assembly import packed_rail
from agent.reading_assembly import build_follower, build_planner
from agent.start_gate import StartGate
from agent.step_assembly import Parts, realtime_rules, steps_of
from agent.steps.circle_notification import CircleNotificationStep
from agent.steps.events_sweep import EventsSweepStep
from agent.waking_store import WakingStore
from agent.worker import Worker
from chain.addresses import ata
from config.settings import Settings
from domain.keys import mint_seed
from indexer.chain_watch import ChainWatch
from indexer.guard import ChainGuard
from indexer.nft_watch import NftWatch
from indexer.readback import ReadBack
from indexer.tracker import SignatureTracker
from indexer.treasury.backfill import Backfill
from indexer.treasury.follower import TreasuryFollower
from metrics import Metrics
from payouts.conversion_listing import ConversionListingStep
from payouts.plan import Planner
from payouts.rails.formats import FormatProbe
from payouts.realtime import RealtimePlanner
from storage.payouts.upkeep import Payer


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
    realtime = RealtimePlanner(waking, ports.clock, ports.ids, planner, realtime_rules(settings), account)
    parts = Parts(
        settings, ports, gateways, platform_address, account, witness, planner, realtime, sweep, tracker, gate
    )
    steps = steps_of(parts)
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
        planner.judge,
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
