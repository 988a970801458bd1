"""The treasurer moves money that is his to move, by hand in Circle's console: the daemon hears of it from the chain."""

import random

from solders.keypair import Keypair

from sandbox.circle_service.solana import COMPUTE_UNITS_DEFAULT, PRICES_MICROLAMPORTS, Fee
from sandbox.solana_node.node import USDC_DEVNET
from simulator.operator import Operator
from simulator.people import Cast

LEVEL = "MEDIUM"
AMOUNTS = (1, 250_000, 40_000_000)
"""Base units; none of them is what anybody is due, and nobody of ours is paid at the bank's address."""
FINAL_SECONDS = 30
LOOKS = 6
"""So often he looks whether the daemon shows his transfer, before he leaves it to the next round."""


class Treasurer:
    """`move_out` is one transfer to the platform's own bank, with the money for it."""

    def __init__(self, cast: Cast, operator: Operator, dice: random.Random) -> None:
        self._cast, self._operator, self._dice = cast, operator, dice
        self._bank = str(Keypair.from_seed(dice.randbytes(32)).pubkey())

    async def move_out(self) -> None:
        """Sends stop for it until it is accepted: whatever leaves without a payout might be a theft."""
        cast, custody = self._cast, self._cast.stage.circle.custody
        amount = self._dice.choice(AMOUNTS)
        cast.moved_out += amount
        await cast.deposit(amount)
        await cast.stage.clock.sleep(FINAL_SECONDS)
        wallet = custody.wallets.at(cast.stage.platform.address)
        assert wallet is not None
        token, fee = custody.tokens.at(str(USDC_DEVNET)), Fee(COMPUTE_UNITS_DEFAULT, PRICES_MICROLAMPORTS[LEVEL])
        made = custody.transfers.start(wallet, token, amount, self._bank, fee, LEVEL, None)
        cast.own_moves.append(made)
        cast.stage.trace.tell("the treasurer moves out", amount, "by", made.id)
        for _ in range(LOOKS):
            await cast.stage.clock.sleep(FINAL_SECONDS)
            await self._operator.decide_outflows()
