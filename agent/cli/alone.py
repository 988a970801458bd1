"""Looking without a daemon: takes the database's lock, which a running daemon holds, and answers as the admin API does.

Balances are read from the chain at once, and an unreadable one is an error here too.
"""

from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress

from agent.cli.client import CommandFailed
from agent.cli.lock import locked_store
from agent.identity import PLATFORM_ADDRESS, recorded
from agent.index_view import IndexView, backfill_row
from agent.reading_assembly import build_follower, build_planner, payout_way
from agent.web.admin.batch_bodies import BatchRow, Preview
from agent.web.admin.money import AdminMoney
from agent.web.admin.scrutiny import AdminScrutiny
from agent.web.admin.work import AdminWork
from agent.web.admin.work_bodies import Status, WorkPage, WorkQuery
from agent.web.bodies import Paging
from agent.web.books_bodies import PageOfRule, Rule, RulePage, SaleQuery, Trace
from agent.web.endpoint import Call
from agent.web.index_bodies import BackfillRow, IndexStatus
from agent.web.messages import WebRequest
from agent.web.settings import WebSettings
from chain.addresses import ata
from config.settings import Settings
from domain.errors import Rejected, RequestError, Retryable
from gateways.transport import AiohttpTransport
from indexer.readback import ReadBack
from indexer.rpc.pool import RpcPool
from indexer.treasury.backfill import Backfill
from ports.system import SystemClock, SystemIds
from storage.store import Store

_HERE = WebRequest("GET", "/")


class Alone:
    """The admin API's reads, called directly."""

    def __init__(self, settings: Settings, store: Store, transport: AiohttpTransport, platform_address: str) -> None:
        clock, ids = SystemClock(), SystemIds()
        self._rpc = RpcPool(
            settings.rpc_urls,
            transport,
            clock,
            weights=settings.rpc_weights,
            requests_per_second=settings.rpc_rates,
            slot_seconds=settings.agent_slot_ms / 1000,
        )
        self._address, self._account = platform_address, ata(platform_address, settings.usdc_mint)
        planner = build_planner(settings, store, clock, ids, self._rpc, platform_address)
        web = WebSettings(settings.public_base_url, settings.live, payouts=payout_way(settings))
        self._money = AdminMoney(store, clock, planner, self._read_treasury)
        self._work = AdminWork(store, clock, web, self._account)
        self._scrutiny = AdminScrutiny(store)
        witness = ReadBack(self._rpc, platform_address, settings.usdc_mint)
        follower = build_follower(settings, store, self._rpc, witness, clock)
        self._backfill = Backfill(follower, self._rpc, clock)
        self._index = IndexView(store, clock, self._rpc, follower, self._backfill)

    async def preview(self) -> Preview:
        try:
            return await self._money.preview(Call(_HERE))
        except RequestError as error:
            raise CommandFailed(str(error)) from None

    async def status(self) -> Status:
        return await self._work.status(Call(_HERE))

    async def batches(self, before: int | None = None, limit: int = 20) -> list[BatchRow]:
        return (await self._money.batches(Call(_HERE, query=Paging(before=before, limit=limit)))).items

    async def parked(self, limit: int) -> WorkPage:
        return await self._work.work(Call(_HERE, query=WorkQuery(state="parked", limit=limit)))

    async def gate_is_open(self) -> bool | None:
        return None

    async def index_status(self) -> IndexStatus:
        with suppress(Retryable):  # the endpoints' state is what is shown
            await self._rpc.look_around()
        return await self._index.status()

    async def backfill(self, from_signature: str | None, tell: Callable[[BackfillRow], None]) -> BackfillRow:
        """What was read stays stored whenever it is broken off."""
        try:
            begun = await self._backfill.start(from_signature)
        except (Rejected, Retryable) as error:
            raise CommandFailed(str(error)) from None
        await self._backfill.perform(begun, lambda state: tell(backfill_row(state)))
        assert self._backfill.state is not None
        return backfill_row(self._backfill.state)

    async def rules(self) -> list[Rule]:
        return (await self._scrutiny.rules(Call(_HERE))).rules

    async def rule_page(self, rule: str, after: str | None) -> RulePage:
        return await self._scrutiny.page(Call(_HERE, query=PageOfRule(rule=rule, after=after)))

    async def trace(self, sale: str) -> Trace:
        try:
            return await self._scrutiny.trace(Call(_HERE, query=SaleQuery(sale=sale)))
        except RequestError as error:
            raise CommandFailed(str(error)) from None

    async def _read_treasury(self) -> tuple[int, int]:
        usdc = await self._rpc.get_token_amount(self._account)
        return usdc.amount, (await self._rpc.get_balance(self._address)).amount


@asynccontextmanager
async def working_alone() -> AsyncIterator[Alone]:
    """Raises CommandFailed, also when the daemon never ran on this database."""
    async with locked_store() as (settings, store):
        address = await store.read(lambda conn: recorded(conn, PLATFORM_ADDRESS))
        if address is None:
            raise CommandFailed("the platform wallet is not known yet: start the daemon once with `python main.py run`")
        transport = AiohttpTransport()
        try:
            yield Alone(settings, store, transport, address)
        finally:
            await transport.close()
