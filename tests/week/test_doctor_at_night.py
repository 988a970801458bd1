"""What `doctor` says to whoever is woken: what keeps payouts from leaving, and how to mend it, a line each."""

import json
from pathlib import Path

from agent.checkup.findings import Finding, State
from agent.checkup.heard import Listener
from agent.checkup.reachable import operator
from ports.transport import HttpRequest, HttpResponse
from simulator.outside import ADMIN_TOKEN
from tests.week.people import on_virtual_time
from tests.week.selling import DUE, Market
from tests.week.test_orders_held import held
from tests.week.test_refused_keys import KEY, LONGEST_PAUSE
from tests.week.test_unanswered_orders import SOON
from tests.week.virtual_world import VirtualWorld


class AdminPort:
    """Leads a command's calls to the running daemon's admin port."""

    def __init__(self, world: VirtualWorld) -> None:
        self._world = world

    async def send(self, request: HttpRequest) -> HttpResponse:
        path = request.url.removeprefix(self._world.settings.agent_admin_url.rstrip("/"))
        answer = await self._world.call(request.method, path, token=ADMIN_TOKEN, admin=True)
        return HttpResponse(answer.status, {}, json.dumps(answer.body).encode())

    async def close(self) -> None:
        """Nothing is open."""


async def doctor(world: VirtualWorld) -> list[Finding]:
    listener = Listener(AdminPort(world), world.clock)
    first, *others = [finding async for finding in operator(world.settings, listener)]
    assert (first.check, first.state) == ("daemon", State.OK)
    return others


@on_virtual_time
async def test_doctor_tells_a_line_each_what_stops_payouts_and_how_to_mend_it(tmp_path: Path) -> None:
    shop = Market(VirtualWorld(tmp_path))
    world = shop.world
    await shop.open("ada")
    await shop.sell()
    await shop.deposited(2 * DUE)
    assert [(one.check, one.state) for one in await doctor(world)] == [("payouts", State.OK)]
    wallet = f"/_sandbox/wallets/{world.platform.wallet_id}"
    await world.circle_post(f"{wallet}/freeze", {})
    await shop.plan()
    await shop.until_work_says("an operator must act")
    (orders,) = await doctor(world)
    assert (orders.check, orders.state) == ("orders", State.FAILED)
    assert "The wallet is frozen" in orders.text and "docs/runbooks/ordersheld.md" in orders.remedy
    world.circle.custody.entity.api_keys = frozenset()

    async def is_refused() -> bool:
        return bool((await world.operator("GET", "/admin/api/status")).body["refused_keys"] == ["Circle"])

    await world.until("the key is refused", is_refused)
    paused = await world.operator("POST", "/admin/api/sends/pause", {"reason": "look first"})
    assert paused.status == 200
    told = {one.check: one for one in await doctor(world)}
    assert {check: one.state for check, one in told.items()} == {
        "key": State.FAILED,
        "sends": State.WARNING,
        "orders": State.FAILED,
    }
    assert told["key"].text == "Circle refuses the daemon's own"
    assert "look first" in told["sends"].text and "python main.py sends resume" in told["sends"].remedy
    overview = (await world.operator("GET", "/admin/api/overview")).body
    assert "Circle refuses our key: what needs it waits" in overview["trouble"]
    world.circle.custody.entity.api_keys = frozenset({KEY})
    await world.circle_post(f"{wallet}/unfreeze", {})
    assert (await world.operator("POST", "/admin/api/sends/resume")).status == 200
    await shop.batch_is("settled", seconds=LONGEST_PAUSE + SOON)
    assert await held(shop) is None
    assert [one.check for one in await doctor(world)] == ["payouts"]
    await shop.close()
