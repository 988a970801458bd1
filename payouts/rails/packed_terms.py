"""The platform's side of every packed payout, and how groups are named and planned from their rows."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import timedelta
from uuid import UUID

from chain import programs
from chain.bids import bid
from chain.nft_build import ComputeBudget
from chain.packed import capacity
from chain.packed_plan import PackedPlan, TransactionFormat
from chain.receipts import receipt_address
from chain.usdc_payouts import PackedTransfer
from domain.errors import Misuse
from domain.keys import receipt_seed
from ports.ids import Ids
from storage.payouts.groups import ADOPTED, GroupCase, NewGroup
from storage.payouts.planning import Judge
from storage.payouts.upkeep import Payer

MEMO_BYTES = 21
"""`b-` and `/g-` with the first 8 digits of the batch's and the group's UUID."""
BUDGET_BASE_UNITS, BUDGET_UNITS_PER_TRANSFER = 30_000, 8_000
"""Compute units bought with a priority fee: the receipt, and a transfer by the Token program's old build (6,200)."""


@dataclass(frozen=True, slots=True)
class PackedTerms:
    """`lamports_ceiling` bounds one transaction, its receipt's rent included; `priority_lamports` is the most paid for
    speed (0: no compute budget at all). `sol_cents`: what one SOL is taken to cost when rents are weighed (0: never).
    `judge` says what speaks against an address that was planned, since other settings may have come since."""

    wallet_id: str
    address: str
    usdc_account: str
    usdc_mint: str
    derivation_secret: bytes
    memo: bool
    attempts_max: int
    day_cap: int
    lamports_ceiling: int
    priority_lamports: int
    sol_cents: int
    resend_every: timedelta
    judge: Judge

    @property
    def payer(self) -> Payer:
        return Payer(self.wallet_id, self.address)

    def room(self, packed_format: TransactionFormat) -> int:
        """How many transfers one transaction holds."""
        return capacity(packed_format, MEMO_BYTES if self.memo else 0, with_budget=self.priority_lamports > 0)

    def new_group(
        self, ids: Ids, batch_uuid: str, packed_format: TransactionFormat, members: Sequence[tuple[int, str, int]]
    ) -> NewGroup:
        """A group with a random UUID, from which its receipt follows. `members`: transfer id, owner, base units."""
        uuid = ids.uuid()
        seed = receipt_seed(self.derivation_secret, uuid)
        return NewGroup(
            uuid=str(uuid),
            format=packed_format,
            memo=f"b-{batch_uuid[:8]}/g-{str(uuid)[:8]}" if self.memo else "",
            seed=seed,
            receipt_address=receipt_address(self.address, seed),
            members=members,
        )

    def plan(self, case: GroupCase) -> PackedPlan:
        """The group's transaction as frozen; an adopted one is only read back, and its UUID is not the one that it was
        made with. Raises Misuse when the receipt does not follow from the row."""
        group = case.group
        plan = PackedPlan(
            platform_wallet=self.address,
            mint=self.usdc_mint,
            seed=group.seed,
            transfers=tuple(PackedTransfer(member.owner, member.amount) for member in case.members),
            format=TransactionFormat.V0 if group.format == ADOPTED else TransactionFormat(group.format),
            memo=group.memo,
        )
        adopted = group.format == ADOPTED
        derived = group.seed if adopted else receipt_seed(self.derivation_secret, UUID(group.uuid))
        if group.seed != derived or plan.receipt != group.receipt_address or plan.total != group.amount:
            raise Misuse(f"group {group.uuid} is not what its row says: its receipt or its total differs")
        return plan

    def budget(self, plan: PackedPlan, recent_fees: Sequence[int], dead_attempts: int) -> ComputeBudget | None:
        """Of the group's next attempt. None where nothing is bid, and of a group that was packed without the room."""
        transfers = len(plan.transfers)
        if transfers > capacity(plan.format, len(plan.memo.encode()), with_budget=True):
            return None
        units = BUDGET_BASE_UNITS + BUDGET_UNITS_PER_TRANSFER * transfers
        return bid(units, self.priority_lamports, recent_fees, dead_attempts)


def transaction_fee(priority_lamports: int) -> int:
    """Most that one transaction's fee can be."""
    return programs.LAMPORTS_PER_SIGNATURE + priority_lamports
