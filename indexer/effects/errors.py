"""The one error of this room."""

from domain.errors import Retryable


class MalformedAnswer(Retryable):
    """An RPC answer that is not what a node writes. Nothing follows from it: ask again, best another endpoint."""
