"""The proof that nothing left, asked for by several at once."""

import asyncio
from collections.abc import Callable

from solders.keypair import Keypair

from domain.evidence import TransferIntent
from indexer.absence import QUIET_BLOCKS, Absence, AbsenceProver
from tests.indexer.world import Indexed

Quick = Callable[..., Indexed]


async def test_that_nothing_can_land_any_more_takes_two_endpoints(quick: Quick) -> None:
    indexed = quick("/a", "/b")
    prover = AbsenceProver(indexed.rpc, indexed.usdc_account, indexed.usdc_mint)
    intent = TransferIntent(indexed.wallet, str(Keypair().pubkey()), 1_917_000)
    begun = ended = indexed.clock.now()
    indexed.world.node.endpoints["/a"].lag_slots = 40
    assert await prover.no_outflow(intent, begun, ended, ()) is None
    indexed.world.node.endpoints["/a"].lag_slots = 0
    far = await indexed.rpc.get_block_height() + QUIET_BLOCKS + 100
    indexed.world.node.endpoints["/a"].lies["getBlockHeight"] = lambda _: far
    indexed.world.pass_slots(40)
    assert await prover.no_outflow(intent, begun, ended, ()) is None
    indexed.world.pass_slots(QUIET_BLOCKS - 60)
    assert await prover.no_outflow(intent, begun, ended, ()) is None
    indexed.world.pass_slots(60)
    assert await prover.no_outflow(intent, begun, ended, ())


async def test_two_equal_transfers_given_up_in_one_second_are_both_proven(quick: Quick) -> None:
    """`simulate --seed 4 --weeks 2 --faults none --operators`: the proof of one took what the other's stood on."""
    indexed = quick("/a", "/b")
    prover = AbsenceProver(indexed.rpc, indexed.usdc_account, indexed.usdc_mint)
    intent = TransferIntent(indexed.wallet, str(Keypair().pubkey()), 1_917_000)
    begun = ended = indexed.clock.now()

    async def both() -> list[Absence | None]:
        return await asyncio.gather(*(prover.no_outflow(intent, begun, ended, ()) for _ in range(2)))

    assert await both() == [None, None]
    indexed.world.pass_slots(QUIET_BLOCKS + 40)
    assert all(await both())
