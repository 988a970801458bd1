"""What one endpoint did instead of answering. The pool turns it into `domain.errors`; nobody else sees it."""

from domain.errors import Retryable


class EndpointError(Retryable):
    """No usable answer from this endpoint; another one may have it. `reached` is False only when it surely never saw
    the request, or refused it unread."""

    def __init__(self, message: str, *, reached: bool = True, retry_after_seconds: float | None = None) -> None:
        super().__init__(message, retry_after_seconds)
        self.reached = reached


class RpcRefusal(EndpointError):
    """The endpoint answered with a JSON-RPC error object."""

    def __init__(self, message: str, code: int, data: object) -> None:
        super().__init__(message)
        self.code, self.data = code, data


class Behind(EndpointError):
    """It answered from a slot before the one that it is held to."""


class Disagreement(Retryable):
    """Endpoints that must agree on a negative fact do not. Nothing follows; ask again later."""


BLOCK_CLEANED_UP = -32001
SIMULATION_FAILED = -32002
SIGNATURE_FAILURE = -32003
BLOCK_NOT_AVAILABLE = -32004
NODE_UNHEALTHY = -32005
MIN_CONTEXT_SLOT_NOT_REACHED = -32016
INVALID_PARAMS = -32602
"""agave's `rpc-client-api/src/custom_error.rs`, and JSON-RPC 2.0."""


def is_behind(error: EndpointError) -> bool:
    """Whether the endpoint may have the answer once it has got as far as it is held to."""
    return isinstance(error, Behind) or (isinstance(error, RpcRefusal) and error.code == MIN_CONTEXT_SLOT_NOT_REACHED)
