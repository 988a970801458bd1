"""A market whose sales are paid by the transaction of their mint, as far as the rules let it."""

from collections.abc import Mapping
from pathlib import Path

from solders.pubkey import Pubkey

from tests.week.checker import outflows, rows_of
from tests.week.selling import Fuse, Market, MortalWorld
from tests.week.virtual_world import MONDAY, VirtualWorld

ATOMIC = {"AGENT_PAYOUT_MODE": "realtime", "AGENT_ATOMIC_SETTLEMENT": "true"}
SHARES: Mapping[str, int] = {"ada": 7_000, "bob": 3_000}
PARTS = {"ada": 1_645_000, "bob": 705_000}
"""Of the 2.35 USDC of a $3.00 sale."""


class AtomicMarket(Market):
    """Ada and Bob share a work. Its buyer sets up his wallet only when the sale's fee is final, so that all rules of a
    plan can hold when the mint is due."""

    content = 0

    async def open_shared(self, *, money: int = 10_000_000, accounts: bool = True) -> None:
        await self.open("ada", "bob")
        shares = [{"user_id": self.creators[name].id, "share_bps": share} for name, share in SHARES.items()]
        self.content = await self.publish(self.creators["ada"].token, 300, collaborators=shares)
        if accounts:
            self.open_accounts()
        if money:
            await self.deposited(money)

    def open_accounts(self) -> None:
        """Everybody has a USDC account."""
        for creator in self.creators.values():
            self.world.node.mint_usdc(Pubkey.from_string(creator.address or ""), 0)

    async def pay_without_wallet(self, name: str) -> int:
        """A new buyer pays; his mint waits for his wallet, the fee is final. The purchase's id."""
        self.world.circle.custody.switches.auto_pin = False
        _, token = await self.sign_up(name)
        payment = self.payment_of(await self.buy(token, self.content))
        found: list[int] = []

        async def priced() -> bool:
            sql = f"SELECT id FROM purchases WHERE stripe_payment_intent_id = '{payment}' AND stripe_fee IS NOT NULL"
            found[:] = [row["id"] for row in rows_of(self.world, sql)]
            return bool(found)

        await self.world.until("the fee is final", priced)
        return found[0]

    def give_wallet(self) -> None:
        """The buyers enter their PINs: their mints are due."""
        self.world.circle.custody.switches.auto_pin = True

    async def sold_at_once(self, name: str = "late") -> int:
        """A sale of which every rule holds when its mint is due, until it is minted. The purchase's id."""
        purchase_id = await self.pay_without_wallet(name)
        self.give_wallet()
        await self.is_minted(purchase_id)
        return purchase_id

    async def sold_to_the_ready(self) -> None:
        """A buyer who has his wallet buys: the mint is due before the fee can be known."""
        payment = self.payment_of(await self.buy(self.buyer_token, self.content))
        sql = f"SELECT id FROM purchases WHERE stripe_payment_intent_id = '{payment}' AND minted_at IS NOT NULL"

        async def minted() -> bool:
            return bool(rows_of(self.world, sql))

        await self.world.until("the sale is minted", minted)

    async def is_minted(self, purchase_id: int, seconds: float = 600) -> None:
        sql = f"SELECT id FROM purchases WHERE id = {purchase_id} AND minted_at IS NOT NULL"

        async def minted() -> bool:
            return bool(rows_of(self.world, sql))

        await self.world.until("the sale is minted", minted, seconds)

    async def all_distributed(self) -> None:
        """By the mint, or in real time after it."""

        async def paid() -> bool:
            return set(self.states()) == {"distributed"}

        await self.world.until("everybody is paid", paid)

    def is_paid_once(self, sales: int = 1) -> None:
        """Each sale's parts have arrived, in one transaction each, which made its NFT."""
        assert self.paid() == {name: sales * part for name, part in PARTS.items()}
        left = outflows(self.world)
        mints = rows_of(self.world, "SELECT mint_signature FROM purchases WHERE minted_at IS NOT NULL")
        assert set(left) == {row["mint_signature"] for row in mints}
        assert len(left) == sales

    def is_paid_apart(self) -> None:
        """Every NFT was made by a transaction that paid nobody."""
        mints = rows_of(self.world, "SELECT mint_signature FROM purchases WHERE minted_at IS NOT NULL")
        assert mints
        assert not {row["mint_signature"] for row in mints} & set(outflows(self.world))

    def why_alone(self) -> list[str]:
        """What the history says of mints that were not to pay, or not any more."""
        sql = "SELECT reason FROM state_history WHERE machine = 'mint' AND reason LIKE 'mints alone: %' ORDER BY id"
        return [row["reason"].removeprefix("mints alone: ") for row in rows_of(self.world, sql)]

    def attempts(self) -> list[str]:
        return [row["state"] for row in rows_of(self.world, "SELECT state FROM mint_attempts ORDER BY id")]


def atomic_market(folder: Path, **settings: str) -> AtomicMarket:
    return AtomicMarket(VirtualWorld(folder, 1, MONDAY, **ATOMIC, **settings))


def mortal_market(folder: Path, fuse: Fuse) -> tuple[AtomicMarket, MortalWorld]:
    """One whose daemon dies when the fuse blows."""
    world = MortalWorld(folder, 1, MONDAY, **ATOMIC)
    world.fuse = fuse
    return AtomicMarket(world), world
