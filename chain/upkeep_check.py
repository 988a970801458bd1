"""Transactions of the rail's upkeep, decoded and held against what was meant before anyone signs them."""

from collections.abc import Sequence
from typing import Never

from chain import programs
from chain.account_waves import build_wave
from chain.nft_build import ComputeBudget, budget_instructions
from chain.receipts import build_close
from chain.transactions import PlainInstruction, message_bytes, read_transaction
from chain.usdc_payouts import token_account
from domain.errors import Rejected

_CREATE_IDEMPOTENT = b"\x01"
_CLOSE_ACCOUNT = b"\x09"


def assert_wave_matches(
    wire: bytes, platform_wallet: str, mint: str, owners: Sequence[str], budget: ComputeBudget | None = None
) -> None:
    """Refuse anything but associated token accounts of exactly these owners, each once, behind this very budget.

    Raises `Rejected("upkeep_mismatch" | "malformed_transaction")`.
    """
    bids = len(budget_instructions(budget))
    making = _instructions(wire, platform_wallet, programs.ASSOCIATED_TOKEN, bids)
    made = [_made(one, platform_wallet, mint) for one in making]
    if sorted(made) != sorted(owners):
        _mismatch("it makes other accounts than the wave's")
    blockhash = read_transaction(wire).blockhash
    _same(wire, build_wave(platform_wallet, mint, owners, blockhash, budget))


def assert_close_matches(wire: bytes, platform_wallet: str, mint: str, receipts: Sequence[str]) -> None:
    """Refuse anything but closing exactly these receipts in favour of the platform wallet, never its USDC account.

    Raises as `assert_wave_matches`.
    """
    closed = [_closed(one, platform_wallet) for one in _instructions(wire, platform_wallet, programs.TOKEN)]
    if sorted(closed) != sorted(receipts) or token_account(platform_wallet, mint) in closed:
        _mismatch("it closes other accounts than the receipts meant")
    _same(wire, build_close(platform_wallet, receipts, read_transaction(wire).blockhash))


def _instructions(wire: bytes, platform_wallet: str, program: str, bids: int = 0) -> tuple[PlainInstruction, ...]:
    """Those behind the first `bids`, which the rebuilt bytes are held against."""
    read = read_transaction(wire)
    if read.signers != (platform_wallet,) or read.lookup_tables:
        _mismatch("the platform wallet is not its only signer, or it uses lookup tables")
    meant = read.instructions[bids:]
    strange = {one.program for one in meant} - {program}
    if strange:
        _mismatch(f"it calls {', '.join(sorted(strange))}")
    return meant


def _made(one: PlainInstruction, platform_wallet: str, mint: str) -> str:
    if one.data != _CREATE_IDEMPOTENT or len(one.accounts) != 6:
        _mismatch("an instruction makes no associated token account")
    payer, account, owner, of_mint = one.accounts[:4]
    if (payer, of_mint) != (platform_wallet, mint) or account != token_account(owner, mint):
        _mismatch(f"{account} is not the USDC account of {owner}")
    return owner


def _closed(one: PlainInstruction, platform_wallet: str) -> str:
    if one.data != _CLOSE_ACCOUNT or one.accounts[1:] != (platform_wallet, platform_wallet):
        _mismatch("an instruction is not a closing in favour of the platform wallet")
    return one.accounts[0]


def _same(wire: bytes, rebuilt: bytes) -> None:
    if message_bytes(rebuilt) != message_bytes(wire):
        _mismatch("the bytes differ from the transaction meant")


def _mismatch(why: str) -> Never:
    raise Rejected("upkeep_mismatch", f"refused to sign: {why}")
