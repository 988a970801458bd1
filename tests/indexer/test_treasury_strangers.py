"""What strangers put into the platform wallet's history must not keep its money from being seen."""

import base64
from typing import Any

from solders.pubkey import Pubkey
from solders.transaction import VersionedTransaction

from indexer.history import STRETCH
from indexer.treasury.reader import CHUNK
from sandbox.solana_node.token_layouts import TOKEN
from tests.indexer.test_treasury import USDC, Quick, deposit


def program_at(told: Any, program: Pubkey) -> int:
    """The index of a program among the keys of a transaction that a node shows."""
    message = VersionedTransaction.from_bytes(base64.b64decode(told["transaction"][0])).message
    return message.account_keys.index(program)


async def test_a_stranger_whose_program_says_ten_kib_to_another_stops_nothing(quick: Quick) -> None:
    """It goes through the wallet's history for a fraction of a cent, and every deposit behind it was waited for."""
    indexed = quick("/a")
    loud = deposit(indexed, USDC)

    def show(params: list[Any]) -> Any:
        told = indexed.world.rpc("getTransaction", *params)
        if params[0] == loud:
            step = {"programIdIndex": program_at(told, TOKEN), "accounts": [0], "data": "2" * 13_986, "stackHeight": 2}
            told["meta"]["innerInstructions"] = [{"index": 0, "instructions": [step]}]
        return told

    indexed.world.node.endpoints["/a"].lies["getTransaction"] = show
    deposit(indexed, 4 * USDC)
    indexed.finalize()
    await indexed.treasury.follow()
    assert await indexed.sum_of(indexed.usdc_account) == 5 * USDC


async def test_a_deposit_is_seen_while_much_that_strangers_sent_is_still_to_be_read(quick: Quick) -> None:
    """Anyone can name the wallet in any number of transactions, for next to nothing, and each takes a call or two."""
    indexed = quick("/a")
    for number in range(STRETCH + CHUNK):
        indexed.world.node.airdrop(indexed.world.alice.pubkey(), 1000 + number)
        if number % 100 == 0:
            indexed.world.pass_slots(1)
    indexed.finalize()

    def show(params: list[Any]) -> Any:
        if indexed.wire.count("getTransaction") == CHUNK // 2:
            deposit(indexed, 3 * USDC)
            indexed.finalize()
        return indexed.world.rpc("getTransaction", *params)

    indexed.world.node.endpoints["/a"].lies["getTransaction"] = show
    assert (await indexed.treasury.follow()).deposits == 1
