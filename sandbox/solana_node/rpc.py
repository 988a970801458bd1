"""JSON-RPC 2.0 over HTTP: envelope, batches, health page; the methods themselves are in `methods_*`."""

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import orjson

from sandbox.service import Request, Response
from sandbox.solana_node import methods_accounts, methods_chain, methods_transactions
from sandbox.solana_node.call import Call
from sandbox.solana_node.errors import (
    INVALID_REQUEST,
    METHOD_NOT_FOUND,
    PARSE_ERROR,
    NodeError,
)
from sandbox.solana_node.params import Params

if TYPE_CHECKING:
    from sandbox.solana_node.node import SolanaNode

METHODS = methods_chain.METHODS | methods_accounts.METHODS | methods_transactions.METHODS
JSON_HEADERS = {"content-type": "application/json; charset=utf-8"}


@dataclass(frozen=True, slots=True)
class Incoming:
    """One well-formed request object."""

    id: Any
    method: str
    params: Any


def answer_http(node: "SolanaNode", request: Request) -> Response:
    """Answer `POST /<endpoint>` and `GET /health`."""
    if request.method == "GET" and request.path.endswith("/health"):
        endpoint = request.path.removesuffix("health").rstrip("/") or "/"
        return node.faults.apply(f"GET {request.path}", lambda: _health_page(node, endpoint))
    if request.method != "POST":
        return Response(405, b"Used HTTP Method is not allowed. POST or OPTIONS is required\n")
    if not request.headers.get("content-type", "application/json").startswith("application/json"):
        return Response(415, b"Supplied content type is not allowed. Content-Type: application/json is required\n")
    try:
        body = orjson.loads(request.body)
    except orjson.JSONDecodeError:
        return _json(_failure(None, NodeError(PARSE_ERROR, "Parse error")))
    name = f"POST {request.path} {_method_names(body)}"
    return node.faults.apply(name, lambda: _answer_body(node, request.path, body))


def read_request(body: Any) -> Incoming:
    """Raises NodeError for what is no JSON-RPC 2.0 request."""
    if not isinstance(body, dict) or body.get("jsonrpc") != "2.0" or not isinstance(body.get("method"), str):
        raise NodeError(INVALID_REQUEST, "Invalid request")
    return Incoming(body.get("id"), body["method"], body.get("params"))


def answer_call(node: "SolanaNode", path: str, body: Any) -> dict[str, Any] | None:
    """One request object in, one response object out; None for a notification (a request without id)."""
    answer = _answer(node, path, body)
    for hear in node.endpoint(path).on_answer:
        hear(body, answer)
    return answer


def _answer(node: "SolanaNode", path: str, body: Any) -> dict[str, Any] | None:
    try:
        incoming = read_request(body)
    except NodeError as error:
        return _failure(body.get("id") if isinstance(body, dict) else None, error)
    try:
        result = _call(node, path, incoming)
    except NodeError as error:
        return _failure(incoming.id, error) if "id" in body else None
    return {"jsonrpc": "2.0", "result": result, "id": incoming.id} if "id" in body else None


def _call(node: "SolanaNode", path: str, incoming: Incoming) -> Any:
    method = METHODS.get(incoming.method)
    if method is None:
        raise NodeError(METHOD_NOT_FOUND, "Method not found")
    endpoint = node.endpoint(path)
    params = Params(incoming.params)
    if incoming.method in endpoint.lies:
        return endpoint.lies[incoming.method](params.values)
    return method(Call(node, path, endpoint, params))


def _answer_body(node: "SolanaNode", path: str, body: Any) -> Response:
    if not isinstance(body, list):
        answer = answer_call(node, path, body)
        return Response(200) if answer is None else _json(answer)
    if not body:
        return _json(_failure(None, NodeError(INVALID_REQUEST, "Invalid request")))
    answers = [answer for entry in body if (answer := answer_call(node, path, entry)) is not None]
    return _json(answers) if answers else Response(200)


def _method_names(body: Any) -> str:
    entries = body if isinstance(body, list) else [body]
    return ",".join(str(entry.get("method")) for entry in entries if isinstance(entry, dict))


def _health_page(node: "SolanaNode", path: str) -> Response:
    try:
        methods_chain.check_health(node, path)
    except NodeError as error:
        behind = (error.data or {}).get("numSlotsBehind")
        return Response(200, b"unknown" if behind is None else b"behind { distance: %d }" % behind)
    return Response(200, b"ok")


def _failure(request_id: Any, error: NodeError) -> dict[str, Any]:
    return {"jsonrpc": "2.0", "error": error.to_json(), "id": request_id}


def _json(body: Any) -> Response:
    return Response(200, orjson.dumps(body), JSON_HEADERS)
