"""The sandbox's Solana: a chain in LiteSVM, run by the clock, with commitment levels, forks and faults."""

import heapq
import random
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from solders.account import Account
from solders.clock import Clock as ClockSysvar
from solders.compute_budget import ComputeBudget
from solders.hash import Hash
from solders.keypair import Keypair
from solders.litesvm import LiteSVM
from solders.message import Message, MessageV0, MessageV1
from solders.pubkey import Pubkey
from solders.rent import Rent
from solders.signature import Signature
from solders.transaction import VersionedTransaction
from solders.transaction_metadata import FailedTransactionMetadata, SimulateResult

from sandbox.faults import Faults
from sandbox.service import Clock, Delivery, Request, Response
from sandbox.solana_node import faucet
from sandbox.solana_node.accounts import SYSTEM_PROGRAM, Accounts
from sandbox.solana_node.blockhashes import MAX_PROCESSING_AGE, Blockhashes
from sandbox.solana_node.endpoints import MAX_LAG_SLOTS, Endpoint, Switches
from sandbox.solana_node.errors import SIMULATION_FAILED, NodeError, describe
from sandbox.solana_node.execution import (
    Outcome,
    Resolved,
    build_meta,
    decode,
    error_json,
    execute,
    memo_of,
    price_of,
    require_signatures,
    return_data,
)
from sandbox.solana_node.history import History, Landed, pack_meta
from sandbox.solana_node.rpc import answer_call, answer_http
from sandbox.solana_node.slots import SLOTS_PER_EPOCH, Commitment, SlotClock, block_height
from sandbox.solana_node.subscriptions import Subscriptions
from sandbox.solana_node.token_layouts import TOKEN, mint_data, token_mint, token_owner

USDC_DEVNET = Pubkey.from_string("4zMMC9srt5Ri5X14GAgXhaHii3GnPAEERYPJgZJDncDU")
DEVNET_GENESIS = "EtWTRABZaYq6iMfeYKouRu166VU2xqa1wcaWoxPkrZBG"
"""Clients that look at the genesis hash to tell the cluster find devnet."""
MINT_LAMPORTS = 10**9
STATUS_CACHE_SLOTS = 150
"""Without a history search a node knows signatures of about that many recent slots."""


@dataclass(frozen=True, slots=True)
class SignatureStatus:
    slot: int
    commitment: Commitment
    err: Any


CLUSTER = ""
"""What no endpoint is called: whoever reads so sees what there is, however far the endpoints are behind."""


class SolanaNode:
    """A `sandbox.service.Service`. All times come from `clock`, all randomness from `rng`."""

    def __init__(
        self,
        clock: Clock,
        rng: random.Random,
        *,
        slot_ms: int = 200,
        confirmed_slots: int = 1,
        finality_slots: int = 32,
        usdc_mint: Pubkey = USDC_DEVNET,
        genesis_hash: str = DEVNET_GENESIS,
    ) -> None:
        self.slots = SlotClock(clock, slot_ms, confirmed_slots, finality_slots)
        self.faults = Faults(rng)
        self.switches = Switches()
        self.endpoints = {"/": Endpoint()}
        self.genesis_hash = genesis_hash
        self.prioritization_fee = 0
        """Micro-lamports per compute unit that getRecentPrioritizationFees reports for every recent slot."""
        self.least_price = 0
        """Blocks are full: what bids fewer micro-lamports per compute unit is taken by the node and never lands."""
        self.usdc_mint = usdc_mint
        self.faucet = Keypair.from_seed(rng.randbytes(32))
        self.identity = Keypair.from_seed(rng.randbytes(32)).pubkey()
        self.svm = LiteSVM().with_blockhash_check(False).with_transaction_history(0).with_sigverify(False)
        self.accounts = Accounts(self.svm)
        self.history = History()
        self.blockhashes = Blockhashes(rng.randbytes(16), MAX_LAG_SLOTS)
        self.subscriptions = Subscriptions(self)
        self.on_transaction: list[Callable[[Landed], None]] = []
        """Called with each transaction as it lands (processed), successful or not."""
        self.on_dropped: list[Callable[[Landed], None]] = []
        """Called with each transaction that a fork took back."""
        self.on_disturbed: list[Callable[[], None]] = []
        """Called for each transaction that a switch loses, or lands late."""
        self.on_outbid: list[Callable[[], None]] = []
        """Called for each that bids less than `least_price`, as often as it is sent."""
        self._late: list[tuple[int, int, Resolved]] = []
        self._late_count = 0
        self._svm_slot = -1
        self._cache_starts = 0
        self._purged_slot = -1
        self._advanced_to = -1
        self.accounts.place(self.faucet.pubkey(), Account(faucet.FAUCET_LAMPORTS, b"", SYSTEM_PROGRAM))
        self.accounts.place(usdc_mint, Account(MINT_LAMPORTS, mint_data(self.faucet.pubkey(), 6), TOKEN))

    # --- the service's face -------------------------------------------------------------------------------------

    def handle(self, request: Request) -> Response:
        return answer_http(self, request)

    def answer_call(self, path: str, body: Any) -> dict[str, Any] | None:
        """Answer one JSON-RPC request object, past HTTP and its faults."""
        return answer_call(self, path, body)

    def tick(self, now_ms: int) -> None:
        self.advance()
        self.subscriptions.pump()

    def next_due_ms(self) -> int | None:
        slot = self.advance()
        if self.subscriptions.active():
            return self.slots.starts_ms(slot + 1)
        return self.slots.starts_ms(self._late[0][0]) if self._late else None

    def take_deliveries(self) -> list[Delivery]:
        """A node sends no webhooks."""
        return []

    def delivered(self, delivery_id: int, status: int | None) -> None:
        raise ValueError(f"the node sent no delivery {delivery_id}")

    # --- slots --------------------------------------------------------------------------------------------------

    def advance(self) -> int:
        """Land what is due and answer the newest slot."""
        slot = self.slots.current()
        while self._late and self._late[0][0] <= slot:
            due, _, resolved = heapq.heappop(self._late)
            self._land(resolved, max(due, self._newest_landed_slot()))
        if slot != self._advanced_to:
            self._advanced_to = slot
            self.accounts.forget_up_to(slot - self.slots.depth[Commitment.FINALIZED] - MAX_LAG_SLOTS)
            self.blockhashes.forget(slot)
        return slot

    def endpoint(self, path: str) -> Endpoint:
        """The provider at this path; a path without switches set in `endpoints` is a faithful one."""
        return self.endpoints.get(path) or Endpoint()

    def tip(self, path: str = "/") -> int:
        """The newest slot that this endpoint has seen."""
        return self.advance() - min(self.endpoint(path).lag_slots, MAX_LAG_SLOTS)

    def bank(self, commitment: Commitment, path: str = CLUSTER) -> int:
        """The newest slot of that commitment in the eyes of this endpoint, or in truth."""
        return self.tip(path) - self.slots.depth[commitment]

    # --- what services in this process use ------------------------------------------------------------------------

    def latest_blockhash(self, commitment: Commitment = Commitment.FINALIZED, path: str = "/") -> tuple[Hash, int]:
        """A blockhash and the last block height at which it may be used."""
        slot = self.bank(commitment, path)
        return self.blockhashes.of(slot), block_height(slot) + MAX_PROCESSING_AGE

    def send_raw(self, raw: bytes, *, preflight: Commitment | None = Commitment.PROCESSED, path: str = "/") -> str:
        """Send a signed transaction; answers its signature. Raises NodeError (undecodable, signature, preflight).

        With `preflight=None` a transaction that can't run is accepted like any other and just never lands.
        """
        return self.send(decode(raw, self.accounts), preflight=preflight, path=path)

    def send(self, resolved: Resolved, *, preflight: Commitment | None, path: str = "/") -> str:
        require_signatures(resolved.transaction)
        slot = self.advance()
        if preflight is not None:
            self._preflight(resolved, self.bank(preflight, path))
        if self.endpoint(path).drops_sends:
            return resolved.signature
        if price_of(resolved) < self.least_price:
            for hear in self.on_outbid:
                hear()
            return resolved.signature
        if self.switches.drop_sends > 0:
            self.switches.drop_sends -= 1
            self._disturbed()
            return resolved.signature
        if self.switches.land_after_slots > 0:
            self._disturbed()
            self._land_later(resolved, slot + self.switches.land_after_slots)
        else:
            self._land(resolved, slot)
        return resolved.signature

    def _disturbed(self) -> None:
        for hear in self.on_disturbed:
            hear()

    def signature_status(self, signature: str) -> SignatureStatus | None:
        """The truth about a signature, without any endpoint's lag or faults."""
        tip = self.advance()
        landed = self.history.get(signature)
        if landed is None:
            return None
        return SignatureStatus(landed.slot, self.slots.status(landed.slot, tip), landed.err)

    def account(self, address: Pubkey, commitment: Commitment = Commitment.PROCESSED) -> Account | None:
        return self.accounts.at(address, self.bank(commitment))

    def token_accounts(
        self, owner: Pubkey, commitment: Commitment = Commitment.PROCESSED, mint: Pubkey | None = None
    ) -> list[tuple[Pubkey, Account]]:
        return self.token_accounts_at(owner, self.bank(commitment), mint)

    def token_accounts_at(self, owner: Pubkey, slot: int, mint: Pubkey | None) -> list[tuple[Pubkey, Account]]:
        found = []
        for address in self.accounts.tokens_of(owner):
            account = self.accounts.at(address, slot)
            if account is None or token_owner(account) != owner or (mint is not None and token_mint(account) != mint):
                continue
            found.append((address, account))
        return found

    def transactions_of(
        self,
        address: Pubkey,
        *,
        commitment: Commitment = Commitment.PROCESSED,
        before: str | None = None,
        until: str | None = None,
        limit: int = 1000,
    ) -> list[Landed]:
        """The transactions that name an address, newest first."""
        slot = self.bank(commitment)
        return self.history.of_address(address, slot, before=before, until=until, limit=limit)

    def minimum_rent(self, size: int) -> int:
        """Lamports that keep an account with so many data bytes alive."""
        return self.svm.minimum_balance_for_rent_exemption(size)

    def fee_of(self, message: Message | MessageV0 | MessageV1) -> int:
        """Lamports a transaction with this message pays."""
        unsigned = [Signature.default()] * message.header.num_required_signatures
        return self.svm.simulate_transaction(VersionedTransaction.populate(message, unsigned)).meta().fee()

    def airdrop(self, to: Pubkey, lamports: int) -> str:
        slot = self.advance()
        return self._land_own(faucet.airdrop(self.faucet, to, lamports, self.blockhashes.private(slot)), slot)

    def mint_usdc(self, owner: Pubkey, base_units: int) -> str:
        """Give a wallet new USDC, through a transaction of the faucet; answers its signature."""
        slot = self.advance()
        blockhash = self.blockhashes.private(slot)
        return self._land_own(faucet.mint_tokens(self.faucet, self.usdc_mint, owner, base_units, blockhash), slot)

    # --- switches -------------------------------------------------------------------------------------------------

    def fork(self, depth: int, *, reland_after_slots: int | None = None) -> list[Landed]:
        """The newest `depth` slots turn out to be on a dead branch: all they did is undone, their blockhashes die.

        Answers the dropped transactions. Whoever has their bytes may send them again; with `reland_after_slots` the
        network itself carries those over that are still valid then.
        """
        if not 0 < depth <= self.slots.depth[Commitment.FINALIZED]:
            raise ValueError("a fork is at least one slot deep and leaves finalized slots alone")
        top = self.advance()
        base = top - depth
        dropped = self.history.drop_after(base)
        self.accounts.undo_after(base)
        self.blockhashes.fork(base, top)
        self._cache_starts = min(self._cache_starts, len(self.history.landed))
        for landed in dropped:
            if reland_after_slots is not None:
                self._land_later(decode(landed.raw, self.accounts), top + reland_after_slots)
            for listener in self.on_dropped:
                listener(landed)
        return dropped

    def purge_status_cache(self) -> None:
        """From now on all that landed so far is only found with a history search."""
        self._purged_slot = self.advance()
        self._cache_starts = len(self.history.landed)

    def in_status_cache(self, landed: Landed, tip: int) -> bool:
        return landed.number >= self._cache_starts and tip - landed.slot <= STATUS_CACHE_SLOTS

    def status_cache_from(self, tip: int) -> int:
        """The first slot of which the status cache has all that landed."""
        return max(self._purged_slot + 1, tip - STATUS_CACHE_SLOTS)

    def skip_slots(self, slots: int) -> None:
        """Let that many slots pass at once: expires blockhashes, finalizes what landed."""
        self.slots.skip(slots)
        self.advance()

    def set_rent(self, lamports_per_byte: int) -> None:
        """The chain's rent from now on, for each byte: those of the data, and 128 more."""
        self.svm.set_rent(Rent.with_lamports_per_byte(lamports_per_byte))

    def set_trace_limit(self, entries: int) -> None:
        """How many instructions one transaction may run from now on, inner ones included: 64 on the clusters."""
        budget = ComputeBudget(simd_0268_active=True)
        budget.max_instruction_trace_length = entries
        self.svm.with_compute_budget(budget)

    def place_account(self, address: Pubkey, account: Account | None) -> None:
        """Put an account there by decree, at every commitment at once; None removes it."""
        self.advance()
        self.accounts.place(address, account)

    # --- running transactions -------------------------------------------------------------------------------------

    def simulate(self, resolved: Resolved, slot: int) -> SimulateResult:
        """Run it against the accounts as they stood at `slot`, without effect."""
        self._set_svm_clock(slot)
        with self.accounts.as_of(slot, resolved.keys):
            return self.svm.simulate_transaction(resolved.transaction)

    def refusal(self, resolved: Resolved, slot: int) -> str | None:
        """Why a bank would not even run it: the transaction error's name."""
        if not self.blockhashes.good_at(resolved.message.recent_blockhash, slot):
            return "BlockhashNotFound"
        landed = self.history.get(resolved.signature)
        return "AlreadyProcessed" if landed is not None and landed.slot <= slot else None

    def _preflight(self, resolved: Resolved, slot: int) -> None:
        refusal = self.refusal(resolved, slot)
        if refusal is not None:
            raise _simulation_failed(refusal, [], 0, None)
        result = self.simulate(resolved, slot)
        if isinstance(result, FailedTransactionMetadata):
            meta = result.meta()
            raise _simulation_failed(error_json(result), meta.logs(), meta.compute_units_consumed(), return_data(meta))

    def _land_later(self, resolved: Resolved, slot: int) -> None:
        self._late_count += 1
        heapq.heappush(self._late, (slot, self._late_count, resolved))

    def _land_own(self, transaction: VersionedTransaction, slot: int) -> str:
        resolved = decode(bytes(transaction), self.accounts)
        self._land(resolved, slot)
        landed = self.history.get(resolved.signature)
        if landed is None or landed.err is not None:
            raise NodeError(SIMULATION_FAILED, f"the faucet's transaction failed: {landed and describe(landed.err)}")
        return resolved.signature

    def _newest_landed_slot(self) -> int:
        return self.history.landed[-1].slot if self.history.landed else 0

    def _land(self, resolved: Resolved, slot: int) -> None:
        """Execute in `slot`. What a leader would refuse (expired, known, unpayable) vanishes without a trace."""
        if self.refusal(resolved, slot) is not None:
            return
        self._set_svm_clock(slot)
        outcome = execute(self.svm, resolved)
        if outcome.charged:
            self._record(resolved, outcome, slot)

    def _record(self, resolved: Resolved, outcome: Outcome, slot: int) -> None:
        for address, before, after in zip(resolved.keys, outcome.before, outcome.after, strict=True):
            if before != after:
                self.accounts.wrote(slot, address, before, after)
        landed = Landed(
            len(self.history.landed),
            resolved.signature,
            slot,
            self.slots.block_time(slot),
            outcome.err,
            memo_of(resolved),
            resolved.raw,
            pack_meta(build_meta(resolved, outcome, self.accounts)),
        )
        self.history.add(landed, resolved.keys)
        for listener in self.on_transaction:
            listener(landed)

    def _set_svm_clock(self, slot: int) -> None:
        if slot == self._svm_slot:
            return
        self._svm_slot = slot
        epoch = slot // SLOTS_PER_EPOCH
        self.svm.set_clock(
            ClockSysvar(
                slot=slot,
                epoch_start_timestamp=self.slots.block_time(epoch * SLOTS_PER_EPOCH),
                epoch=epoch,
                leader_schedule_epoch=epoch + 1,
                unix_timestamp=self.slots.block_time(slot),
            )
        )


def _simulation_failed(err: Any, logs: list[str], units: int, returned: dict[str, Any] | None) -> NodeError:
    data = {
        "accounts": None,
        "err": err,
        "innerInstructions": None,
        "logs": logs,
        "replacementBlockhash": None,
        "returnData": returned,
        "unitsConsumed": units,
    }
    return NodeError(SIMULATION_FAILED, f"Transaction simulation failed: {describe(err)}", data)
