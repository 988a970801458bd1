"""What Circle's custody needs from the chain: declared here, implemented by the sandbox's Solana node."""

from collections.abc import Callable, Sequence
from typing import Protocol

from solders.account import Account
from solders.hash import Hash
from solders.pubkey import Pubkey

from sandbox.solana_node.history import Landed
from sandbox.solana_node.slots import Commitment

USDC_DEVNET_MINT = "4zMMC9srt5Ri5X14GAgXhaHii3GnPAEERYPJgZJDncDU"
"""reference/circle.md, section 11."""
BLOCKHASH_LIFE_BLOCKS = 150
"""A blockhash is good for this many blocks."""


class SignatureStatus(Protocol):
    """Where a landed transaction stands; `err` is None on success."""

    @property
    def slot(self) -> int: ...
    @property
    def commitment(self) -> Commitment: ...
    @property
    def err(self) -> object | None: ...


class Chain(Protocol):
    """The calls custody makes; `sandbox.solana_node.SolanaNode` has them."""

    on_transaction: list[Callable[[Landed], None]]
    """Called with each transaction as it lands, before it is confirmed."""

    def send_raw(self, raw: bytes) -> str:
        """Put a signed transaction on the chain; its signature. Raises `NodeError` when preflight refuses it."""
        ...

    def latest_blockhash(self) -> tuple[Hash, int]:
        """The newest finalized blockhash and the last block height at which it is valid."""
        ...

    def signature_status(self, signature: str) -> SignatureStatus | None: ...
    def account(self, address: Pubkey, commitment: Commitment) -> Account | None: ...
    def token_accounts(self, owner: Pubkey, commitment: Commitment) -> Sequence[tuple[Pubkey, Account]]: ...
    def minimum_rent(self, size: int) -> int: ...
    def mint_usdc(self, owner: Pubkey, base_units: int) -> str: ...
    def airdrop(self, to: Pubkey, lamports: int) -> str: ...


def finalized_height(chain: Chain) -> int:
    """Block height of the newest finalized block."""
    return chain.latest_blockhash()[1] - BLOCKHASH_LIFE_BLOCKS
