"""Deposits that settle, and transfers on their way: from the accepted order to the finalized transaction."""

import contextlib
import heapq
import itertools
import random
from collections.abc import Callable

from solders.keypair import Keypair
from solders.pubkey import Pubkey

from sandbox.circle_service.chain import USDC_DEVNET_MINT, Chain, finalized_height
from sandbox.circle_service.solana import (
    COMPUTE_UNITS_DEFAULT,
    TOKEN_PROGRAM,
    Fee,
    create_associated,
    signed,
    transfer_checked,
)
from sandbox.mint_service.books import USDC_DECIMALS, Books, Deposit, Status, Transfer
from sandbox.solana_node.errors import NodeError
from sandbox.solana_node.slots import Commitment
from sandbox.solana_node.token_layouts import associated_token_address, token_amount

HOT_WALLET_LAMPORTS = 10**9
"""SOL for fees and token accounts of thousands of transfers."""
USDC = Pubkey.from_string(USDC_DEVNET_MINT)


class Sending:
    """Circle's own hot wallet and what it has to do; `due` work waits in a heap by time."""

    def __init__(self, books: Books, rng: random.Random, chain: Chain) -> None:
        self._books, self._chain = books, chain
        self._wallet = Keypair.from_seed(rng.randbytes(32))
        self._signings = itertools.count()
        self._order = itertools.count()
        self._due: list[tuple[int, int, Callable[[], None]]] = []

    def next_due_ms(self) -> int | None:
        return self._due[0][0] if self._due else None

    def tick(self, now_ms: int) -> None:
        """Every step that is due; one that comes up meanwhile waits for the next tick."""
        ready = []
        while self._due and self._due[0][0] <= now_ms:
            ready.append(heapq.heappop(self._due)[2])
        for step in ready:
            step()

    def expect(self, deposit: Deposit) -> None:
        """The wire is on its way into the account."""
        self._later(self._books.switches.deposit_ms, lambda: self._arrived(deposit))

    def begin(self, transfer: Transfer) -> None:
        self._later(self._books.switches.transfer_ms, lambda: self._send(transfer))

    def _later(self, delay_ms: int, step: Callable[[], None]) -> None:
        heapq.heappush(self._due, (self._books.clock() + max(1, delay_ms), next(self._order), step))

    def _arrived(self, deposit: Deposit) -> None:
        """Circle mints as many USDC as dollars came."""
        self._supply(deposit.units)
        self._books.settle(deposit)

    def _supply(self, units: int) -> None:
        owner = self._wallet.pubkey()
        account = self._chain.account(owner, Commitment.PROCESSED)
        if account is None or account.lamports < HOT_WALLET_LAMPORTS // 2:
            self._chain.airdrop(owner, HOT_WALLET_LAMPORTS)
        if units > 0:
            self._chain.mint_usdc(owner, units)

    def _held(self) -> int:
        """Base units of the hot wallet now."""
        address = associated_token_address(self._wallet.pubkey(), USDC)
        account = self._chain.account(address, Commitment.PROCESSED)
        return 0 if account is None else token_amount(account)

    def _send(self, transfer: Transfer) -> None:
        switches = self._books.switches
        if switches.hold_transfers:
            self._later(switches.polling_ms, lambda: self._send(transfer))
        elif switches.deny_transfers > 0:
            switches.deny_transfers -= 1
            self._books.fail(transfer, "transfer_denied", refund=False)
        elif self._books.available < transfer.units:
            self._books.fail(transfer, "insufficient_funds", refund=False)
        else:
            self._books.available -= transfer.units
            self._sign(transfer)
            self._watch_soon(transfer)

    def _sign(self, transfer: Transfer) -> None:
        """What the wallet was given before may be gone: a fork has undone it."""
        self._supply(transfer.units - self._held())
        blockhash, transfer.last_valid_height = self._chain.latest_blockhash()
        owner, to = self._wallet.pubkey(), Pubkey.from_string(transfer.address)
        fee = Fee(COMPUTE_UNITS_DEFAULT, 0).raised(next(self._signings))
        instructions = [
            *fee.instructions(),
            create_associated(owner, to, USDC, TOKEN_PROGRAM),
            transfer_checked(owner, to, USDC, TOKEN_PROGRAM, transfer.units, USDC_DECIMALS),
        ]
        made = signed(self._wallet, instructions, blockhash)
        transfer.wire, transfer.tx_hash = bytes(made), str(made.signatures[0])
        self._put_on_chain(transfer)

    def _put_on_chain(self, transfer: Transfer) -> None:
        with contextlib.suppress(NodeError):  # only the blockhash's end decides about these bytes
            self._chain.send_raw(transfer.wire)

    def _watch_soon(self, transfer: Transfer) -> None:
        self._later(self._books.switches.polling_ms, lambda: self._watch(transfer))

    def _watch(self, transfer: Transfer) -> None:
        status = self._chain.signature_status(transfer.tx_hash or "")
        if status is None and finalized_height(self._chain) > transfer.last_valid_height:
            self._sign(transfer)
        elif status is None:
            self._put_on_chain(transfer)
        elif status.commitment is Commitment.FINALIZED and status.err is not None:
            self._books.fail(transfer, "blockchain_error", refund=True)
            return
        elif status.commitment is Commitment.FINALIZED:
            transfer.status = Status.COMPLETE
            return
        self._watch_soon(transfer)
