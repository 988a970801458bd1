"""USDC that one transaction of ours pays from the platform's account: its instructions, and their reading back.

Shared by the packed payout and by the mint that pays its sale's recipients: what is paid looks the same in both.
"""

import functools
import struct
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from solders.instruction import AccountMeta, Instruction
from solders.pubkey import Pubkey

from chain import programs
from chain.addresses import ata, parse_address
from chain.transactions import PlainInstruction
from domain.errors import Misuse, Rejected

AMOUNT_LIMIT: Final = 2**64
"""Token amounts are u64."""
_TOKEN = Pubkey.from_string(programs.TOKEN)
_TRANSFER_CHECKED = 12
_TRANSFER_CHECKED_SIZE = 10
"""The instruction's number, a u64 and the decimals."""


@dataclass(frozen=True, slots=True)
class PackedTransfer:
    """One payout: `amount` in USDC base units to the owner's associated token account."""

    owner: str
    amount: int

    def __post_init__(self) -> None:
        if not 0 < self.amount < AMOUNT_LIMIT:
            raise Misuse(f"an amount of {self.amount} base units can't be paid")


@dataclass(frozen=True, slots=True)
class UsdcPayouts:
    """What one transaction is to pay. `mint` is USDC's.

    Raises `Misuse` for no transfer, for an owner named twice (one balance change must explain one payout) and for the
    platform wallet as an owner.
    """

    platform_wallet: str
    mint: str
    transfers: tuple[PackedTransfer, ...]

    def __post_init__(self) -> None:
        owners = [one.owner for one in self.transfers]
        if not owners or len(set(owners)) != len(owners) or self.platform_wallet in owners:
            raise Misuse("one transaction pays one or more owners, each once, and never the platform wallet itself")

    @property
    def total(self) -> int:
        """Base units that leave the platform's USDC account."""
        return sum(one.amount for one in self.transfers)

    @property
    def source_account(self) -> str:
        """The platform's USDC account."""
        return token_account(self.platform_wallet, self.mint)

    def destinations(self) -> dict[str, int]:
        """Base units by token account."""
        return {token_account(one.owner, self.mint): one.amount for one in self.transfers}


@functools.lru_cache(maxsize=4096)
def token_account(owner: str, mint: str) -> str:
    """The owner's associated account: searched for on the curve, so kept while a transaction is built and checked."""
    return ata(owner, mint, programs.TOKEN)


def payout_instructions(payouts: UsdcPayouts) -> list[Instruction]:
    """One `TransferChecked` for each transfer, in order. The destination accounts must exist."""
    return [_transfer(payouts, one) for one in payouts.transfers]


def pays(one: PlainInstruction) -> bool:
    """Whether an instruction of our own is one of these transfers."""
    return one.program == programs.TOKEN and one.data[:1] == bytes([_TRANSFER_CHECKED])


def check_payouts(instructions: Sequence[PlainInstruction], payouts: UsdcPayouts, code: str) -> None:
    """Every USDC movement among our own instructions is the plan's: source, mint, destination, authority, amount,
    decimals; each exactly once. Raises `Rejected(code)`."""
    paid: dict[str, int] = {}
    for one in instructions:
        if not pays(one):
            continue
        if len(one.accounts) != 4 or len(one.data) != _TRANSFER_CHECKED_SIZE or one.data[9] != programs.USDC_DECIMALS:
            raise Rejected(code, "refused to sign: a transfer is not a TransferChecked of USDC")
        source, mint, destination, authority = one.accounts
        ours = (payouts.source_account, payouts.mint, payouts.platform_wallet)
        if (source, mint, authority) != ours or destination in paid:
            raise Rejected(
                code,
                "refused to sign: a transfer leaves another account than the platform's, or pays one account twice",
            )
        paid[destination] = int.from_bytes(one.data[1:9], "little")
    if paid != payouts.destinations() or sum(paid.values()) != payouts.total:
        raise Rejected(code, "refused to sign: its destinations and amounts are not those of the plan")


def _transfer(payouts: UsdcPayouts, one: PackedTransfer) -> Instruction:
    accounts = [
        AccountMeta(parse_address(payouts.source_account), is_signer=False, is_writable=True),
        AccountMeta(parse_address(payouts.mint), is_signer=False, is_writable=False),
        AccountMeta(parse_address(token_account(one.owner, payouts.mint)), is_signer=False, is_writable=True),
        AccountMeta(parse_address(payouts.platform_wallet), is_signer=True, is_writable=False),
    ]
    data = bytes([_TRANSFER_CHECKED]) + struct.pack("<QB", one.amount, programs.USDC_DECIMALS)
    return Instruction(_TOKEN, data, accounts)
