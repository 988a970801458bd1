"""The packed payout's transaction: the receipt, then the transfers (reference/solana.md sections 2 and 4).

Either all of it happens or none; the receipt makes it happen at most once in all attempts of its group.
"""

import functools
import struct

from solders.compute_budget import set_compute_unit_limit, set_compute_unit_price
from solders.instruction import AccountMeta, Instruction
from solders.message import TransactionConfig
from solders.pubkey import Pubkey

from chain import programs
from chain.addresses import parse_address
from chain.nft_build import ComputeBudget
from chain.packed_plan import PackedPlan, PackedTransfer, TransactionFormat, token_account
from chain.receipts import receipt_instructions
from chain.transactions import unsigned_v0, unsigned_v1
from domain.errors import Misuse, Rejected

_TOKEN = Pubkey.from_string(programs.TOKEN)
_TRANSFER_CHECKED = 12


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
        *(_transfer(plan, one) for one in plan.transfers),
    ]
    if plan.memo:
        instructions.append(Instruction(Pubkey.from_string(programs.MEMO), plan.memo.encode(), []))
    if plan.format is TransactionFormat.V1:
        return unsigned_v1(plan.platform_wallet, instructions, blockhash, config_of(budget))
    if budget is not None:
        instructions.insert(0, set_compute_unit_limit(budget.unit_limit))
        instructions.insert(1, set_compute_unit_price(budget.micro_lamports_per_unit))
    return unsigned_v0(plan.platform_wallet, instructions, blockhash)


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


def _transfer(plan: PackedPlan, one: PackedTransfer) -> Instruction:
    accounts = [
        AccountMeta(parse_address(plan.source_account), is_signer=False, is_writable=True),
        AccountMeta(parse_address(plan.mint), is_signer=False, is_writable=False),
        AccountMeta(parse_address(token_account(one.owner, plan.mint)), is_signer=False, is_writable=True),
        AccountMeta(parse_address(plan.platform_wallet), is_signer=True, is_writable=False),
    ]
    data = bytes([_TRANSFER_CHECKED]) + struct.pack("<QB", one.amount, programs.USDC_DECIMALS)
    return Instruction(_TOKEN, data, accounts)
