"""The web room put together: the two registries and their routers, from collaborators that assembly hands in."""

from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from agent.backup import Backups
from agent.looking_store import LookingStore
from agent.waking_store import WakingStore
from agent.web.access import Gatekeeper
from agent.web.accounts import Accounts, AddressCheck
from agent.web.admin.backups import AdminBackups
from agent.web.admin.batches import AdminBatches
from agent.web.admin.books import AdminBooks
from agent.web.admin.contents import AdminContents
from agent.web.admin.conversions import AdminConversions, ReadWires
from agent.web.admin.debts import AdminDebts
from agent.web.admin.events import AdminEvents
from agent.web.admin.imports import AdminImport
from agent.web.admin.index import AdminIndex, Indexer
from agent.web.admin.money import AdminMoney, BatchPlanner, ReadTreasury
from agent.web.admin.outflows import AdminOutflows, FindOrder, ReadPacked
from agent.web.admin.overview import AdminOverview, ReadRealtime, by_the_week
from agent.web.admin.people import AdminPeople
from agent.web.admin.purchases import AdminPurchases
from agent.web.admin.reports import AdminReports
from agent.web.admin.scrutiny import AdminScrutiny
from agent.web.admin.tokens import AdminTokens
from agent.web.admin.treasury import AdminTreasury
from agent.web.admin.work import AdminWork
from agent.web.checkout import CheckoutGateway, Shop
from agent.web.collaborators import Collaborators
from agent.web.console.app import Console
from agent.web.contents import Contents
from agent.web.endpoint import Access
from agent.web.health import Vitals, metrics_endpoint, with_document
from agent.web.intake import CircleCheck, StripeCheck, Webhooks
from agent.web.limits import limited
from agent.web.metering import WebMetrics
from agent.web.passwords import QUICK, Passwords
from agent.web.people.app import People
from agent.web.router import HostAllowList, Router
from agent.web.runbooks import Runbooks
from agent.web.settings import WebSettings
from agent.web.shelves import ReadUsdc, Shelves
from agent.web.withdrawals import CashDesk, Withdrawals
from ports.clock import Clock
from ports.executor import Executor
from ports.ids import Ids
from storage.payouts.upkeep import Payer
from storage.store import Store

API_VERSION = "1"


@dataclass(frozen=True, slots=True)
class Outside:
    """What the web room asks of other rooms. `usdc_account` is the token account of the platform wallet, which is
    the `payer`; `read_wires` asks Circle Mint. `on_work` is called after a commit that left work due at
    once, `on_act` after one of a person about a sale or an outflow."""

    stripe: CheckoutGateway
    circle: CashDesk
    check_stripe: StripeCheck
    check_circle: CircleCheck
    check_address: AddressCheck
    read_usdc: ReadUsdc
    read_treasury: ReadTreasury
    read_packed: ReadPacked
    find_order: FindOrder
    payer: Payer
    usdc_account: str
    read_wires: ReadWires
    planner: BatchPlanner
    metrics: WebMetrics
    render_metrics: Callable[[], Awaitable[bytes]]
    on_work: Callable[[], None]
    on_act: Callable[[], None]
    database: Path | None = None
    """SQLite's file; None where the database is no file."""
    indexer: Indexer | None = None
    """None in a web room without an indexer beside it."""
    trouble: Callable[[], Sequence[str]] = tuple
    """What of the outside can't be used now, in words for everybody."""
    refused_keys: Callable[[], Sequence[str]] = tuple
    """Services that do not take our key."""
    realtime: ReadRealtime = by_the_week


class WebApp:
    """`public` and `admin` are routers: served by `WebFront`, or called directly by the simulator."""

    def __init__(
        self, store: Store, clock: Clock, ids: Ids, executor: Executor, outside: Outside, settings: WebSettings
    ) -> None:
        passwords = Passwords(executor, settings.password_cost)
        accounts = Accounts(store, clock, ids, passwords, outside.circle, outside.check_address, settings)
        vitals = Vitals(store, outside.trouble)
        desk = LookingStore(store)
        acts = WakingStore(desk, outside.on_act)
        costly = [
            *accounts.endpoints(),
            *Contents(store, clock, ids, settings).endpoints(),
            *Collaborators(store).endpoints(),
            *Shop(store, clock, ids, outside.stripe, settings).endpoints(),
            *Shelves(store, clock, outside.read_usdc).endpoints(),
            *Withdrawals(
                store, clock, ids, outside.circle, outside.check_address, outside.read_usdc, settings
            ).endpoints(),
        ]
        public = [
            *limited(costly, clock),
            *Webhooks(
                store, clock, outside.check_stripe, outside.check_circle, outside.metrics, outside.on_work, settings
            ).endpoints(),
            *vitals.endpoints(),
        ]
        admin = [
            *AdminOverview(desk, clock, settings, outside.trouble, outside.realtime).endpoints(),
            *AdminWork(desk, clock, settings, outside.usdc_account, outside.refused_keys).endpoints(),
            *AdminPurchases(acts, clock, ids, settings).endpoints(),
            *AdminBatches(desk, clock).endpoints(),
            *AdminOutflows(acts, clock, ids, outside.payer, outside.read_packed, outside.find_order).endpoints(),
            *AdminMoney(desk, clock, outside.planner, outside.read_treasury).endpoints(),
            *AdminTreasury(desk, clock, ids, settings, outside.usdc_account).endpoints(),
            *AdminConversions(
                desk,
                clock,
                ids,
                settings.conversion,
                outside.payer.address,
                outside.usdc_account,
                outside.read_wires,
            ).endpoints(),
            *AdminBooks(desk).endpoints(),
            *AdminScrutiny(desk).endpoints(),
            *AdminReports(desk, clock).endpoints(),
            *AdminEvents(desk, clock).endpoints(),
            *AdminContents(desk, clock).endpoints(),
            *AdminTokens(desk, clock, ids).endpoints(),
            *AdminDebts(desk, clock).endpoints(),
            *AdminPeople(desk, clock, ids, passwords, outside.check_address, settings).endpoints(),
            *AdminImport(desk, clock, ids, Passwords(executor, QUICK), outside.check_address).endpoints(),
            *AdminBackups(desk, clock, Backups(clock, ids, executor, outside.database)).endpoints(),
            *(AdminIndex(desk, clock, outside.indexer).endpoints() if outside.indexer is not None else []),
            *Runbooks().endpoints(),
            metrics_endpoint(outside.render_metrics, Access.PUBLIC if settings.open_metrics else Access.VIEWER),
            *vitals.endpoints(),
        ]
        gatekeeper = Gatekeeper(store, clock, settings.rate)
        people = People(store, clock, ids, public, settings, gatekeeper)
        self.public = Router(
            with_document([*public, *people.endpoints], "Payment agent", API_VERSION),
            gatekeeper,
            outside.metrics,
            pages=people.entrance,
        )
        console = Console(store, clock, ids, admin, settings, gatekeeper)
        self.admin = Router(
            with_document([*admin, *console.endpoints], "Payment agent, operator's port", API_VERSION),
            gatekeeper,
            outside.metrics,
            HostAllowList(settings.admin_hosts),
            console.entrance,
        )
