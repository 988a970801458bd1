"""The receipt of a packed payout: a USDC token account of the platform wallet at an address that only its group has.

The chain allocates an address once, so the second transaction of a group fails as a whole with Custom(0) and none of
its transfers happen (reference/solana.md section 4). Closing a receipt frees its address, and the group could be paid
again: whoever closes answers for the rules of that section.
"""

from collections.abc import Sequence

from solders.instruction import AccountMeta, Instruction
from solders.pubkey import Pubkey
from solders.system_program import AllocateWithSeedParams, TransferParams, allocate_with_seed, transfer

from chain import programs
from chain.addresses import parse_address, seeded
from chain.transactions import unsigned_v0
from domain.errors import Misuse

_TOKEN = Pubkey.from_string(programs.TOKEN)
_INITIALIZE_ACCOUNT_3 = 18
_CLOSE_ACCOUNT = 9
CLOSED_TOGETHER = 20
"""Receipts closed by one v0 transaction: 49 bytes each, and a little room for a compute budget."""


def receipt_address(platform_wallet: str, seed: str) -> str:
    """Where the group's receipt lies, in all of its attempts."""
    return seeded(platform_wallet, seed, programs.TOKEN)


def receipt_instructions(platform_wallet: str, seed: str, mint: str, lacking_lamports: int) -> list[Instruction]:
    """Bring the receipt into being. `lacking_lamports`: its rent less what a stranger may have sent to the address."""
    wallet, receipt = parse_address(platform_wallet), parse_address(receipt_address(platform_wallet, seed))
    # AllocateWithSeed rather than CreateAccountWithSeed: the latter refuses an address that holds lamports already.
    allocate = AllocateWithSeedParams(
        address=receipt, base=wallet, seed=seed, space=programs.TOKEN_ACCOUNT_SIZE, owner=_TOKEN
    )
    accounts = [
        AccountMeta(receipt, is_signer=False, is_writable=True),
        AccountMeta(parse_address(mint), is_signer=False, is_writable=False),
    ]
    made = [
        allocate_with_seed(allocate),
        Instruction(_TOKEN, bytes([_INITIALIZE_ACCOUNT_3]) + bytes(wallet), accounts),
    ]
    if lacking_lamports <= 0:
        return made
    return [transfer(TransferParams(from_pubkey=wallet, to_pubkey=receipt, lamports=lacking_lamports)), *made]


def build_close(platform_wallet: str, receipts: Sequence[str], blockhash: str) -> bytes:
    """The unsigned v0 wire transaction that gives the receipts' rents back to the platform wallet.

    Raises `Misuse` for none, for more than `CLOSED_TOGETHER` or for one named twice.
    """
    if not 1 <= len(receipts) <= CLOSED_TOGETHER or len(set(receipts)) != len(receipts):
        raise Misuse(f"1 to {CLOSED_TOGETHER} different receipts are closed together, not {len(receipts)}")
    wallet = parse_address(platform_wallet)
    closing = [
        Instruction(
            _TOKEN,
            bytes([_CLOSE_ACCOUNT]),
            [
                AccountMeta(parse_address(receipt), is_signer=False, is_writable=True),
                AccountMeta(wallet, is_signer=False, is_writable=True),
                AccountMeta(wallet, is_signer=True, is_writable=False),
            ],
        )
        for receipt in receipts
    ]
    return unsigned_v0(platform_wallet, closing, blockhash)
