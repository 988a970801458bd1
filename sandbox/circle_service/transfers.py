"""Outbound transfers: from the accepted request to the finalized transaction on the chain, driven by time."""

import contextlib
import heapq
import itertools
import random
from collections import defaultdict

from solders.pubkey import Pubkey

from sandbox.circle_service.chain import Chain, finalized_height
from sandbox.circle_service.settings import Pace
from sandbox.circle_service.solana import (
    TOKEN_2022_ACCOUNT_BYTES,
    TOKEN_2022_PROGRAM,
    TOKEN_ACCOUNT_BYTES,
    Fee,
    associated_address,
    create_associated,
    native_transfer,
    signed,
    transfer_checked,
)
from sandbox.circle_service.tokens import BALANCE_COMMITMENT, Token, TokenBook
from sandbox.circle_service.transactions import OUTBOUND, State, Transaction, TransactionBook
from sandbox.circle_service.wallets import Wallet
from sandbox.circle_service.wire import new_id
from sandbox.service import Clock
from sandbox.solana_node.errors import SIMULATION_FAILED, NodeError
from sandbox.solana_node.slots import Commitment

SIGNINGS_DISTINCT = 1_000
"""So many equal transfers on one blockhash still have different signatures."""
SENT_AGAIN_POLLS, SENT_AGAIN_POLLS_MOST = 5, 75
"""What is not on the chain is sent again so many polls later: real senders repeat about every two seconds at first, and
what has not landed by then is waited for ever longer, twice within the life of a blockhash at least."""
BEFORE_LANDING = frozenset({State.INITIATED, State.CLEARED, State.QUEUED, State.SENT})


class Transfers:
    """Moves each outbound transaction through its states; `due` work waits in a heap by time."""

    def __init__(
        self,
        clock: Clock,
        rng: random.Random,
        chain: Chain,
        tokens: TokenBook,
        book: TransactionBook,
        pace: Pace,
    ) -> None:
        self._clock = clock
        self._rng = rng
        self._chain = chain
        self._tokens = tokens
        self._book = book
        self._pace = pace
        self._due: list[tuple[int, int, Transaction]] = []
        self._order = itertools.count()
        self._open: defaultdict[str, dict[str, Transaction]] = defaultdict(dict)
        self._signings = itertools.count()
        self.denied_addresses: set[str] = set()
        self.signed_again = 0

    def start(
        self, wallet: Wallet, token: Token, units: int, destination: str, fee: Fee, level: str | None, ref: str | None
    ) -> Transaction:
        """Accept a transfer; nothing of it has happened yet."""
        now = self._clock()
        transaction = Transaction(
            id=new_id(self._rng),
            kind=OUTBOUND,
            wallet=wallet,
            token=token,
            units=units,
            source=wallet.address,
            destination=destination,
            create_ms=now,
            update_ms=now,
            fee=fee,
            fee_level=level,
            ref_id=ref,
        )
        self._book.add(transaction)
        self._open[wallet.id][transaction.id] = transaction
        self._later(transaction, self._pace.screening)
        return transaction

    def covers(self, wallet: Wallet, token: Token, units: int) -> bool:
        """Whether the balance holds so much beside the transfers on their way."""
        held = self._tokens.units_of(wallet, token)
        waiting = [
            transaction
            for transaction in self._open[wallet.id].values()
            if transaction.token.id == token.id and transaction.state in BEFORE_LANDING
        ]
        if held >= units + sum(transaction.units for transaction in waiting):
            return True
        return held >= units + sum(each.units for each in waiting if not self._landed(each))

    def next_due_ms(self) -> int | None:
        return self._due[0][0] if self._due else None

    def tick(self, now_ms: int) -> None:
        """Every step that is due. A step that schedules the next one for `now_ms` is not taken in the same call."""
        ready: list[Transaction] = []
        while self._due and self._due[0][0] <= now_ms:
            ready.append(heapq.heappop(self._due)[2])
        for transaction in ready:
            self._step(transaction)
            if transaction.is_terminal:
                self._open[transaction.wallet.id].pop(transaction.id, None)

    def _later(self, transaction: Transaction, delay_ms: int) -> None:
        heapq.heappush(self._due, (self._clock() + max(1, delay_ms), next(self._order), transaction))

    def _landed(self, transaction: Transaction) -> bool:
        """Whether the balance shows the transfer already, although its state does not yet."""
        if transaction.state is not State.SENT or transaction.tx_hash is None:
            return False
        status = self._chain.signature_status(transaction.tx_hash)
        return status is not None and status.commitment is not Commitment.PROCESSED

    def _step(self, transaction: Transaction) -> None:
        match transaction.state:
            case State.INITIATED:
                self._screen(transaction)
            case State.CLEARED:
                self._book.advance(transaction, State.QUEUED)
                self._later(transaction, self._pace.sending)
            case State.QUEUED:
                self._send(transaction)
            case State.SENT:
                self._watch_sent(transaction)
            case State.CONFIRMED:
                self._watch_confirmed(transaction)

    def _screen(self, transaction: Transaction) -> None:
        if transaction.destination in self.denied_addresses:
            self._book.fail(transaction, "TRANSACTION_DENIED", "Denied by compliance screening.", State.DENIED)
            return
        self._book.advance(transaction, State.CLEARED)
        self._later(transaction, self._pace.queueing)

    def _send(self, transaction: Transaction) -> None:
        if self._refused_for_funds(transaction):
            return
        self._sign(transaction)
        try:
            self._chain.send_raw(transaction.wire)
        except NodeError as error:
            self._refused_by_node(transaction, error)
            return
        self._book.advance(transaction, State.SENT)
        self._later(transaction, self._pace.polling)

    def _refused_for_funds(self, transaction: Transaction) -> bool:
        wallet, token = transaction.wallet, transaction.token
        if not token.is_native and self._tokens.units_of(wallet, token) < transaction.units:
            self._book.fail(transaction, "INSUFFICIENT_TOKEN", "Insufficient balance")
            return True
        if self._lamports_short(transaction):
            self._book.fail(transaction, "INSUFFICIENT_NATIVE_TOKEN", "Insufficient balance")
            return True
        return False

    def _lamports_short(self, transaction: Transaction) -> bool:
        """Whether fee, rent of the recipient's account and amount exceed what the wallet may spend."""
        wallet, token = transaction.wallet, transaction.token
        fee = transaction.fee.lamports if transaction.fee else 0
        need = fee + (transaction.units if token.is_native else 0)
        if self._recipient_account_missing(transaction):
            newer = token.program == TOKEN_2022_PROGRAM
            need += self._chain.minimum_rent(TOKEN_2022_ACCOUNT_BYTES if newer else TOKEN_ACCOUNT_BYTES)
        left = self._tokens.units_of(wallet, self._tokens.native) - need
        return left < 0 or 0 < left < self._chain.minimum_rent(0)

    def _recipient_account_missing(self, transaction: Transaction) -> bool:
        token = transaction.token
        if token.mint is None or token.program is None:
            return False
        to = Pubkey.from_string(transaction.destination)
        return self._chain.account(associated_address(to, token.mint, token.program), BALANCE_COMMITMENT) is None

    def _sign(self, transaction: Transaction) -> None:
        blockhash, last_valid = self._chain.latest_blockhash()
        token, keypair = transaction.token, transaction.wallet.keypair
        owner, to = keypair.pubkey(), Pubkey.from_string(transaction.destination)
        assert transaction.fee is not None
        fee = transaction.fee.raised(next(self._signings) % SIGNINGS_DISTINCT)
        instructions = fee.instructions()
        if token.mint is None or token.program is None:
            instructions.append(native_transfer(owner, to, transaction.units))
        else:
            if self._recipient_account_missing(transaction):
                instructions.append(create_associated(owner, to, token.mint, token.program))
            instructions.append(
                transfer_checked(owner, to, token.mint, token.program, transaction.units, token.decimals)
            )
        made = signed(keypair, instructions, blockhash)
        transaction.wire = bytes(made)
        transaction.tx_hash = str(made.signatures[0])
        transaction.last_valid_block_height = last_valid
        transaction.offered_lamports = fee.lamports

    def _refused_by_node(self, transaction: Transaction, error: NodeError) -> None:
        """A failed preflight ends the transfer; a node that is unwell is asked again later, with new bytes."""
        if error.code != SIMULATION_FAILED:
            self._later(transaction, self._pace.polling)
            return
        transaction.tx_hash = None
        self._book.fail(transaction, "ESTIMATION_ERROR", str(error))

    def _watch_sent(self, transaction: Transaction) -> None:
        assert transaction.tx_hash is not None
        status = self._chain.signature_status(transaction.tx_hash)
        if status is None:
            self._send_again(transaction)
            return
        if status.commitment is not Commitment.PROCESSED:
            transaction.slot = status.slot
            transaction.network_fee_lamports = transaction.offered_lamports
            if status.err is not None:
                self._book.fail(transaction, "FAILED_ON_CHAIN", str(status.err))
                return
            transaction.first_confirm_ms = self._clock()
            self._book.advance(transaction, State.CONFIRMED)
        self._later(transaction, self._pace.polling)

    def _send_again(self, transaction: Transaction) -> None:
        """Not on the chain (lost or forked away): the same bytes while their blockhash lives, new ones after that."""
        if not self._expired(transaction):
            with contextlib.suppress(NodeError):  # only the blockhash's end decides about these bytes
                self._chain.send_raw(transaction.wire)
            self._later(transaction, self._until_sent_again(transaction))
            return
        self._sign(transaction)
        self.signed_again += 1
        try:
            self._chain.send_raw(transaction.wire)
        except NodeError as error:
            self._refused_by_node(transaction, error)
            return
        self._later(transaction, self._pace.polling)

    def _until_sent_again(self, transaction: Transaction) -> int:
        """Half as long as it has been on its way."""
        polls = (self._clock() - transaction.update_ms) // (2 * self._pace.polling)
        return max(SENT_AGAIN_POLLS, min(SENT_AGAIN_POLLS_MOST, polls)) * self._pace.polling

    def _watch_confirmed(self, transaction: Transaction) -> None:
        assert transaction.tx_hash is not None
        status = self._chain.signature_status(transaction.tx_hash)
        if status is not None and status.commitment is Commitment.FINALIZED:
            self._book.advance(transaction, State.COMPLETE)
        elif status is None and self._expired(transaction):
            self._book.fail(transaction, "FAILED_REORG", "The transaction's block was dropped.")
        else:
            self._later(transaction, self._pace.polling)

    def _expired(self, transaction: Transaction) -> bool:
        """Whether no block can hold these bytes any more: the blockhash's end is finalized."""
        return finalized_height(self._chain) > transaction.last_valid_block_height
