"""The packed payout's transaction: the receipt, then the transfers (reference/solana.md sections 2 and 4).

Either all of it happens or none; the receipt makes it happen at most once in all attempts of its group.
"""

import functools

from solders.instruction import Instruction
from solders.message import TransactionConfig
from solders.pubkey import Pubkey

from chain import programs
from chain.nft_build import ComputeBudget, budget_instructions
from chain.packed_plan import PackedPlan, TransactionFormat
from chain.receipts import receipt_instructions
from chain.transactions import unsigned_v0, unsigned_v1
from chain.usdc_payouts import PackedTransfer, payout_instructions
from domain.errors import Misuse, Rejected


def build_packed(
    plan: PackedPlan,
    *,
    blockhash: str,
    rent_lamports: int,
    receipt_lamports_now: int,
    budget: ComputeBudget | None = None,
) -> bytes:
    """The unsigned wire transaction in the plan's format.

    `rent_lamports` is the rent exemption of a token account, `receipt_lamports_now` what lies at the receipt's address
    already: both read again at each signing. Raises `Misuse` for lamports that can't be,
    `Rejected("transaction_too_large" | "invalid_blockhash")`.
    """
    if rent_lamports <= 0 or receipt_lamports_now < 0:
        raise Misuse(f"rent {rent_lamports} and present lamports {receipt_lamports_now} can't be")
    lacking = rent_lamports - receipt_lamports_now
    instructions = [
        *receipt_instructions(plan.platform_wallet, plan.seed, plan.mint, lacking),
        *payout_instructions(plan.payouts),
    ]
    if plan.memo:
        instructions.append(Instruction(Pubkey.from_string(programs.MEMO), plan.memo.encode(), []))
    if plan.format is TransactionFormat.V1:
        return unsigned_v1(plan.platform_wallet, instructions, blockhash, config_of(budget))
    return unsigned_v0(plan.platform_wallet, [*budget_instructions(budget), *instructions], blockhash)


def config_of(budget: ComputeBudget | None) -> TransactionConfig:
    """v1 carries its budget inline, and the priority fee there is the whole fee in lamports (SIMD-0385)."""
    if budget is None:
        return TransactionConfig()
    return TransactionConfig(priority_fee=budget.priority_fee_lamports, compute_unit_limit=budget.unit_limit)


@functools.lru_cache(maxsize=64)
def capacity(packed_format: TransactionFormat, memo_bytes: int = 0, *, with_budget: bool = False) -> int:
    """How many transfers fit beside the receipt: measured on the bytes, which depend on nothing else."""
    count = 0
    while _fits(packed_format, memo_bytes, count + 1, with_budget=with_budget):
        count += 1
    return count


def _fits(packed_format: TransactionFormat, memo_bytes: int, count: int, *, with_budget: bool) -> bool:
    wallet, *owners = [str(Pubkey(n.to_bytes(32, "big"))) for n in range(1, count + 2)]
    plan = PackedPlan(
        platform_wallet=wallet,
        mint=programs.USDC_MINTS["mainnet"],
        seed="0" * programs.SEED_LIMIT_BYTES,
        transfers=tuple(PackedTransfer(owner, 1) for owner in owners),
        format=packed_format,
        memo="m" * memo_bytes,
    )
    budget = ComputeBudget(1, 1) if with_budget else None
    try:
        build_packed(plan, blockhash=programs.SYSTEM, rent_lamports=1, receipt_lamports_now=0, budget=budget)
    except Rejected as error:
        if error.code != "transaction_too_large":
            raise
        return False
    return True
