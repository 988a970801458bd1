"""Creators from before, paid to wallets of their own: they move, and USDC's issuer stops an account for a while."""

import random
from contextlib import suppress

from solders.account import Account
from solders.keypair import Keypair
from solders.pubkey import Pubkey

from sandbox.solana_node.errors import NodeError
from sandbox.solana_node.node import USDC_DEVNET
from sandbox.solana_node.token_layouts import associated_token_address
from simulator.outside import ADMIN_TOKEN
from simulator.people import Cast, Person, account_of

FROM_BEFORE = 0.25
"""Of all creators."""
FROZEN_SECONDS = (60, 3_600, 40_000)
STATE_OFFSET, THAWED, FROZEN = 108, 1, 2
"""Where a token account says whether it is frozen (SPL Token's layout), and how."""
SEED_BYTES = 32


class OwnWallets:
    """They and their addresses are drawn from dice of their own."""

    def __init__(self, dice: random.Random) -> None:
        self._dice = dice
        self._owners: dict[str, str] = {}
        """Name → the address that was named last."""

    async def bring_over(self, cast: Cast, name: str) -> bool:
        """The operator enters somebody who was there before; False for whoever signs up by himself."""
        if self._dice.random() >= FROM_BEFORE:
            return False
        self._owners[name] = self._address()
        cast.stage.people.addresses[account_of(name)["email"]].add(self._owners[name])
        wish = {**account_of(name), "username": name, "wallet_address": self._owners[name]}
        made = await cast.ask("POST", "/admin/api/users", wish, ADMIN_TOKEN, admin=True)
        if made is None or made.status not in (201, 409):
            raise RuntimeError(f"{name} can't be brought over: {made}")
        return True

    async def move(self, cast: Cast) -> None:
        """One of them names another address."""
        person = self._somebody(cast)
        if person is not None:
            address = self._address()
            cast.stage.people.addresses[account_of(person.name)["email"]].add(address)
            moved = await cast.ask("POST", "/api/wallet/external/", {"wallet_address": address}, person.token)
            if moved is not None and moved.status == 200:
                self._owners[person.name] = address
            cast.stage.trace.tell(person.name, "moves to", address, moved.status if moved else "no answer")

    async def freeze(self, cast: Cast) -> None:
        """The USDC account of one of them is frozen, and thawed later."""
        person = self._somebody(cast)
        if person is None:
            return
        owner = self._owners[person.name]
        with suppress(NodeError):  # else he has given it away
            cast.stage.node.mint_usdc(Pubkey.from_string(owner), 0)
        self._set_state(cast, owner, FROZEN)
        cast.stage.trace.tell("the account of", owner, "is frozen")
        await cast.stage.clock.sleep(self._dice.choice(FROZEN_SECONDS))
        self._set_state(cast, owner, THAWED)

    def _somebody(self, cast: Cast) -> Person | None:
        theirs = [person for person in cast.creators if person.name in self._owners]
        return self._dice.choice(theirs) if theirs else None

    def _address(self) -> str:
        return str(Keypair.from_seed(self._dice.randbytes(SEED_BYTES)).pubkey())

    def _set_state(self, cast: Cast, owner: str, state: int) -> None:
        node = cast.stage.node
        address = associated_token_address(Pubkey.from_string(owner), USDC_DEVNET)
        found = node.account(address)
        if found is not None:  # else a fork has taken it back
            data = bytearray(found.data)
            data[STATE_OFFSET] = state
            node.place_account(address, Account(found.lamports, bytes(data), found.owner))
