"""Money from nowhere, for the sandbox only."""

from solders.pubkey import Pubkey

from sandbox.circle_service.chain import Chain
from sandbox.circle_service.errors import bad_destination
from sandbox.circle_service.solana import parse_address


def give(chain: Chain, address: str, usdc_base_units: int, lamports: int) -> Pubkey:
    """Put USDC and SOL into an owner's address. Raises 155219 when it is none."""
    owner = parse_address(address)
    if owner is None:
        raise bad_destination()
    if lamports:
        chain.airdrop(owner, lamports)
    if usdc_base_units:
        chain.mint_usdc(owner, usdc_base_units)
    return owner
