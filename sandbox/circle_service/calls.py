"""One API call as the handlers see it."""

from collections.abc import Mapping
from dataclasses import dataclass, field

from sandbox.circle_service.errors import bad_blockchain, unsupported_blockchain, wrong_network
from sandbox.circle_service.fields import Fields, Json

Data = Mapping[str, object] | list[dict[str, object]]

MAINNETS = frozenset(
    {"ETH", "AVAX", "MATIC", "SOL", "ARB", "NEAR", "EVM", "UNI", "BASE", "OP", "APTOS", "ARC", "MONAD"}
)
TESTNETS = frozenset(
    {
        "ETH-SEPOLIA",
        "AVAX-FUJI",
        "MATIC-AMOY",
        "SOL-DEVNET",
        "ARB-SEPOLIA",
        "NEAR-TESTNET",
        "EVM-TESTNET",
        "UNI-SEPOLIA",
        "BASE-SEPOLIA",
        "OP-SEPOLIA",
        "APTOS-TESTNET",
        "ARC-TESTNET",
        "MONAD-TESTNET",
    }
)


@dataclass(frozen=True, slots=True)
class Reply:
    """What a handler answers: a status, and what goes under `data` (nothing at all for None)."""

    status: int
    data: Data | None


@dataclass(slots=True)
class Call:
    """`route` is the endpoint's template; `params` are the ids in the path; `body` is empty on calls without one."""

    method: str
    route: str
    params: tuple[str, ...]
    headers: Mapping[str, str]
    query: Fields
    api_key: str
    body: Json = field(default_factory=dict)
    fields: Fields = field(default_factory=lambda: Fields({}))

    @property
    def user_token(self) -> str | None:
        return self.headers.get("x-user-token")


def require_blockchain(call: Call, name: str, served: str) -> None:
    """Refuse a chain that is unknown, of the other network than the API key, or not in this sandbox."""
    if name not in MAINNETS and name not in TESTNETS:
        raise bad_blockchain()
    if call.api_key.startswith("TEST") == (name in MAINNETS):
        raise wrong_network()
    if name != served:
        raise unsupported_blockchain()
