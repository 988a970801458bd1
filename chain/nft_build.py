"""The one transaction that makes an NFT (reference/solana.md section 3): seven instructions, one signer. It may pay the
sale's recipients behind them (`atomic_settlement`): the NFT and all of the money, or neither.

Interfaces written out by hand because each is a few bytes: Token-2022 instructions 6, 7, 20 and 39, the metadata
interface's Initialize, and the associated-token program's CreateIdempotent.
"""

import struct
from dataclasses import dataclass

from solders.compute_budget import set_compute_unit_limit, set_compute_unit_price
from solders.instruction import AccountMeta, Instruction
from solders.pubkey import Pubkey
from solders.system_program import (
    AllocateWithSeedParams,
    TransferParams,
    allocate_with_seed,
    transfer,
)

from chain import programs
from chain.addresses import parse_address
from chain.nft_plan import NftPlan
from chain.transactions import unsigned_v0
from chain.usdc_payouts import UsdcPayouts, payout_instructions
from domain.errors import Misuse, Rejected

_TOKEN_2022 = Pubkey.from_string(programs.TOKEN_2022)
_SYSTEM = Pubkey.from_string(programs.SYSTEM)
_ASSOCIATED_TOKEN = Pubkey.from_string(programs.ASSOCIATED_TOKEN)
MICRO_LAMPORTS = 1_000_000


@dataclass(frozen=True, slots=True)
class ComputeBudget:
    """Bid for block space: compute-unit limit, and micro-lamports per unit."""

    unit_limit: int
    micro_lamports_per_unit: int

    @property
    def priority_fee_lamports(self) -> int:
        """What it adds to the base fee, rounded up as the runtime does."""
        return -(-self.unit_limit * self.micro_lamports_per_unit // MICRO_LAMPORTS)


def build_mint(
    plan: NftPlan,
    *,
    blockhash: str,
    rent_lamports: int,
    mint_lamports_now: int,
    budget: ComputeBudget | None = None,
    payouts: UsdcPayouts | None = None,
) -> bytes:
    """The unsigned v0 wire transaction: one zero signature slot and the message. `payouts`: what it pays too, to token
    accounts that exist.

    `rent_lamports` is the rent exemption of `mint_rent_size(plan)`, `mint_lamports_now` what lies at the mint address
    already (a stranger may have sent some): both read again at each signing. The buyer's token account is made when
    absent.
    Raises `Misuse` for negative lamports or another wallet's payouts,
    `Rejected("transaction_too_large" | "invalid_blockhash")`.
    """
    if rent_lamports <= 0 or mint_lamports_now < 0:
        raise Misuse(f"rent {rent_lamports} and present lamports {mint_lamports_now} can't be")
    if payouts is not None and payouts.platform_wallet != plan.platform_wallet:
        raise Misuse(f"{payouts.platform_wallet} can't pay in a transaction of {plan.platform_wallet}")
    lacking = max(0, rent_lamports - mint_lamports_now)
    instructions = mint_instructions(plan, lacking, budget)
    if payouts is not None:
        instructions += payout_instructions(payouts)
    return unsigned_v0(plan.platform_wallet, instructions, blockhash)


def payouts_fit(plan: NftPlan, payouts: UsdcPayouts, *, with_budget: bool) -> bool:
    """Whether the mint and these payouts fit one transaction: measured on the bytes (8 for usual texts, fewer for long
    ones). Blockhash and lamports change no length."""
    budget = ComputeBudget(1, 1) if with_budget else None
    try:
        build_mint(
            plan, blockhash=programs.SYSTEM, rent_lamports=1, mint_lamports_now=0, budget=budget, payouts=payouts
        )
    except Rejected as error:
        if error.code != "transaction_too_large":
            raise
        return False
    return True


def budget_instructions(budget: ComputeBudget | None) -> list[Instruction]:
    """What stands in front of a legacy or v0 transaction that bids."""
    if budget is None:
        return []
    return [set_compute_unit_limit(budget.unit_limit), set_compute_unit_price(budget.micro_lamports_per_unit)]


def mint_instructions(plan: NftPlan, transfer_lamports: int, budget: ComputeBudget | None) -> list[Instruction]:
    """The instructions in order; the transfer is left out when the address holds the rent already."""
    wallet, mint = parse_address(plan.platform_wallet), parse_address(plan.mint_address)
    instructions = budget_instructions(budget)
    if transfer_lamports > 0:
        instructions.append(transfer(TransferParams(from_pubkey=wallet, to_pubkey=mint, lamports=transfer_lamports)))
    return [*instructions, *_create_mint(plan, wallet, mint), *_give_and_lock(plan, wallet, mint)]


def _create_mint(plan: NftPlan, wallet: Pubkey, mint: Pubkey) -> list[Instruction]:
    # AllocateWithSeed rather than CreateAccountWithSeed: the latter refuses an address that holds lamports already.
    allocate = AllocateWithSeedParams(
        address=mint, base=wallet, seed=plan.seed, space=programs.NFT_MINT_SIZE, owner=_TOKEN_2022
    )
    writable_mint = AccountMeta(mint, is_signer=False, is_writable=True)
    texts = b"".join(struct.pack("<I", len(t.encode())) + t.encode() for t in (plan.name, plan.symbol, plan.uri))
    metadata_accounts = [
        writable_mint,
        AccountMeta(wallet, is_signer=False, is_writable=False),
        AccountMeta(mint, is_signer=False, is_writable=False),
        AccountMeta(wallet, is_signer=True, is_writable=False),
    ]
    return [
        allocate_with_seed(allocate),
        Instruction(_TOKEN_2022, bytes([39, 0]) + bytes(wallet) + bytes(mint), [writable_mint]),
        Instruction(_TOKEN_2022, bytes([20, 0]) + bytes(wallet) + bytes([0]), [writable_mint]),
        Instruction(_TOKEN_2022, programs.METADATA_INITIALIZE + texts, metadata_accounts),
    ]


def _give_and_lock(plan: NftPlan, wallet: Pubkey, mint: Pubkey) -> list[Instruction]:
    account = parse_address(plan.buyer_account)
    create_accounts = [
        AccountMeta(wallet, is_signer=True, is_writable=True),
        AccountMeta(account, is_signer=False, is_writable=True),
        AccountMeta(parse_address(plan.buyer), is_signer=False, is_writable=False),
        AccountMeta(mint, is_signer=False, is_writable=False),
        AccountMeta(_SYSTEM, is_signer=False, is_writable=False),
        AccountMeta(_TOKEN_2022, is_signer=False, is_writable=False),
    ]
    writable_mint = AccountMeta(mint, is_signer=False, is_writable=True)
    authority = AccountMeta(wallet, is_signer=True, is_writable=False)
    mint_to_accounts = [writable_mint, AccountMeta(account, is_signer=False, is_writable=True), authority]
    return [
        Instruction(_ASSOCIATED_TOKEN, bytes([1]), create_accounts),
        Instruction(_TOKEN_2022, bytes([7]) + struct.pack("<Q", 1), mint_to_accounts),
        Instruction(_TOKEN_2022, bytes([6, 0, 0]), [writable_mint, authority]),
    ]
