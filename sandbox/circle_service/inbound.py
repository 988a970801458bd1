"""Deposits: what arrives in Circle's wallets on the chain, listed as INBOUND from CONFIRMED on."""

import random
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from solders.transaction import VersionedTransaction

from sandbox.circle_service.chain import Chain
from sandbox.circle_service.errors import ApiError
from sandbox.circle_service.solana import associated_address
from sandbox.circle_service.tokens import Token, TokenBook
from sandbox.circle_service.transactions import INBOUND, State, Transaction, TransactionBook
from sandbox.circle_service.wallets import Wallet, WalletBook
from sandbox.circle_service.wire import new_id
from sandbox.service import Clock
from sandbox.solana_node.history import Landed
from sandbox.solana_node.slots import Commitment


@dataclass(frozen=True, slots=True)
class Deposit:
    """`units` of `token` came into `wallet` from the owner `source`."""

    wallet: Wallet
    token: Token
    units: int
    source: str


class Inbound:
    """Watches landed transactions until they are confirmed, then until they are finalized."""

    def __init__(
        self,
        clock: Clock,
        rng: random.Random,
        chain: Chain,
        tokens: TokenBook,
        wallets: WalletBook,
        book: TransactionBook,
        polling_ms: int,
    ) -> None:
        self._clock = clock
        self._rng = rng
        self._chain = chain
        self._tokens = tokens
        self._wallets = wallets
        self._book = book
        self._polling_ms = polling_ms
        self._seen: dict[str, Landed] = {}
        """Landed, not confirmed: by signature."""
        self._confirmed: dict[str, Transaction] = {}
        self._look_at_ms: int | None = None
        chain.on_transaction.append(self._landed)

    def next_due_ms(self) -> int | None:
        return self._look_at_ms

    def tick(self, now_ms: int) -> None:
        if self._look_at_ms is None or now_ms < self._look_at_ms:
            return
        for seen in list(self._seen.values()):
            self._look_for_confirmation(seen)
        for transaction in list(self._confirmed.values()):
            self._look_for_finality(transaction)
        self._look_at_ms = now_ms + self._polling_ms if self._seen or self._confirmed else None

    def _landed(self, seen: Landed) -> None:
        if seen.err is None and self._touches_wallets(seen):
            self._seen[seen.signature] = seen
            if self._look_at_ms is None:
                self._look_at_ms = self._clock() + self._polling_ms

    def _touches_wallets(self, seen: Landed) -> bool:
        """Whether it names a wallet or a wallet's token account. Asks nothing of the chain, which is in mid-landing."""
        meta = seen.meta()
        if any(self._wallets.at(key) is not None for key in _keys(seen.raw, meta)):
            return True
        return any(
            self._wallets.at(held.owner) is not None for held in _token_amounts(meta["postTokenBalances"]).values()
        )

    def _look_for_confirmation(self, seen: Landed) -> None:
        """One that a fork dropped is forgotten; when it lands again, the chain tells of it again."""
        status = self._chain.signature_status(seen.signature)
        if status is not None and status.commitment is Commitment.PROCESSED:
            return
        del self._seen[seen.signature]
        if status is None:
            return
        for deposit in self._deposits(seen):
            self._record(seen.signature, status.slot, deposit)

    def _record(self, signature: str, slot: int, deposit: Deposit) -> None:
        now = self._clock()
        transaction = Transaction(
            id=new_id(self._rng),
            kind=INBOUND,
            wallet=deposit.wallet,
            token=deposit.token,
            units=deposit.units,
            source=deposit.source,
            destination=deposit.wallet.address,
            create_ms=now,
            update_ms=now,
            state=State.CONFIRMED,
            tx_hash=signature,
            slot=slot,
            first_confirm_ms=now,
        )
        self._book.add(transaction)
        self._confirmed[transaction.id] = transaction

    def _look_for_finality(self, transaction: Transaction) -> None:
        assert transaction.tx_hash is not None
        status = self._chain.signature_status(transaction.tx_hash)
        if status is None:
            self._book.fail(transaction, "FAILED_REORG", "The transaction's block was dropped.")
        elif status.commitment is Commitment.FINALIZED:
            self._book.advance(transaction, State.COMPLETE)
        else:
            return
        del self._confirmed[transaction.id]

    def _deposits(self, seen: Landed) -> Iterator[Deposit]:
        meta = seen.meta()
        keys = _keys(seen.raw, meta)
        yield from self._token_deposits(keys, meta)
        yield from self._native_deposits(keys, meta)

    def _token_deposits(self, keys: list[str], meta: Mapping[str, object]) -> Iterator[Deposit]:
        before, after = _token_amounts(meta["preTokenBalances"]), _token_amounts(meta["postTokenBalances"])
        for index, held in after.items():
            gained = held.units - (before[index].units if index in before else 0)
            wallet = self._wallets.at(held.owner)
            if gained <= 0 or wallet is None:
                continue
            token = self._token(held.mint)
            if token is not None and keys[index] == _associated(wallet, token):
                yield Deposit(wallet, token, gained, _giver(before, after, held.mint) or keys[0])

    def _native_deposits(self, keys: list[str], meta: Mapping[str, object]) -> Iterator[Deposit]:
        before, after = meta["preBalances"], meta["postBalances"]
        assert isinstance(before, list)
        assert isinstance(after, list)
        for key, old, new in zip(keys, before, after, strict=True):
            wallet = self._wallets.at(key)
            if wallet is not None and new > old and key != keys[0]:
                yield Deposit(wallet, self._tokens.native, new - old, keys[0])

    def _token(self, mint: str) -> Token | None:
        try:
            return self._tokens.at(mint)
        except ApiError:
            return None


@dataclass(frozen=True, slots=True)
class _Held:
    mint: str
    owner: str
    units: int


def _token_amounts(balances: object) -> dict[int, _Held]:
    assert isinstance(balances, list)
    return {
        entry["accountIndex"]: _Held(entry["mint"], entry["owner"], int(entry["uiTokenAmount"]["amount"]))
        for entry in balances
    }


def _giver(before: dict[int, _Held], after: dict[int, _Held], mint: str) -> str | None:
    """The owner whose account of this mint lost something."""
    for index, held in before.items():
        if held.mint == mint and held.units > (after[index].units if index in after else 0):
            return held.owner
    return None


def _keys(raw: bytes, meta: Mapping[str, object]) -> list[str]:
    """All addresses of a transaction in index order: its own, then those from lookup tables."""
    loaded = meta["loadedAddresses"]
    assert isinstance(loaded, dict)
    own = [str(key) for key in VersionedTransaction.from_bytes(raw).message.account_keys]
    return [*own, *loaded["writable"], *loaded["readonly"]]


def _associated(wallet: Wallet, token: Token) -> str | None:
    if token.mint is None or token.program is None:
        return None
    return str(associated_address(wallet.keypair.pubkey(), token.mint, token.program))
