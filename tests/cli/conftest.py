"""A daemon's admin port on a real socket, over real SQLite; the planner is the real one, the chain's balance is set."""

from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from datetime import timedelta

import pytest

from agent.cli.client import AdminClient
from agent.web.front import WebFront
from chain.addresses import ata
from config.admin_access import AdminAccess
from config.settings import DEVNET_USDC
from payouts.addresses import AddressJudge, DenyList
from payouts.plan import Planner, PlanRules
from ports.system import SystemIds
from storage.engines.sqlite import SqliteStore
from tests.sales import PLATFORM, Sales
from tests.web.shop import Shop, opened

TOKEN = "admin-approver"


@dataclass
class House:
    """The shop's web room with the real planner behind it."""

    shop: Shop
    sales: Sales
    access: AdminAccess = field(init=False)

    def __post_init__(self) -> None:
        self.access = AdminAccess(f"http://127.0.0.1:{self.shop.admin.port}", TOKEN)

    @property
    def front(self) -> WebFront:
        return self.shop.admin


@pytest.fixture
async def house(sqlite_store: SqliteStore) -> AsyncIterator[House]:
    account = ata(PLATFORM, DEVNET_USDC)
    shop = Shop(sqlite_store)
    shop.usdc_account = account
    judge = AddressJudge(DenyList(()), {PLATFORM, account})
    rules = PlanRules(10_000, False, timedelta(0), "purchase", "circle")
    shop.planner = Planner(sqlite_store, shop.clock, SystemIds(), rules, judge, account)  # type: ignore[assignment]
    shop.treasury = (500_000_000, 2_500_000_000)
    async with opened(shop):
        yield House(shop, Sales(account))


@pytest.fixture
async def client(house: House) -> AsyncIterator[AdminClient]:
    async with AdminClient(house.access) as opened_client:
        yield opened_client
