"""Circle as the steps see it."""

from gateways.circle_api.client import DEADLINE_SECONDS, CircleClient
from gateways.circle_api.notices import NoticeCalls
from gateways.circle_api.rates import Rates
from gateways.circle_api.transfers import TransferCalls
from gateways.circle_api.users import UserCalls
from gateways.circle_api.wallets import WalletCalls
from ports.clock import Clock
from ports.ids import Ids
from ports.transport import Transport


class CircleGateway(WalletCalls, UserCalls, TransferCalls, NoticeCalls):
    """All methods raise Retryable (nothing happened), OutcomeUnknown (calls that change something only) or Rejected.

    `Rejected.code` is Circle's number as text, or the HTTP status 401/403.
    """

    def __init__(
        self,
        transport: Transport,
        api_base: str,
        api_key: str,
        entity_secret: str,
        ids: Ids,
        clock: Clock,
        rates: Rates,
        deadline_seconds: float = DEADLINE_SECONDS,
    ) -> None:
        """`entity_secret` is 64 hexadecimal digits; ValueError otherwise, without showing it."""
        super().__init__(CircleClient(transport, api_base, api_key, entity_secret, ids, clock, rates, deadline_seconds))

    def __repr__(self) -> str:
        return f"CircleGateway({self._client!r})"
