"""Protocol facts of Solana that builders and decoders share: program ids, mints, sizes, limits.

Sources: reference/solana.md sections 1 and 3; layouts from the spl-token, spl-token-2022 and
spl-token-metadata-interface sources.
"""

from typing import Final

SYSTEM: Final = "11111111111111111111111111111111"
TOKEN: Final = "TokenkegQfeZyiNwAJbNbGKPFXCWuBvf9Ss623VQ5DA"  # noqa: S105 - a public program id
TOKEN_2022: Final = "TokenzQdBNbLqP5VEhdkAS6EPFLC1PHnBqCXEpPxuEb"  # noqa: S105 - a public program id
ASSOCIATED_TOKEN: Final = "ATokenGPvbdGVxr1b2hvZbsiqW5xWH25efTNsLJA8knL"  # noqa: S105 - a public program id
COMPUTE_BUDGET: Final = "ComputeBudget111111111111111111111111111111"
MEMO: Final = "MemoSq4gqABAXKb96qnH8TysNcWxMyWCqXgDLGmfcHr"
MEMO_V1: Final = "Memo1UhkJRfHyvLMcVucJwxXeuD728EqVddwQDwFMNo"

TOKEN_PROGRAMS: Final = frozenset({TOKEN, TOKEN_2022})
MEMO_PROGRAMS: Final = frozenset({MEMO, MEMO_V1})

USDC_MINTS: Final = {
    "mainnet": "EPjFWdd5AufqSSqeM2qN1xzybapC8G4wEGGkZwyTDt1v",
    "devnet": "4zMMC9srt5Ri5X14GAgXhaHii3GnPAEERYPJgZJDncDU",
}
"""USDC by cluster (Circle's published addresses); classic Token program, `USDC_DECIMALS`."""
USDC_DECIMALS: Final = 6

TRANSACTION_LIMIT_BYTES: Final = 1232
"""Largest legacy or v0 transaction: one IPv6 packet of 1280 bytes less its headers."""
TRANSACTION_V1_LIMIT_BYTES: Final = 4096
"""Largest v1 transaction (SIMD-0385)."""
TRANSACTION_V1_LIMIT_ADDRESSES: Final = 64
"""Most addresses that a v1 transaction names (SIMD-0385)."""
LAMPORTS_PER_SIGNATURE: Final = 5000
BLOCKHASH_LIFE_BLOCKS: Final = 150
SEED_LIMIT_BYTES: Final = 32
"""Longest seed of a derived address (`MAX_SEED_LEN`)."""

MINT_SIZE: Final = 82
TOKEN_ACCOUNT_SIZE: Final = 165
TOKEN_2022_ACCOUNT_SIZE: Final = TOKEN_ACCOUNT_SIZE + 1 + 4
"""What the associated-token program allocates for a Token-2022 mint: account type and an empty ImmutableOwner entry."""
NFT_MINT_SIZE: Final = TOKEN_ACCOUNT_SIZE + 1 + 68
"""A Token-2022 mint padded to a token account's size, its account type, and the metadata pointer (4 + 32 + 32)."""

NAME_LIMIT_BYTES: Final = 32
SYMBOL_LIMIT_BYTES: Final = 10
URI_LIMIT_BYTES: Final = 200
"""Bounds of product.md section 2, equal to Metaplex's; with them a mint always fits one v0 transaction."""

METADATA_POINTER_EXTENSION: Final = 18
TOKEN_METADATA_EXTENSION: Final = 19
ACCOUNT_TYPE_MINT: Final = 1
ACCOUNT_TYPE_ACCOUNT: Final = 2
MULTISIG_SIZE: Final = 355
"""The one Token account size that is neither a mint nor a token account, whatever bytes it holds."""

METADATA_INITIALIZE: Final = bytes.fromhex("d2e11ea258b84d8d")
"""sha256("spl_token_metadata_interface:initialize_account")[:8]"""


def metadata_tlv_size(name: str, symbol: str, uri: str) -> int:
    """Bytes that a metadata entry takes on the mint: header, authority, mint, three strings, no extra fields."""
    strings = sum(4 + len(text.encode()) for text in (name, symbol, uri))
    return 4 + 32 + 32 + strings + 4
