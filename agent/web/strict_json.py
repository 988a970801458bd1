"""Reading a JSON body: what other parsers let through (NaN, a key twice, a nest without end) is refused here."""

import json
from collections.abc import Mapping
from typing import Any, NoReturn, TypeVar

from pydantic import BaseModel, ValidationError

from agent.web.bodies import IN_WORDS
from domain.errors import RequestError

M = TypeVar("M", bound=BaseModel)


def parse(raw: bytes) -> Any:
    """The value of a JSON text. Raises RequestError 400 `invalid_json`."""
    try:
        return json.loads(raw.decode("utf-8"), parse_constant=_no_constant, object_pairs_hook=_no_twins)
    except UnicodeDecodeError:
        raise _refusal("the body is not UTF-8") from None
    except RecursionError:
        raise _refusal("the body is nested too deeply") from None
    except ValueError as error:
        raise _refusal(f"the body is not valid JSON: {str(error)[:120]}") from None


def read_as(model: type[M], value: Any) -> M:
    """The value as the model, strictly: no "12" for 12, nothing unknown. Raises RequestError 422 naming the field."""
    try:
        return model.model_validate(value, strict=True)
    except ValidationError as error:
        raise _misfit(error) from None


def read_text_as(model: type[M], values: Mapping[str, str]) -> M:
    """Query parameters, which are text, as the model. Raises RequestError 422 naming the parameter."""
    try:
        return model.model_validate_strings(dict(values))
    except ValidationError as error:
        raise _misfit(error) from None


def _misfit(error: ValidationError) -> RequestError:
    first = error.errors(include_url=False, include_input=False)[0]
    field = ".".join(str(part) for part in first["loc"])[:200].encode("utf-8", "replace").decode()
    said = IN_WORDS.get(first.get("ctx", {}).get("pattern", first["type"]), first["msg"])
    message = f"{field}: {said}" if field else said
    return RequestError(422, "invalid_request", message, field or None)


def _no_constant(name: str) -> NoReturn:
    raise ValueError(f"{name} is not JSON")


def _no_twins(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) != len(pairs):
        raise ValueError("an object has the same key twice")
    return found


def _refusal(message: str) -> RequestError:
    return RequestError(400, "invalid_json", message)
