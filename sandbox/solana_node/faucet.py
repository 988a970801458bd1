"""Where the sandbox's SOL and USDC come from: one key that owns plenty of the one and may mint the other."""

import struct

from solders.hash import Hash
from solders.instruction import AccountMeta, Instruction
from solders.keypair import Keypair
from solders.message import Message
from solders.pubkey import Pubkey
from solders.system_program import ID as SYSTEM_PROGRAM
from solders.system_program import TransferParams, transfer
from solders.transaction import VersionedTransaction

from sandbox.solana_node.token_layouts import ASSOCIATED_TOKEN, TOKEN, associated_token_address

FAUCET_LAMPORTS = 500_000_000 * 10**9
"""About as much SOL as there is."""
_CREATE_IDEMPOTENT = b"\x01"
_MINT_TO = 7


def airdrop(faucet: Keypair, to: Pubkey, lamports: int, blockhash: Hash) -> VersionedTransaction:
    step = transfer(TransferParams(from_pubkey=faucet.pubkey(), to_pubkey=to, lamports=lamports))
    return _sign(faucet, [step], blockhash)


def mint_tokens(faucet: Keypair, mint: Pubkey, owner: Pubkey, amount: int, blockhash: Hash) -> VersionedTransaction:
    """Mints base units of a classic token into the owner's associated account, which is made when missing."""
    payer, account = faucet.pubkey(), associated_token_address(owner, mint)
    create = Instruction(
        ASSOCIATED_TOKEN,
        _CREATE_IDEMPOTENT,
        [
            AccountMeta(payer, True, True),
            AccountMeta(account, False, True),
            AccountMeta(owner, False, False),
            AccountMeta(mint, False, False),
            AccountMeta(SYSTEM_PROGRAM, False, False),
            AccountMeta(TOKEN, False, False),
        ],
    )
    mint_to = Instruction(
        TOKEN,
        struct.pack("<BQ", _MINT_TO, amount),
        [AccountMeta(mint, False, True), AccountMeta(account, False, True), AccountMeta(payer, True, False)],
    )
    return _sign(faucet, [create, mint_to], blockhash)


def _sign(faucet: Keypair, steps: list[Instruction], blockhash: Hash) -> VersionedTransaction:
    return VersionedTransaction(Message.new_with_blockhash(steps, faucet.pubkey(), blockhash), [faucet])
