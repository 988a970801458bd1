"""The proof that nothing left, asked for by several at once."""

import asyncio
from collections.abc import Callable

import orjson
import pytest
from solders.keypair import Keypair

from domain.errors import Retryable
from domain.evidence import TransferIntent
from indexer.absence import QUIET_BLOCKS, Absence, AbsenceProver
from indexer.rpc.errors import Disagreement
from tests.indexer.test_treasury import CREATOR, USDC, deposit, pay
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


async def test_a_transaction_is_read_once_however_often_and_for_how_many_a_proof_is_asked_for(quick: Quick) -> None:
    """Where Circle gives hundreds up in a large batch, each proof read all that the wallet had paid since, each time
    anew and twice over."""
    indexed = quick("/a", "/b")
    prover = AbsenceProver(indexed.rpc, indexed.usdc_account, indexed.usdc_mint)
    creator = Keypair().pubkey()
    begun = ended = indexed.clock.now()
    deposit(indexed, 20 * USDC)
    for amount in (1, 2, 3):
        pay(indexed, amount * USDC)
    found = TransferIntent(indexed.wallet, str(CREATOR), USDC)
    lost = [TransferIntent(indexed.wallet, str(creator), amount * USDC) for amount in (1, 2)]
    for intent in (*lost, found):
        assert await prover.no_outflow(intent, begun, ended, ()) is None
    indexed.world.pass_slots(QUIET_BLOCKS + 40)
    proofs = [await prover.no_outflow(intent, begun, ended, ()) for intent in (*lost, found)]
    assert [proof is None for proof in proofs] == [False, False, True]
    assert indexed.wire.count("getTransaction") == 2 * 4


async def test_endpoints_that_contradicted_each_other_once_are_asked_anew(quick: Quick) -> None:
    """What one had shown wrongly was held against the other for as long as the process lived: no proof, and no end."""
    indexed = quick("/a", "/b")
    prover = AbsenceProver(indexed.rpc, indexed.usdc_account, indexed.usdc_mint)
    begun = ended = indexed.clock.now()
    deposit(indexed, 20 * USDC)
    signature = pay(indexed, 3 * USDC)
    lost = TransferIntent(indexed.wallet, str(CREATOR), USDC)
    assert await prover.no_outflow(lost, begun, ended, ()) is None
    indexed.world.pass_slots(QUIET_BLOCKS + 40)
    truth = indexed.world.rpc("getTransaction", signature, {"encoding": "base64", "maxSupportedTransactionVersion": 1})
    told = orjson.dumps(truth).replace(b'"17000000"', b'"19000000"').replace(b'"3000000"', b'"1000000"')
    indexed.world.node.endpoints["/a"].lies["getTransaction"] = lambda _: orjson.loads(told)
    with pytest.raises(Disagreement):
        await prover.no_outflow(lost, begun, ended, ())
    indexed.world.node.endpoints["/a"].lies.clear()
    assert await prover.no_outflow(lost, begun, ended, ())


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


@pytest.mark.parametrize("kept", ["since before it", "since after it"])
async def test_nothing_is_proven_by_endpoints_that_keep_no_history_back_to_the_attempt(kept: str, quick: Quick) -> None:
    """Two that prune their ledgers list nothing where an outflow was: that it has left was proven not to be so."""
    indexed = quick("/a", "/b")
    deposit(indexed, 20 * USDC)
    indexed.world.pass_slots(200_000)
    before, begun = indexed.world.node.tip(), indexed.clock.now()
    indexed.world.pass_slots(10_000)
    lost = TransferIntent(indexed.wallet, str(CREATOR), 3 * USDC)
    pay(indexed, 3 * USDC)
    indexed.world.pass_slots(10_000)
    for path in ("/a", "/b"):
        first = before - 100_000 if kept == "since before it" else indexed.world.node.tip() - 100
        indexed.world.node.endpoints[path].ledger_from = first
    prover = AbsenceProver(indexed.rpc, indexed.usdc_account, indexed.usdc_mint)
    other = TransferIntent(indexed.wallet, str(CREATOR), USDC)
    for intent in (lost, other):
        assert await prover.no_outflow(intent, begun, begun, ()) is None
    indexed.world.pass_slots(QUIET_BLOCKS + 40)
    if kept == "since before it":
        assert await prover.no_outflow(lost, begun, begun, ()) is None
        assert await prover.no_outflow(other, begun, begun, ())
        return
    for intent in (lost, other):
        with pytest.raises(Retryable, match="keeps no history back to"):
            await prover.no_outflow(intent, begun, begun, ())
