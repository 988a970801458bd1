"""Circle Mint's business account over REST (reference/circle.md, section 10): balance, wires, deposits, transfers."""

from gateways.circle_mint.facts import DepositFacts, MintTransfer, RecipientFacts, WireInstructions
from gateways.circle_mint.gateway import MintGateway

__all__ = ["DepositFacts", "MintGateway", "MintTransfer", "RecipientFacts", "WireInstructions"]
