"""The sandbox's Solana: JSON-RPC and WebSocket over LiteSVM. `node.py` is the state machine, `front.py` its sockets."""

from sandbox.solana_node.endpoints import Endpoint, Switches
from sandbox.solana_node.errors import NodeError
from sandbox.solana_node.front import NodeFront
from sandbox.solana_node.history import Landed, TokenChange
from sandbox.solana_node.node import USDC_DEVNET, SignatureStatus, SolanaNode
from sandbox.solana_node.slots import Commitment

__all__ = [
    "USDC_DEVNET",
    "Commitment",
    "Endpoint",
    "Landed",
    "NodeError",
    "NodeFront",
    "SignatureStatus",
    "SolanaNode",
    "Switches",
    "TokenChange",
]
