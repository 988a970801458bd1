"""Wallet sets and wallets. Every wallet holds a real ed25519 key."""

import random
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

from solders.keypair import Keypair

from sandbox.circle_service.errors import wallet_frozen, wallet_not_found, wallet_set_not_found
from sandbox.circle_service.wire import iso, new_id
from sandbox.service import Clock

DEVELOPER = "DEVELOPER"
ENDUSER = "ENDUSER"


@dataclass(slots=True)
class WalletSet:
    id: str
    name: str | None
    custody: str
    user_id: str | None
    create_ms: int
    update_ms: int
    wallets_made: int = 0

    def view(self) -> dict[str, object]:
        view: dict[str, object] = {
            "id": self.id,
            "custodyType": self.custody,
            "createDate": iso(self.create_ms),
            "updateDate": iso(self.update_ms),
        }
        if self.name is not None:
            view["name"] = self.name
        if self.user_id is not None:
            view["userId"] = self.user_id
        return view


@dataclass(slots=True)
class Wallet:
    id: str
    keypair: Keypair = field(repr=False)
    address: str
    blockchain: str
    wallet_set: WalletSet
    index: int
    create_ms: int
    update_ms: int
    name: str | None = None
    ref_id: str | None = None
    frozen: bool = False

    @property
    def custody(self) -> str:
        return self.wallet_set.custody

    @property
    def user_id(self) -> str | None:
        return self.wallet_set.user_id

    def must_be_developers(self) -> None:
        """Only its user moves a user-controlled wallet; to the developer's calls it is not there."""
        if self.custody != DEVELOPER:
            raise wallet_not_found()

    def must_be_live(self) -> None:
        if self.frozen:
            raise wallet_frozen()

    def view(self) -> dict[str, object]:
        view: dict[str, object] = {
            "id": self.id,
            "state": "FROZEN" if self.frozen else "LIVE",
            "walletSetId": self.wallet_set.id,
            "custodyType": self.custody,
            "address": self.address,
            "addressIndex": self.index,
            "blockchain": self.blockchain,
            "accountType": "EOA",
            "updateDate": iso(self.update_ms),
            "createDate": iso(self.create_ms),
        }
        optional = {"userId": self.user_id, "name": self.name, "refId": self.ref_id}
        return view | {name: value for name, value in optional.items() if value is not None}


@dataclass(frozen=True, slots=True)
class Label:
    """One entry of a creation request's `metadata`."""

    name: str | None = None
    ref_id: str | None = None


class WalletBook:
    """All wallet sets and wallets, in the order of their making."""

    def __init__(self, clock: Clock, rng: random.Random) -> None:
        self._clock = clock
        self._rng = rng
        self.sets: dict[str, WalletSet] = {}
        self.wallets: dict[str, Wallet] = {}
        self._by_address: dict[str, Wallet] = {}
        self._set_of_user: dict[str, WalletSet] = {}

    def create_set(self, name: str | None, custody: str = DEVELOPER, user_id: str | None = None) -> WalletSet:
        now = self._clock()
        made = WalletSet(new_id(self._rng), name, custody, user_id, now, now)
        self.sets[made.id] = made
        return made

    def set_of_user(self, user_id: str) -> WalletSet:
        if user_id not in self._set_of_user:
            self._set_of_user[user_id] = self.create_set(None, ENDUSER, user_id)
        return self._set_of_user[user_id]

    def create(self, wallet_set: WalletSet, blockchain: str, count: int, labels: Sequence[Label] = ()) -> list[Wallet]:
        return [
            self._create_one(wallet_set, blockchain, labels[index] if labels else Label()) for index in range(count)
        ]

    def get_set(self, set_id: str) -> WalletSet:
        if set_id not in self.sets:
            raise wallet_set_not_found()
        return self.sets[set_id]

    def get(self, wallet_id: str, user_id: str | None = None) -> Wallet:
        """The wallet; with `user_id`, only if it is that user's."""
        wallet = self.wallets.get(wallet_id)
        if wallet is None or (user_id is not None and wallet.user_id != user_id):
            raise wallet_not_found()
        return wallet

    def at(self, address: str) -> Wallet | None:
        return self._by_address.get(address)

    def of_user(self, user_id: str | None) -> Iterable[Wallet]:
        """That user's wallets; all of them for None."""
        return (wallet for wallet in self.wallets.values() if user_id is None or wallet.user_id == user_id)

    def rename(self, wallet: Wallet, label: Label) -> None:
        wallet.name = wallet.name if label.name is None else label.name
        wallet.ref_id = wallet.ref_id if label.ref_id is None else label.ref_id
        wallet.update_ms = self._clock()

    def _create_one(self, wallet_set: WalletSet, blockchain: str, label: Label) -> Wallet:
        now = self._clock()
        keypair = Keypair.from_seed(self._rng.randbytes(32))
        wallet = Wallet(
            id=new_id(self._rng),
            keypair=keypair,
            address=str(keypair.pubkey()),
            blockchain=blockchain,
            wallet_set=wallet_set,
            index=wallet_set.wallets_made,
            create_ms=now,
            update_ms=now,
            name=label.name,
            ref_id=label.ref_id,
        )
        wallet_set.wallets_made += 1
        self.wallets[wallet.id] = wallet
        self._by_address[wallet.address] = wallet
        return wallet
