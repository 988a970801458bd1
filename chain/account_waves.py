"""Missing USDC token accounts of recipients, made in waves of their own before the payouts are signed.

A transaction's trace has 64 entries: 12 fresh accounts pass, only 9 where a stranger has pre-funded the addresses
(reference/solana.md section 1). So waves hold 8, and are halved when the trace is too long all the same.
"""

from collections.abc import Sequence
from typing import Final

from solders.instruction import AccountMeta, Instruction
from solders.pubkey import Pubkey

from chain import programs
from chain.addresses import parse_address
from chain.nft_build import ComputeBudget, budget_instructions
from chain.transactions import unsigned_v0
from chain.usdc_payouts import token_account
from domain.errors import Misuse

WAVE: Final = 8
TRACE_ERROR: Final = "MaxInstructionTraceLengthExceeded"
_CREATE_IDEMPOTENT: Final = bytes([1])


def into_waves(owners: Sequence[str]) -> list[tuple[str, ...]]:
    """The owners in order, each once, `WAVE` at a time."""
    each_once = list(dict.fromkeys(owners))
    return [tuple(each_once[start : start + WAVE]) for start in range(0, len(each_once), WAVE)]


def halved(wave: Sequence[str]) -> list[tuple[str, ...]]:
    """What follows a wave whose trace was too long. Raises `Misuse` for a single owner: there it is another error."""
    if len(wave) < 2:
        raise Misuse("a wave of one account can't be halved")
    middle = (len(wave) + 1) // 2
    return [tuple(wave[:middle]), tuple(wave[middle:])]


def build_wave(
    platform_wallet: str, mint: str, owners: Sequence[str], blockhash: str, budget: ComputeBudget | None = None
) -> bytes:
    """The unsigned v0 wire transaction that makes the owners' accounts; one that is there already is left as it is.

    Raises `Misuse` for none, more than `WAVE` or an owner named twice; `Rejected("invalid_address")`.
    """
    if not 1 <= len(owners) <= WAVE or len(set(owners)) != len(owners):
        raise Misuse(f"a wave makes accounts of 1 to {WAVE} different owners, not {len(owners)}")
    making = [_create(platform_wallet, mint, owner) for owner in owners]
    return unsigned_v0(platform_wallet, [*budget_instructions(budget), *making], blockhash)


def _create(platform_wallet: str, mint: str, owner: str) -> Instruction:
    accounts = [
        AccountMeta(parse_address(platform_wallet), is_signer=True, is_writable=True),
        AccountMeta(parse_address(token_account(owner, mint)), is_signer=False, is_writable=True),
        AccountMeta(parse_address(owner), is_signer=False, is_writable=False),
        AccountMeta(parse_address(mint), is_signer=False, is_writable=False),
        AccountMeta(Pubkey.from_string(programs.SYSTEM), is_signer=False, is_writable=False),
        AccountMeta(Pubkey.from_string(programs.TOKEN), is_signer=False, is_writable=False),
    ]
    return Instruction(Pubkey.from_string(programs.ASSOCIATED_TOKEN), _CREATE_IDEMPOTENT, accounts)
