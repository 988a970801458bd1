"""Money from nowhere, for the sandbox only."""

from solders.pubkey import Pubkey

from sandbox.circle_service.chain import Chain
from sandbox.circle_service.errors import ApiError, bad_destination
from sandbox.circle_service.solana import parse_address
from sandbox.solana_node.errors import NodeError


def give(chain: Chain, address: str, usdc_base_units: int, lamports: int) -> Pubkey:
    """Put USDC and SOL into an owner's address. Raises 155219 when it is none, 400 when the faucet is dry."""
    owner = parse_address(address)
    if owner is None:
        raise bad_destination()
    try:
        if lamports:
            chain.airdrop(owner, lamports)
        if usdc_base_units:
            chain.mint_usdc(owner, usdc_base_units)
    except NodeError as error:
        raise ApiError(400, -1, str(error)) from error
    return owner
