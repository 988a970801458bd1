"""Addresses: parsing, deriving, and whether one may be paid. All in and out as base58 text."""

from collections.abc import Collection

from solders.pubkey import Pubkey

from chain import programs
from domain.errors import Misuse, Rejected

_NEVER_OWNERS = frozenset(
    {
        programs.SYSTEM,
        programs.TOKEN,
        programs.TOKEN_2022,
        programs.ASSOCIATED_TOKEN,
        programs.COMPUTE_BUDGET,
        programs.MEMO,
        programs.MEMO_V1,
        *programs.USDC_MINTS.values(),
    }
)
"""Programs and mints whose ids happen to lie on the curve, so that the curve alone does not refuse them."""


def parse_address(address: str) -> Pubkey:
    """The 32 bytes of a base58 address, without trimming or repair: an address has no checksum to mend it by.

    Raises `Rejected("invalid_address")`.
    """
    try:
        return Pubkey.from_string(address)
    except (ValueError, TypeError) as error:
        shown = repr(address if len(str(address)) <= 64 else str(address)[:64] + "…")
        raise Rejected("invalid_address", f"{shown} is not a Solana address (32 bytes in base58)") from error


def is_on_curve(address: str) -> bool:
    """Whether a private key can exist for it; program-derived addresses (token accounts of wallets) have none.

    Raises `Rejected("invalid_address")`.
    """
    return parse_address(address).is_on_curve()


def check_payout_owner(address: str, forbidden: Collection[str] = ()) -> None:
    """Refuse what can't be the owner of a payout: no address, off the curve, a program or mint, or one in `forbidden`.

    `forbidden` holds the platform's own wallet, token accounts and mints. A token account or mint made from a plain key
    lies on the curve: only its account on chain tells (`indexer.effects.accounts.is_plain_wallet`).
    Raises `Rejected` with `invalid_address`, `address_off_curve`, `address_is_program_or_mint` or `address_forbidden`.
    """
    if not parse_address(address).is_on_curve():
        raise Rejected("address_off_curve", f"{address} has no private key: give the wallet, not its token account")
    if address in _NEVER_OWNERS:
        raise Rejected("address_is_program_or_mint", f"{address} is a program or a mint, not a wallet")
    if address in forbidden:
        raise Rejected("address_forbidden", f"{address} belongs to the platform and can't be paid")


def ata(owner: str, mint: str, token_program: str = programs.TOKEN) -> str:
    """The owner's associated token account for a mint.

    Raises `Rejected("invalid_address")`; `Misuse` for a program that holds no tokens.
    """
    if token_program not in programs.TOKEN_PROGRAMS:
        raise Misuse(f"{token_program} is not a token program")
    seeds = [bytes(parse_address(owner)), bytes(parse_address(token_program)), bytes(parse_address(mint))]
    return str(Pubkey.find_program_address(seeds, Pubkey.from_string(programs.ASSOCIATED_TOKEN))[0])


def seeded(base: str, seed: str, program: str) -> str:
    """The address that `base` alone may allocate with `seed` for `program` (`create_with_seed`).

    Raises `Misuse` for a seed that is not 1 to 32 ASCII characters, `Rejected("invalid_address")`.
    """
    if not seed.isascii() or not 1 <= len(seed) <= programs.SEED_LIMIT_BYTES:
        raise Misuse(f"a seed has 1 to {programs.SEED_LIMIT_BYTES} ASCII characters, this one has {len(seed)}")
    return str(Pubkey.create_with_seed(parse_address(base), seed, parse_address(program)))
