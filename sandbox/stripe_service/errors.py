"""Stripe's refusals: one exception, rendered into Stripe's error envelope at the edge."""

import orjson


class ApiError(Exception):
    """A request that Stripe refuses. `saved` says whether an idempotency key remembers it: what the executing endpoint
    refused is remembered, what failed its parameter checks or the key check is not."""

    def __init__(
        self,
        status: int,
        message: str,
        *,
        code: str | None = None,
        param: str | None = None,
        type_: str = "invalid_request_error",
        saved: bool = True,
    ) -> None:
        super().__init__(message)
        self.status = status
        self.message = message
        self.code = code
        self.param = param
        self.type = type_
        self.saved = saved

    def body(self) -> bytes:
        return envelope(self.type, self.message, code=self.code, param=self.param)


def envelope(type_: str, message: str, *, code: str | None = None, param: str | None = None) -> bytes:
    """The JSON body of an error answer; absent fields are left out, as Stripe does."""
    error: dict[str, str] = {}
    if code is not None:
        error["code"] = code
        error["doc_url"] = "https://stripe.com/docs/error-codes/" + code.replace("_", "-")
    error["message"] = message
    if param is not None:
        error["param"] = param
    error["type"] = type_
    return orjson.dumps({"error": error}, option=orjson.OPT_INDENT_2)


def bad_param(message: str, param: str, code: str | None = None) -> ApiError:
    """A parameter that fails its check before the endpoint runs."""
    return ApiError(400, message, code=code, param=param, saved=False)


def missing(kind: str, object_id: str, param: str = "id", status: int = 404) -> ApiError:
    """404 for an id in the path, 400 for an id in a parameter."""
    return ApiError(status, f"No such {kind}: '{object_id}'", code="resource_missing", param=param)


def default_body(status: int) -> bytes:
    """What Stripe says with a status of its own accord (for injected failures)."""
    if status == 429:
        message = "Request rate limit exceeded. Learn more about rate limits: https://stripe.com/docs/rate-limits."
        return envelope("invalid_request_error", message, code="rate_limit")
    if status == 409:
        message = "There is currently another in-progress request using this Idempotent Key. Please try again later."
        return envelope("idempotency_error", message, code="idempotency_key_in_use")
    if status >= 500:
        return envelope("api_error", "An unknown error occurred.")
    if status == 402:
        return envelope("card_error", "Your card was declined.", code="card_declined")
    return envelope("invalid_request_error", "The request was refused.")
