"""Both rails under every fault of Circle, the nodes and the chain, and a process that dies: each payout once.

The exactly-once table's rows "Circle transfer" and "packed payout". Each story plays rounds in one world: a sale each
of two creators, a fault, a batch; then the chain is compared with what is due.
"""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import pytest
from solders.pubkey import Pubkey

from sandbox.faults import Fault, Rule
from tests.week.checker import outflows, rows_of
from tests.week.people import on_virtual_time, parked
from tests.week.selling import DUE, Market, MortalWorld
from tests.week.virtual_world import MONDAY, VirtualWorld

RAILS = pytest.mark.parametrize("rail", ["circle", "solana"])
EXPIRY_SLOTS = 250
"""More than a blockhash's life of 150 blocks and the 32 slots to finality."""


@dataclass(slots=True)
class Rounds:
    """A market in which one batch after the other is paid; `count` rounds so far."""

    shop: Market
    count: int = 0

    @property
    def world(self) -> VirtualWorld:
        return self.shop.world

    async def open(self) -> None:
        """The creators' token accounts exist: making them is another story."""
        await self.shop.open("ada", "bob")
        for creator in self.shop.creators.values():
            self.world.node.mint_usdc(Pubkey.from_string(creator.address or ""), 0)
        await self.shop.deposited(100 * DUE)

    async def play(self, fault: Callable[[], None] | None = None, seconds: float = 600) -> None:
        """A sale of each, the fault, a batch; both are paid once more."""
        await self.shop.sell()
        if fault is not None:
            fault()
        await self.shop.plan()
        self.count += 1
        await self.settled(seconds)

    async def settled(self, seconds: float = 600) -> None:
        await self.shop.batch_is("settled", self.count, seconds)
        assert self.shop.paid() == dict.fromkeys(("ada", "bob"), self.count * DUE)
        assert await parked(self.world) == []


def rounds(folder: Path, rail: str, **settings: str) -> Rounds:
    return Rounds(Market(VirtualWorld(folder, 1, MONDAY, AGENT_RAIL=rail, **settings)))


KINDS = [
    *((Fault.LOSE_REQUEST, 500), (Fault.STATUS, 500), (Fault.STATUS, 429)),
    *((kind, 500) for kind in (Fault.LOSE_ANSWER, Fault.CUT_BODY, Fault.HTML)),
]
"""Those that leave no order come first: what one of the others has made is found in Circle's list."""
ORDERED = {"circle": "POST /v1/w3s/developer/transactions/transfer", "solana": "sign/transaction"}
READ = {
    "circle": ("getTransaction", "getSignatureStatuses"),
    "solana": ("getMultipleAccounts", "simulateTransaction", "sendTransaction", "getTransaction"),
}


@RAILS
@on_virtual_time
async def test_whatever_becomes_of_calls_and_answers_each_payout_leaves_once(rail: str, tmp_path: Path) -> None:
    story = rounds(tmp_path, rail)
    circle, node = story.world.circle.faults, story.world.node.faults
    await story.open()

    def every_call_to_circle_fails_in_every_way() -> None:
        for kind, status in KINDS:
            circle.add(Rule(ORDERED[rail], kind, status=status))

    def the_nodes_lose_their_answers() -> None:
        for method in READ[rail]:
            node.add(Rule(method, Fault.LOSE_ANSWER, times=3))

    await story.play(every_call_to_circle_fails_in_every_way)
    await story.play(the_nodes_lose_their_answers)
    assert circle.injected == len(KINDS)
    assert len(outflows(story.world)) == story.count * (1 if rail == "solana" else 2)
    await story.shop.close()


@pytest.mark.parametrize("listed", [True, False])
@on_virtual_time
async def test_an_order_whose_answer_was_lost_is_not_dead_because_it_is_refused_later(
    listed: bool, tmp_path: Path
) -> None:
    """Circle checks its requests otherwise than a moment ago: what it took then, it took."""
    story = rounds(tmp_path, "circle")
    await story.open()
    refused = b'{"code":2,"message":"API parameter invalid"}'

    def lost_and_then_refused() -> None:
        story.world.circle.faults.add(Rule(ORDERED["circle"], Fault.LOSE_ANSWER, times=2))
        story.world.circle.faults.add(Rule(ORDERED["circle"], Fault.STATUS, times=2, status=400, body=refused))
        if not listed:
            asked = "GET /v1/w3s/transactions"
            story.world.circle.faults.add(Rule(asked, Fault.STATUS, times=2, status=400, body=refused))

    await story.play(lost_and_then_refused, 7200)
    assert len(outflows(story.world)) == 2
    assert rows_of(story.world, "SELECT 1 FROM transfer_attempts WHERE state = 'dead'") == []
    await story.shop.close()


@on_virtual_time
async def test_packed_bytes_that_are_dropped_and_land_late_are_sent_again_and_never_signed_anew(tmp_path: Path) -> None:
    story = rounds(tmp_path, "solana")
    await story.open()

    def slow_network() -> None:
        story.world.node.switches.drop_sends = 2
        story.world.node.switches.land_after_slots = 60

    await story.play(slow_network)
    rows = rows_of(story.world, "SELECT state, attempt FROM group_attempts")
    assert [(row["state"], row["attempt"]) for row in rows] == [("finalized", 1)]
    await story.shop.close()


def _stop_sends(world: VirtualWorld, stopped: bool) -> None:
    for endpoint in world.node.endpoints.values():
        endpoint.drops_sends = stopped


async def _signed(story: Rounds, attempt: int = 1) -> str:
    """Wait for the newest group's attempt of that number to be sent; its signature."""
    sql = (
        f"SELECT signature FROM group_attempts WHERE state = 'sent' AND attempt = {attempt} "
        f"AND group_id = (SELECT MAX(id) FROM payout_groups)"
    )

    async def sent() -> bool:
        return bool(rows_of(story.world, sql))

    await story.world.until("a group was sent", sent)
    return str(rows_of(story.world, sql)[0]["signature"])


@on_virtual_time
async def test_an_expired_group_gets_a_successor_beside_its_proof_and_one_that_both_nodes_deny_is_found_by_its_receipt(
    tmp_path: Path,
) -> None:
    story = rounds(tmp_path, "solana")
    world = story.world
    await story.open()
    await story.shop.sell()
    _stop_sends(world, True)
    await story.shop.plan()
    story.count += 1
    await _signed(story)
    world.node.skip_slots(EXPIRY_SLOTS)
    await _signed(story, 2)
    _stop_sends(world, False)
    await story.settled()
    dead, paid = rows_of(world, "SELECT * FROM group_attempts ORDER BY attempt")
    assert (dead["state"], paid["state"]) == ("dead", "finalized")
    assert "finalized_block_height" in dead["proof"]
    assert "absent at finalized" in dead["proof"]
    # Both nodes lie about the next one's signature, so that it counts as expired: the receipt tells the truth.
    await story.shop.sell()
    _stop_sends(world, True)
    await story.shop.plan()
    story.count += 1
    signature = await _signed(story)
    for endpoint in world.node.endpoints.values():
        endpoint.hides.add(signature)
    _stop_sends(world, False)
    landed = len(outflows(world)) + 1

    async def left() -> bool:
        return len(outflows(world)) == landed

    await world.until("it landed unseen", left)
    world.node.skip_slots(EXPIRY_SLOTS)
    await world.clock.sleep(30)
    for endpoint in world.node.endpoints.values():
        endpoint.hides.clear()
    await story.settled(1_200)
    assert len(outflows(world)) == landed
    await story.shop.close()


async def _kill_at(story: Rounds, world: MortalWorld, point: int | None) -> int:
    """A round whose process dies at that point after the batch was planned, and is started again; the points passed."""
    await story.shop.sell()
    await story.shop.plan()
    story.count += 1
    world.fuse.arm(point)
    if point is not None:
        await world.died()
        await world.start()
    await story.settled()
    passed = world.fuse.points
    world.fuse.disarm()
    return passed


KILLS = 3
"""Deaths spread over a batch; the soak test tries every point."""


@RAILS
@on_virtual_time
async def test_a_process_that_dies_on_the_way_pays_what_it_began_and_nothing_twice(rail: str, tmp_path: Path) -> None:
    world = MortalWorld(tmp_path, 1, MONDAY, AGENT_RAIL=rail)
    story = Rounds(Market(world))
    await story.open()
    points = await _kill_at(story, world, None)
    for number in range(KILLS):
        await _kill_at(story, world, (2 * number + 1) * points // (2 * KILLS))
    await story.shop.close()


@pytest.mark.soak
@RAILS
@on_virtual_time
async def test_a_process_that_dies_at_any_point_of_a_batch_pays_nothing_twice(rail: str, tmp_path: Path) -> None:
    world = MortalWorld(tmp_path, 1, MONDAY, AGENT_RAIL=rail)
    story = Rounds(Market(world))
    await story.open()
    for point in range(1, await _kill_at(story, world, None) + 1):
        await _kill_at(story, world, point)
    await story.shop.close()
