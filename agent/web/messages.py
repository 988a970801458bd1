"""Requests and answers as plain values, so that sockets and the simulator drive the same handlers."""

from collections.abc import Collection, Mapping
from dataclasses import dataclass, field

from pydantic import BaseModel, ConfigDict

from domain.errors import RequestError

JSON_TYPE = "application/json; charset=utf-8"


@dataclass(frozen=True, slots=True)
class WebRequest:
    """One HTTP request. `headers` is looked up by lower-case names, `path` is decoded, `remote` the caller's address
    as far as it can be believed, `request_id` names it in logs, in the audit log and in its answer's headers."""

    method: str
    path: str
    query: Mapping[str, str] = field(default_factory=dict)
    headers: Mapping[str, str] = field(default_factory=dict)
    body: bytes = b""
    remote: str = ""
    request_id: str = ""


@dataclass(frozen=True, slots=True)
class WebResponse:
    """One HTTP answer. The front adds the headers that all answers carry."""

    status: int
    body: bytes = b""
    content_type: str = JSON_TYPE
    headers: Mapping[str, str] = field(default_factory=dict)


class ErrorDetail(BaseModel):
    """`code` is stable and meant for programs, `message` for people."""

    model_config = ConfigDict(frozen=True)

    code: str
    message: str
    field: str | None = None


class ErrorBody(BaseModel):
    """The one shape of every error."""

    model_config = ConfigDict(frozen=True)

    error: ErrorDetail


class RefusedWithHeaders(RequestError):
    """A refusal whose status asks for headers of its own."""

    def __init__(self, status: int, code: str, message: str, headers: Mapping[str, str]) -> None:
        super().__init__(status, code, message)
        self.headers = headers


def error_response(error: RequestError) -> WebResponse:
    """The error's answer in the one shape, with the headers that its status asks for."""
    body = ErrorBody(error=ErrorDetail(code=error.code, message=str(error), field=error.field))
    headers = dict(error.headers) if isinstance(error, RefusedWithHeaders) else _HEADERS.get(error.status, {})
    return WebResponse(error.status, body.model_dump_json(exclude_none=True).encode(), headers=headers)


_HEADERS: Mapping[int, Mapping[str, str]] = {401: {"WWW-Authenticate": "Bearer"}, 503: {"Retry-After": "5"}}


def too_many_attempts(message: str, retry_after_seconds: int) -> RequestError:
    """429 with the seconds to wait."""
    return RefusedWithHeaders(429, "too_many_attempts", message, {"Retry-After": str(retry_after_seconds)})


def method_not_allowed(methods: Collection[str]) -> RequestError:
    """405 with the methods that are served at this path."""
    allow = ", ".join(sorted(methods))
    return RefusedWithHeaders(405, "method_not_allowed", f"allowed here: {allow}", {"Allow": allow})


NOTHING_HERE = "there is nothing here"
"""What a path that is not served answers: whoever asked has another program, or port, before him than he thought."""


def not_found(what: str) -> RequestError:
    """404 for what does not exist, or exists for others only."""
    return RequestError(404, "not_found", f"there is no such {what}")
