"""What one NFT is to be: frozen when its mint is planned, held against the bytes before signing and the chain after."""

from dataclasses import dataclass
from typing import Self

from chain import programs
from chain.addresses import ata, parse_address, seeded
from domain.errors import Misuse, Rejected


@dataclass(frozen=True, slots=True)
class NftPlan:
    """A mint as stored with its purchase. All addresses base58; `seed` is the purchase's derived seed.

    Raises `Misuse` when `mint_address` is not the one that wallet and seed give, `Rejected` for an address, name,
    symbol or uri that can't go on chain.
    """

    mint_address: str
    seed: str
    platform_wallet: str
    buyer: str
    name: str
    symbol: str
    uri: str

    def __post_init__(self) -> None:
        parse_address(self.buyer)
        if self.mint_address != seeded(self.platform_wallet, self.seed, programs.TOKEN_2022):
            raise Misuse(f"mint address {self.mint_address} does not follow from the platform wallet and its seed")
        if self.buyer in {self.mint_address, self.platform_wallet}:
            raise Misuse(f"{self.buyer} can't be the buyer: it is the platform wallet or the mint itself")
        check_metadata(self.name, self.symbol, self.uri)

    @classmethod
    def derived(cls, *, seed: str, platform_wallet: str, buyer: str, name: str, symbol: str, uri: str) -> Self:
        """A plan whose mint address is worked out from wallet and seed."""
        mint = seeded(platform_wallet, seed, programs.TOKEN_2022)
        return cls(mint, seed, platform_wallet, buyer, name, symbol, uri)

    @property
    def buyer_account(self) -> str:
        """The buyer's associated token account that receives the NFT."""
        return ata(self.buyer, self.mint_address, programs.TOKEN_2022)


def check_metadata(name: str, symbol: str, uri: str) -> None:
    """Refuse texts beyond the bounds of product.md section 2 (UTF-8 bytes), empty, or not encodable.

    Raises `Rejected` with `nft_name_invalid`, `nft_symbol_invalid` or `nft_uri_invalid`.
    """
    limits = (
        ("name", name, 1, programs.NAME_LIMIT_BYTES),
        ("symbol", symbol, 0, programs.SYMBOL_LIMIT_BYTES),
        ("uri", uri, 1, programs.URI_LIMIT_BYTES),
    )
    for field, text, least, most in limits:
        if not least <= _utf8_length(text) <= most:
            raise Rejected(f"nft_{field}_invalid", f"the NFT's {field} must have {least} to {most} UTF-8 bytes")


def metadata_size(plan: NftPlan) -> int:
    """Bytes of the plan's metadata entry on the mint."""
    return programs.metadata_tlv_size(plan.name, plan.symbol, plan.uri)


def mint_rent_size(plan: NftPlan) -> int:
    """Account size whose rent the mint needs; it is allocated smaller, and the metadata instruction grows it."""
    size = programs.NFT_MINT_SIZE + metadata_size(plan)
    # Token-2022 never leaves a mint at a multisig's size: it adds one empty entry's type, two bytes.
    return size + 2 if size == programs.MULTISIG_SIZE else size


def _utf8_length(text: str) -> int:
    """-1 for text that UTF-8 can't carry (lone surrogates)."""
    try:
        return len(text.encode())
    except UnicodeEncodeError:
        return -1
