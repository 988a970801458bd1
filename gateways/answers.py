"""Reading an answer's JSON: strict types, nothing coerced, so that a changed format is noticed at the border."""

from datetime import UTC, datetime
from typing import Any

import orjson

from domain.foreign_text import WORDS_CHARS, fits, kept
from domain.money import AMOUNT_MAX

Json = dict[str, Any]


class ShapeError(Exception):
    """The answer does not have the agreed form. Stays in this room: `border.garbled` makes a domain error of it."""


def parse_object(body: bytes) -> Json:
    """A JSON object. orjson refuses NaN, invalid UTF-8 and deep nesting by itself."""
    try:
        parsed = orjson.loads(body)
    except orjson.JSONDecodeError as error:
        raise ShapeError("not JSON") from error
    if not isinstance(parsed, dict):
        raise ShapeError("not a JSON object")
    return parsed


def optional_text(obj: Json, name: str) -> str | None:
    value = obj.get(name)
    if value is not None and not isinstance(value, str):
        raise ShapeError(f"'{name}' is not a string")
    return value


def text(obj: Json, name: str) -> str:
    value = optional_text(obj, name)
    if value is None or not value.strip():
        raise ShapeError(f"'{name}' is missing")
    return value


def optional_identifier(obj: Json, name: str, most: int) -> str | None:
    """An id, an address or a signature, which is stored whole or not at all; an empty one is none."""
    value = optional_text(obj, name) or None
    if value is not None and not fits(value, most):
        raise ShapeError(f"'{name}' is longer than {most} characters, or no plain text")
    return value


def identifier(obj: Json, name: str, most: int) -> str:
    value = optional_identifier(obj, name, most)
    if value is None or not value.strip():
        raise ShapeError(f"'{name}' is missing")
    return value


def optional_words(obj: Json, name: str, most: int) -> str | None:
    """What somebody wrote, or a name out of a list that may grow: as far as it can be stored; empty is None."""
    value = optional_text(obj, name)
    return kept(value, most) if value else None


def words(obj: Json, name: str, most: int) -> str:
    return kept(text(obj, name), most)


def optional_integer(obj: Json, name: str) -> int | None:
    value = obj.get(name)
    if value is not None and type(value) is not int:
        raise ShapeError(f"'{name}' is not an integer")
    if value is not None and abs(value) > AMOUNT_MAX:
        raise ShapeError(f"'{name}' is out of range")
    return value


def integer(obj: Json, name: str) -> int:
    value = optional_integer(obj, name)
    if value is None:
        raise ShapeError(f"'{name}' is missing")
    return value


def boolean(obj: Json, name: str) -> bool:
    value = obj.get(name)
    if not isinstance(value, bool):
        raise ShapeError(f"'{name}' is not true or false")
    return value


def optional_mapping(obj: Json, name: str) -> Json | None:
    value = obj.get(name)
    if value is not None and not isinstance(value, dict):
        raise ShapeError(f"'{name}' is not an object")
    return value


def mapping(obj: Json, name: str) -> Json:
    value = optional_mapping(obj, name)
    if value is None:
        raise ShapeError(f"'{name}' is missing")
    return value


def rows(obj: Json, name: str) -> list[Json]:
    """A list of objects."""
    value = obj.get(name)
    if not isinstance(value, list) or not all(isinstance(row, dict) for row in value):
        raise ShapeError(f"'{name}' is not a list of objects")
    return value


def texts(obj: Json, name: str, most: int | None = None) -> tuple[str, ...]:
    """A list of strings, of ids where `most` is given; absent and null read as empty."""
    value = obj.get(name)
    if value is None:
        return ()
    if not isinstance(value, list) or not all(isinstance(item, str) for item in value):
        raise ShapeError(f"'{name}' is not a list of strings")
    if most is not None and not all(fits(item, most) for item in value):
        raise ShapeError(f"'{name}' holds what is no id")
    return tuple(value)


def text_map(obj: Json, name: str) -> dict[str, str]:
    """A map of strings (Stripe's metadata), as far as they can be stored; absent and null read as empty."""
    value = optional_mapping(obj, name) or {}
    if not all(isinstance(entry, str) for entry in value.values()):
        raise ShapeError(f"'{name}' holds something else than strings")
    return {entry: kept(written, WORDS_CHARS) for entry, written in value.items()}


def moment(obj: Json, name: str) -> datetime:
    """ISO 8601 with a zone, as aware UTC."""
    try:
        parsed = datetime.fromisoformat(text(obj, name))
    except ValueError as error:
        raise ShapeError(f"'{name}' is not a date and time") from error
    if parsed.tzinfo is None:
        raise ShapeError(f"'{name}' has no zone")
    return parsed.astimezone(UTC)


def unix_moment(obj: Json, name: str) -> datetime:
    """Whole unix seconds, as aware UTC."""
    try:
        return datetime.fromtimestamp(integer(obj, name), UTC)
    except (ValueError, OverflowError, OSError) as error:
        raise ShapeError(f"'{name}' is out of range") from error
