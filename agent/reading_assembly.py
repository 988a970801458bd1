"""Builds what reads the chain and plans: also for the commands that work without the daemon, which need no more."""

from collections.abc import Callable
from datetime import timedelta

from agent.web.payout_way import PayoutWay
from chain.addresses import ata
from config.settings import Settings
from domain.ledger import Asset
from indexer.readback import ReadBack
from indexer.rpc.pool import RpcPool
from indexer.treasury.follower import TreasuryFollower
from indexer.wallet_check import WalletCheck
from payouts.addresses import AddressJudge, DenyList
from payouts.plan import Planner, PlanRules
from ports.clock import Clock
from ports.ids import Ids
from storage.store import Store


def build_follower(
    settings: Settings,
    store: Store,
    rpc: RpcPool,
    witness: ReadBack,
    clock: Clock,
    wake: Callable[[], None] = lambda: None,
    observe: Callable[[Asset, int], None] = lambda _asset, _gap: None,
) -> TreasuryFollower:
    return TreasuryFollower(
        store,
        rpc,
        witness,
        clock,
        poll_seconds=settings.agent_treasury_poll_ms / 1000,
        wake=wake,
        observe=observe,
    )


def build_planner(
    settings: Settings, store: Store, clock: Clock, ids: Ids, rpc: RpcPool, platform_address: str
) -> Planner:
    account = ata(platform_address, settings.usdc_mint)
    rules = PlanRules(
        minimum=settings.agent_payout_minimum,
        require_available=settings.require_available,
        cool_off=timedelta(hours=settings.agent_address_cool_off_hours),
        grouping=settings.grouping,
        rail=settings.agent_rail,
        hold=timedelta(days=settings.agent_hold_days),
        fee_ceiling=settings.agent_packed_fee_ceiling_lamports if settings.agent_rail == "solana" else 0,
    )
    judge = AddressJudge(DenyList(settings.denied_addresses), {platform_address, account, settings.usdc_mint})
    return Planner(store, clock, ids, rules, judge, account, WalletCheck(rpc))


def payout_way(settings: Settings) -> PayoutWay:
    return PayoutWay(
        settings.agent_payout_mode, settings.agent_rail, settings.grouping, settings.agent_atomic_settlement
    )
