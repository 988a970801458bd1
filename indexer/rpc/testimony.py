"""What single endpoints answer, and why they don't."""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Generic, TypeVar

from indexer.rpc.errors import EndpointError
from indexer.rpc.node import Node

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Testimony(Generic[T]):
    """What one endpoint answered."""

    label: str
    answer: T


async def attempt(question: Callable[[Node], Awaitable[T]], node: Node) -> Testimony[T] | EndpointError:
    """Put a question to one endpoint."""
    try:
        return Testimony(node.label, await question(node))
    except EndpointError as error:
        return error
