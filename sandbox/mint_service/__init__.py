"""The sandbox's Circle Mint (reference/circle.md, section 10): dollars in by wire, USDC out to a verified address."""

from sandbox.mint_service.books import Books, Switches
from sandbox.mint_service.service import MintService

__all__ = ["Books", "MintService", "Switches"]
