"""What one `sendTransaction` over several endpoints comes to. The same bytes may be handed over any number of times."""

from collections.abc import Sequence

from chain.transactions import signature_of
from domain.errors import (
    AlreadyProcessed,
    BlockhashNotFound,
    OutcomeUnknown,
    PaymentSystemError,
    PreflightFailed,
    Rejected,
    Retryable,
)
from indexer.effects.errors import MalformedAnswer
from indexer.rpc import answers
from indexer.rpc.errors import (
    INVALID_PARAMS,
    MIN_CONTEXT_SLOT_NOT_REACHED,
    NODE_UNHEALTHY,
    SIGNATURE_FAILURE,
    SIMULATION_FAILED,
    EndpointError,
    RpcRefusal,
)
from indexer.rpc.node import Node

_UNSENT = frozenset(
    {SIMULATION_FAILED, SIGNATURE_FAILURE, INVALID_PARAMS, NODE_UNHEALTHY, MIN_CONTEXT_SLOT_NOT_REACHED}
)
"""Answers that a node gives before it forwards anything."""


async def send(nodes: Sequence[Node], wire: bytes, *, skip_preflight: bool, min_context_slot: int) -> str:
    """Hand a signed transaction to the first endpoint that takes it; answers its signature, read from our own bytes.

    Raises BlockhashNotFound, PreflightFailed, AlreadyProcessed, Rejected (the bytes are no signed transaction),
    Retryable when surely nothing went out, OutcomeUnknown when something may have. Once an endpoint may have taken the
    bytes, no later refusal counts: it may be the echo of our own transaction landing.
    """
    signature = signature_of(wire)
    may_be_out: EndpointError | None = None
    refusal: PaymentSystemError | None = None
    for node in nodes:
        try:
            named = await node.send(wire, skip_preflight=skip_preflight, min_context_slot=min_context_slot)
        except EndpointError as error:
            if _went_out(error):
                may_be_out = error
                continue
            refusal = _meaning(error)
            if isinstance(refusal, AlreadyProcessed):
                raise refusal from error
            if isinstance(refusal, PreflightFailed | Rejected) and may_be_out is None:
                raise refusal from error
            continue
        if named == signature:
            return signature
        may_be_out = EndpointError(f"{node.label} answered the send of {signature} with another signature")
    if may_be_out is not None:
        raise OutcomeUnknown(f"{signature} may have been sent: {may_be_out}") from may_be_out
    raise refusal or Retryable("no endpoint to send to")


def _went_out(error: EndpointError) -> bool:
    if isinstance(error, RpcRefusal):
        return error.code not in _UNSENT
    return error.reached


def _meaning(error: EndpointError) -> PaymentSystemError:
    """A refusal in the words of the domain; the error itself where another endpoint may do better."""
    if not isinstance(error, RpcRefusal):
        return error
    if error.code == SIMULATION_FAILED:
        return _preflight(error)
    code = {SIGNATURE_FAILURE: "invalid_signature", INVALID_PARAMS: "malformed_transaction"}.get(error.code)
    return error if code is None else Rejected(code, str(error))


def _preflight(refusal: RpcRefusal) -> PaymentSystemError:
    data = refusal.data if isinstance(refusal.data, dict) else {}
    err = data.get("err")
    if err == "BlockhashNotFound":
        return BlockhashNotFound(str(refusal))
    if err == "AlreadyProcessed":
        return AlreadyProcessed(str(refusal))
    return PreflightFailed(str(refusal), err, _logs(data.get("logs")))


def _logs(value: object) -> tuple[str, ...]:
    try:
        return answers.logs(value)
    except MalformedAnswer:
        return ()
