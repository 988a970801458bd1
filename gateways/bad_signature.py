"""The one error of webhook verification."""

from domain.errors import PaymentSystemError


class BadSignature(PaymentSystemError):
    """A webhook that is not proven to come from its sender. `reason` is short and safe to log and to answer."""

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason
