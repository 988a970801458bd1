"""The transactions that custody makes on Solana, as bytes."""

from collections.abc import Sequence
from dataclasses import dataclass

from solders.compute_budget import set_compute_unit_limit, set_compute_unit_price
from solders.hash import Hash
from solders.instruction import AccountMeta, Instruction
from solders.keypair import Keypair
from solders.message import Message, MessageV0, MessageV1, to_bytes_versioned
from solders.pubkey import Pubkey
from solders.signature import Signature
from solders.system_program import ID as SYSTEM_PROGRAM
from solders.system_program import TransferParams, transfer
from solders.transaction import VersionedTransaction

TOKEN_PROGRAM = Pubkey.from_string("TokenkegQfeZyiNwAJbNbGKPFXCWuBvf9Ss623VQ5DA")
TOKEN_2022_PROGRAM = Pubkey.from_string("TokenzQdBNbLqP5VEhdkAS6EPFLC1PHnBqCXEpPxuEb")
ASSOCIATED_PROGRAM = Pubkey.from_string("ATokenGPvbdGVxr1b2hvZbsiqW5xWH25efTNsLJA8knL")
NATIVE_DECIMALS = 9
TOKEN_ACCOUNT_BYTES = 165
TOKEN_2022_ACCOUNT_BYTES = 170
"""An associated account of Token-2022 also has the immutable-owner extension."""
SIGNATURE_FEE_LAMPORTS = 5_000
COMPUTE_UNITS_DEFAULT = 200_000
"""Circle's default gas limit on Solana (reference/circle.md, section 4)."""
PRICES_MICROLAMPORTS = {"LOW": 0, "MEDIUM": 1_000, "HIGH": 10_000}
"""Per compute unit. The sandbox's chain is never crowded, so the levels only have to differ."""


def associated_address(owner: Pubkey, mint: Pubkey, program: Pubkey) -> Pubkey:
    return Pubkey.find_program_address([bytes(owner), bytes(program), bytes(mint)], ASSOCIATED_PROGRAM)[0]


def parse_address(text: str) -> Pubkey | None:
    """An owner's address: base58 of a 32-byte key on the curve; None for anything else."""
    try:
        key = Pubkey.from_string(text)
    except ValueError:
        return None
    return key if key.is_on_curve() else None


@dataclass(frozen=True, slots=True)
class Fee:
    """What a transfer offers: compute units and their price in micro-lamports."""

    compute_units: int
    price: int

    @property
    def lamports(self) -> int:
        return SIGNATURE_FEE_LAMPORTS + -(-self.compute_units * self.price // 1_000_000)

    def raised(self, compute_units: int) -> "Fee":
        """A slightly higher limit, so that two equal transfers on one blockhash differ in their signature."""
        return Fee(self.compute_units + compute_units, self.price)

    def instructions(self) -> list[Instruction]:
        limit = set_compute_unit_limit(self.compute_units)
        return [limit, set_compute_unit_price(self.price)] if self.price else [limit]


def create_associated(payer: Pubkey, owner: Pubkey, mint: Pubkey, program: Pubkey) -> Instruction:
    """CreateIdempotent of the associated token program."""
    accounts = [
        AccountMeta(payer, is_signer=True, is_writable=True),
        AccountMeta(associated_address(owner, mint, program), is_signer=False, is_writable=True),
        AccountMeta(owner, is_signer=False, is_writable=False),
        AccountMeta(mint, is_signer=False, is_writable=False),
        AccountMeta(SYSTEM_PROGRAM, is_signer=False, is_writable=False),
        AccountMeta(program, is_signer=False, is_writable=False),
    ]
    return Instruction(ASSOCIATED_PROGRAM, bytes([1]), accounts)


def transfer_checked(
    owner: Pubkey, to: Pubkey, mint: Pubkey, program: Pubkey, units: int, decimals: int
) -> Instruction:
    """From the owner's associated account to that of `to`."""
    accounts = [
        AccountMeta(associated_address(owner, mint, program), is_signer=False, is_writable=True),
        AccountMeta(mint, is_signer=False, is_writable=False),
        AccountMeta(associated_address(to, mint, program), is_signer=False, is_writable=True),
        AccountMeta(owner, is_signer=True, is_writable=False),
    ]
    return Instruction(program, bytes([12]) + units.to_bytes(8, "little") + bytes([decimals]), accounts)


def native_transfer(owner: Pubkey, to: Pubkey, lamports: int) -> Instruction:
    return transfer(TransferParams(from_pubkey=owner, to_pubkey=to, lamports=lamports))


def signed(keypair: Keypair, instructions: Sequence[Instruction], blockhash: Hash) -> VersionedTransaction:
    message = MessageV0.try_compile(keypair.pubkey(), list(instructions), [], blockhash)
    return VersionedTransaction(message, [keypair])


class NotSignable(Exception):
    """The bytes are no transaction that this wallet can sign; the text says why."""


def parse_wire(wire: bytes, *, allow_v1: bool) -> VersionedTransaction:
    """A whole wire transaction: legacy, v0 or v1, with its signature slots."""
    try:
        transaction = VersionedTransaction.from_bytes(wire)
    except ValueError as error:
        raise NotSignable("is not a valid transaction") from error
    if isinstance(transaction.message, MessageV1) and not allow_v1:
        raise NotSignable("has an unsupported transaction version")
    if bytes(transaction) != wire:
        raise NotSignable("has bytes behind the transaction")
    signers = transaction.message.header.num_required_signatures
    if len(transaction.signatures) != signers or not 0 < signers <= len(transaction.message.account_keys):
        raise NotSignable("has the wrong number of signatures")
    return transaction


def countersign(keypair: Keypair, transaction: VersionedTransaction) -> tuple[Signature, VersionedTransaction]:
    """Fill the wallet's slot, leave the others as they are."""
    message: Message | MessageV0 | MessageV1 = transaction.message
    signers = message.account_keys[: message.header.num_required_signatures]
    if keypair.pubkey() not in signers:
        raise NotSignable("does not require this wallet's signature")
    signature = keypair.sign_message(to_bytes_versioned(message))
    slots = list(transaction.signatures)
    slots[signers.index(keypair.pubkey())] = signature
    return signature, VersionedTransaction.populate(message, slots)
