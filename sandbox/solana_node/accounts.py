"""The accounts of the chain, at every slot that is not yet history: the newest state lies in LiteSVM, older states are
rebuilt from what each slot found before it wrote (pre-images)."""

from collections import deque
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

from solders.account import Account
from solders.litesvm import LiteSVM
from solders.pubkey import Pubkey

from sandbox.solana_node.token_layouts import token_mint, token_owner

SYSTEM_PROGRAM = Pubkey.default()
_GONE = Account(0, b"", SYSTEM_PROGRAM)
"""LiteSVM drops an account that is set to no lamports."""


class Accounts:
    def __init__(self, svm: LiteSVM) -> None:
        self._svm = svm
        self._before: dict[Pubkey, list[tuple[int, Account | None]]] = {}
        """For each account its (slot, state before that slot's writes), oldest first."""
        self._written: deque[tuple[int, list[Pubkey]]] = deque()
        self._tokens_of: dict[Pubkey, dict[Pubkey, None]] = {}
        self._tokens_of_mint: dict[Pubkey, dict[Pubkey, None]] = {}

    def newest(self, address: Pubkey) -> Account | None:
        return self._svm.get_account(address)

    def at(self, address: Pubkey, slot: int) -> Account | None:
        """The account after everything that slot `slot` and earlier ones did."""
        for written, before in self._before.get(address, ()):
            if written > slot:
                return before
        return self._svm.get_account(address)

    def place(self, address: Pubkey, account: Account | None) -> None:
        """Put an account there by decree, outside of any slot."""
        self._svm.set_account(address, account or _GONE)
        self._index(address, account)

    def wrote(self, slot: int, address: Pubkey, before: Account | None, after: Account | None) -> None:
        """Note that a transaction of `slot`, the newest, changed an account."""
        self._index(address, after)
        versions = self._before.setdefault(address, [])
        if versions and versions[-1][0] == slot:
            return
        versions.append((slot, before))
        if not self._written or self._written[-1][0] != slot:
            self._written.append((slot, []))
        self._written[-1][1].append(address)

    def changes(self, address: Pubkey, after: int, up_to: int) -> list[int]:
        """The slots in (after, up_to] that changed the account."""
        return [slot for slot, _ in self._before.get(address, ()) if after < slot <= up_to]

    def undo_after(self, slot: int) -> None:
        """Take back all that the slots after `slot` wrote, newest first."""
        while self._written and self._written[-1][0] > slot:
            for address in self._written.pop()[1]:
                self.place(address, self._drop_version(address, -1))

    def forget_up_to(self, slot: int) -> None:
        """Slots up to this one are history: nobody will ask for the state before them."""
        while self._written and self._written[0][0] <= slot:
            for address in self._written.popleft()[1]:
                self._drop_version(address, 0)

    def tokens_of(self, owner: Pubkey) -> list[Pubkey]:
        """Every token account that has ever belonged to `owner`; whether it still does is the caller's question."""
        return list(self._tokens_of.get(owner, ()))

    def tokens_of_mint(self, mint: Pubkey) -> list[Pubkey]:
        """Every token account that has ever held this mint; whether it still does is the caller's question."""
        return list(self._tokens_of_mint.get(mint, ()))

    @contextmanager
    def as_of(self, slot: int, addresses: Sequence[Pubkey]) -> Iterator[None]:
        """Inside the block LiteSVM has these accounts as they stood at `slot`, for a simulation on an older bank."""
        swapped = []
        for address in addresses:
            if address in self._before:
                old, new = self.at(address, slot), self._svm.get_account(address)
                if old != new:
                    swapped.append((address, new))
                    self._svm.set_account(address, old or _GONE)
        try:
            yield
        finally:
            for address, account in swapped:
                self._svm.set_account(address, account or _GONE)

    def _drop_version(self, address: Pubkey, index: int) -> Account | None:
        versions = self._before[address]
        before = versions.pop(index)[1]
        if not versions:
            del self._before[address]
        return before

    def _index(self, address: Pubkey, account: Account | None) -> None:
        owner = token_owner(account)
        if account is not None and owner is not None:
            self._tokens_of.setdefault(owner, {})[address] = None
            self._tokens_of_mint.setdefault(token_mint(account), {})[address] = None
